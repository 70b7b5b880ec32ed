"""Shards read from their starts to their ends, several at once."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from fovea.data import Source, open_source
from fovea.data.sources.shards import ShardSource
from fovea.errors import InputError
from fovea.loading.shards.interleave import interleave
from fovea.types import Item


def read_shards(data: str | Path | Source, *, cycle: int = 4, block: int = 16, deterministic: bool = True) -> Iterator[tuple[Item, bytes]]:
    """Every picture of some shards with its file's bytes, in one pass; what is held in memory does not grow with the data.

    Args:
        data: A folder or a pattern of shards, or such data opened before (which stay open).
        cycle, block, deterministic: See `interleave`.

    Raises:
        InputError: The data are no shards.
        UnreadableImage: A record is no longer whole.
    """
    if not isinstance(data, Source):
        with open_source(data, for_training=False) as source:
            yield from read_shards(source, cycle=cycle, block=block, deterministic=deterministic)
        return
    if not isinstance(data, ShardSource):
        raise InputError(
            f"{data.location!r} is not made of shards",
            got=data.name,
            expected="a folder or a pattern of WebDataset tars or TFRecords",
            fix="write shards with fovea.loading.shards.write_shards, or read the items one by one",
        )
    by_shard: dict[str, list[Item]] = {shard: [] for shard in data.shards}
    for item in data.items:
        by_shard[data.shard_of(item)].append(item)
    yield from interleave(
        [partial(_read, data, items) for items in by_shard.values()], cycle=cycle, block=block, deterministic=deterministic
    )


def _read(source: ShardSource, items: list[Item]) -> Iterator[tuple[Item, bytes]]:
    return ((item, source.read(item)) for item in items)
