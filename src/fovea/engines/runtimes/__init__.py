"""One file an engine; the registry finds them here."""
