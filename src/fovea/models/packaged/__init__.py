"""Weights that ship with the package: BACKBONE*.safetensors, each with its passport in its metadata."""
