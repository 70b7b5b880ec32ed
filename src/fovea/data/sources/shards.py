"""A folder, or a pattern, of shards: WebDataset tars or TFRecords of tf.train.Example; or one tar that names its classes so."""

import os
import re
from collections.abc import Sequence

from fovea.data.shards import Shard, TarShard, is_webdataset, open_shard, shards_in
from fovea.data.source import SOURCES, Source, SourceInfo
from fovea.data.sources.split_folders import split_named
from fovea.data.trees import FolderTree, Tree
from fovea.errors import DataError, UnreadableImage
from fovea.types import Item, Split


class ShardSource(Source):
    """Pictures out of shards; an item's path is its shard's path, then its name there.

    Args:
        tree: Where the shards are, for messages.
        shards: In the order of their paths.
    """

    def __init__(self, tree: Tree, shards: Sequence[Shard], *, ignored: Sequence[str] = ()) -> None:
        self._shards = {shard.path: shard for shard in shards}
        labels: dict[str, str] = {}  # one string for each class, not one for each picture
        items, splits = [], {shard.path: _split_of(shard.path) for shard in shards}
        decided = set(splits.values()) - {None, "train"}  # where there is only train, it is all the data, and Fovea splits it
        try:
            for shard in shards:
                split = splits[shard.path] if decided else None
                for entry in shard.entries():
                    if entry.label is None:
                        raise _no_class(shard.path, entry.name)
                    items.append(Item(f"{shard.path}/{entry.name}", labels.setdefault(entry.label, entry.label), split, entry.group))
        except BaseException:
            self.close()
            raise
        items.sort(key=lambda item: item.path)
        super().__init__("shards", tree.location, items, ignored=ignored)

    @property
    def shards(self) -> list[str]:
        """Their paths, sorted."""
        return sorted(self._shards)

    def shard_of(self, item: Item) -> str:
        """The path of the shard that holds an item."""
        end = item.path.find("/")
        while end >= 0:
            if item.path[:end] in self._shards:
                return item.path[:end]
            end = item.path.find("/", end + 1)
        raise UnreadableImage(
            f"{item.path!r} does not exist",
            got="no such shard",
            expected=f"one of {len(self._shards)} shards",
            fix="take an item of `items`",
        )

    def read(self, item: Item) -> bytes:
        shard = self.shard_of(item)
        return self._shards[shard].read(item.path[len(shard) + 1 :])

    def close(self) -> None:
        for shard in self._shards.values():
            shard.close()


def _holds_shards(tree: Tree) -> bool:
    return tree.table is None and (is_webdataset(tree) or (isinstance(tree, FolderTree) and bool(shards_in(tree))))


@SOURCES.add(SourceInfo("WebDataset tars or TFRecords of tf.train.Example", recognises=_holds_shards, order=150))
def shards(tree: Tree) -> Source:
    """Reads KEY.jpg with KEY.cls or KEY.json out of tars, and tf.train.Example out of TFRecords.

    Raises:
        DataError: A shard is broken, or a picture in it has no class.
    """
    if not isinstance(tree, FolderTree):
        return ShardSource(tree, [TarShard(os.path.basename(tree.location), tree)])
    found = shards_in(tree)
    opened: list[Shard] = []
    try:
        opened.extend(open_shard(tree, path) for path in found)
    except BaseException:
        for shard in opened:
            shard.close()
        raise
    return ShardSource(tree, opened, ignored=sorted(set(tree.paths) - set(found)))


def _split_of(path: str) -> Split | None:
    """The split that a shard's name or folder states, as in train-00000.tar or validation/00000.tar."""
    return next((split for word in re.split(r"[^a-z]+", path.lower()) if (split := split_named(word))), None)


def _no_class(shard: str, name: str) -> DataError:
    return DataError(
        f"{name!r} in the shard {shard!r} has no class",
        got="a picture alone",
        expected="KEY.cls or KEY.json with a label beside KEY.jpg, or a class folder; in TFRecords image/class/text or image/class/label",
        fix="write the shards again with their classes, for example with fovea.loading.shards.write_shards",
    )
