"""One file a network; the registry finds them here."""
