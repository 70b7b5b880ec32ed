"""Pure functions on arrays: how good are these answers."""
