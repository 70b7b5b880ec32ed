"""The view inside a network, one file a view."""
