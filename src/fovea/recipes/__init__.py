"""One file a command, each a flat function that reads from top to bottom."""
