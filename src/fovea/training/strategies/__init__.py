"""One file a strategy; the registry finds them here."""
