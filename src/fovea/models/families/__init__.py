"""One file a family of backbones that another package brings; the registry finds them here."""
