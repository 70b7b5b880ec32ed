"""One file a kind of finding; the registry finds them here."""
