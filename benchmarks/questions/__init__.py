"""One file a question; `run.py` finds them by their names. Each has ASKS, REPEATS, NEEDS and `measure`."""
