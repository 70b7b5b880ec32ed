"""Losses: pure functions of a network's outputs and the targets; those that a task may name are in the registry."""
