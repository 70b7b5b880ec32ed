"""One file a method, found by the registry."""
