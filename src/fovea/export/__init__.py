"""A trained model -> a bundle and other formats, each checked against what made it."""
