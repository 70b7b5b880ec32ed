"""Data in few large files: write a source as WebDataset tars or TFRecords, and read shards side by side.

Shards are data like any other (`fovea train shards/ --out run`): `data/sources/shards.py` finds each picture by its place.
"""

from fovea.loading.shards.interleave import interleave
from fovea.loading.shards.read import read_shards
from fovea.loading.shards.write import Written, write_shards

__all__ = ["Written", "interleave", "read_shards", "write_shards"]
