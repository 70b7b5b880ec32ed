"""Losses: pure functions of a network's outputs and the targets."""
