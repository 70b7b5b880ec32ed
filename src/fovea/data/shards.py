"""Shards: many pictures in one large file, each found by its place: WebDataset tars and TFRecords of tf.train.Example.

They serve data of so many files that a disk or a network is slow with them. Here they are read by place, so that audit,
splits and training are the same as for a folder.

Tars are read by our own `TarTree`, not by the package webdataset: a tar that is cut off between two members ends there in
silence (so does Python's tarfile), and pictures would be missing unnoticed.
"""

import json
import os
import re
from abc import ABC, abstractmethod
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fovea.data import tfrecord
from fovea.data.archives import TarTree
from fovea.data.sniff import PICTURE_SUFFIXES, has_picture_suffix, sniff
from fovea.data.trees import FolderTree, Tree, unreadable
from fovea.errors import DataError

_TAR = re.compile(r"\.(tar|tar\.gz|tgz|tar\.bz2|tar\.xz)$", re.IGNORECASE)
_RECORDS = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$|-\d+-of-\d+\.tfrecords?$", re.IGNORECASE)

# Where the picture, its class and its name stand in a tf.train.Example: as in TensorFlow's own conversion scripts
# (image/...), else as people and TFDS call them.
_PICTURE = ("image/encoded", "image", "image_raw", "jpg", "png")
_CLASS = ("image/class/text", "label_text", "class_name", "image/class/label", "label", "class")
_NAME = ("image/filename", "image/source_id", "filename", "path")


def is_shard(path: str) -> bool:
    """Whether a file is a TFRecord by its name: x.tfrecord, x.tfrecords, x.tfrecord-00000-of-00010."""
    return _RECORDS.search(path) is not None


def shards_in(tree: Tree) -> list[str]:
    """The shards of a folder: its TFRecords, and its tars where no pictures lie beside them."""
    paths = [path for path in tree.paths if ".t" in path.lower() and (is_shard(path) or _TAR.search(path))]  # few of many files have a ".t"
    return paths if paths and not any(has_picture_suffix(path) for path in tree.paths) else []


def is_webdataset(tree: Tree) -> bool:
    """Whether an archive tells of each picture in a file beside it: KEY.jpg with KEY.cls or KEY.json."""
    if not tree.is_archive:
        return False
    told = next((path for path in tree.paths if path.endswith((".cls", ".json"))), None)
    return told is not None and any(tree.has(told.rpartition(".")[0] + suffix) for suffix in PICTURE_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Entry:
    """One picture of a shard: its name there, its class (None where it states none), and what else is known."""

    name: str
    label: str | None
    group: str | None = None


class Shard(ABC):
    """One file of many pictures. Reading is safe in many threads at once.

    Args:
        path: Its name, within what the user typed.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @abstractmethod
    def entries(self) -> Iterator[Entry]:
        """What it holds, in the order of their names.

        Raises:
            DataError: It is broken, cut off, or holds something else.
        """

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The file of one picture.

        Raises:
            UnreadableImage: It is not there, or no longer whole.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of the file."""


class TarShard(Shard):
    """A tar of KEY.jpg with KEY.cls or KEY.json (its "label"), or of class folders.

    A key is a name up to its first dot, as in the package webdataset; of several pictures with one key the first counts.
    """

    def __init__(self, path: str, tree: Tree) -> None:
        super().__init__(path)
        self._tree = tree

    def entries(self) -> Iterator[Entry]:
        last = None
        for name in self._tree.paths:
            folder, slash, file = name.rpartition("/")
            key = folder + slash + file.partition(".")[0]
            if key != last and has_picture_suffix(name):
                last = key
                yield self._entry(name, key)

    def _entry(self, name: str, key: str) -> Entry:
        label, group = None, None
        if self._tree.has(f"{key}.json"):
            said = self._json(f"{key}.json")
            label, group = _text(said.get("label")), _text(said.get("group"))
        if label is None and self._tree.has(f"{key}.cls"):
            label = self._tree.read(f"{key}.cls").decode("utf-8", "replace").strip() or None
        if label is None and "/" in name:
            label = name.partition("/")[0]
        return Entry(name, label, group=group)

    def _json(self, name: str) -> dict[str, object]:
        try:
            said = json.loads(self._tree.read(name))
        except ValueError as error:
            raise DataError(
                f"{name!r} in {self.path!r} is no JSON",
                got=str(error),
                expected='JSON such as {"label": "cat"}',
                fix="write the shard again",
            ) from error
        return said if isinstance(said, dict) else {}

    def read(self, name: str) -> bytes:
        return self._tree.read(name)

    def close(self) -> None:
        self._tree.close()


class RecordShard(Shard):
    """A file of TFRecords. A picture's name is its number there and, where the record states one, its file's name."""

    def __init__(self, path: str, file: str | Path) -> None:
        super().__init__(path)
        self._file = open(file, "rb", buffering=0)  # noqa: SIM115, it stays open
        self._offsets = array("q")

    def entries(self) -> Iterator[Entry]:
        self._offsets = array("q")
        with open(self._file.name, "rb") as file:
            for number, (offset, data) in enumerate(tfrecord.records(file, location=self.path)):
                self._offsets.append(offset)
                features = tfrecord.unpack_example(data, location=self.path)
                _picture_of(features, self.path)
                name = _first(features, _NAME)
                yield Entry(
                    f"{number:08d}/{name}" if name else f"{number:08d}", _first(features, _CLASS), group=_first(features, ("image/group",))
                )
        self._offsets.append(os.path.getsize(self._file.name))

    def read(self, name: str) -> bytes:
        number = name.partition("/")[0]
        if not number.isdecimal() or int(number) + 1 >= len(self._offsets):
            raise unreadable(name, "does not exist", f"no such record in {self.path!r}", "open the data again")
        start, end = self._offsets[int(number)], self._offsets[int(number) + 1]
        try:
            record = tfrecord.read_record(self._bytes(start, end - start), location=self.path, offset=start)
            return _picture_of(tfrecord.unpack_example(record, location=self.path), self.path)
        except DataError as error:
            raise unreadable(f"{self.path}/{name}", "can no longer be read", error.problem, error.fix) from error

    def _bytes(self, offset: int, count: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file.fileno(), count, offset)
        with open(self._file.name, "rb") as file:
            file.seek(offset)
            return file.read(count)

    def close(self) -> None:
        self._file.close()


def open_shard(tree: FolderTree, path: str) -> Shard:
    """Opens one shard of a folder.

    Raises:
        DataError: It cannot be opened.
    """
    file = os.path.join(tree.root, path)
    try:
        return RecordShard(path, file) if is_shard(path) else TarShard(path, TarTree(file, location=path))
    except OSError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"the shard {path!r} cannot be opened: {(error.strerror or str(error)).lower()}",
            got=error.strerror or error,
            expected="shards that may be read",
            fix="check its permissions",
        ) from error


def _picture_of(features: dict[str, tfrecord.Feature], location: str) -> bytes:
    for name in _PICTURE:
        value = features.get(name)
        if value and isinstance(value[0], bytes):
            return value[0]
    bytes_of = [name for name, value in features.items() if value and isinstance(value[0], bytes) and sniff(value[0][:64])]
    if len(bytes_of) == 1:
        return bytes(features[bytes_of[0]][0])  # type: ignore[arg-type]
    raise DataError(
        f"{location!r} holds a record without a picture",
        got=f"the features {', '.join(features) or 'none'}",
        expected="the bytes of a picture file in 'image/encoded'",
        fix="write the shards again, for example with fovea.loading.shards.write_shards",
    )


def _first(features: dict[str, tfrecord.Feature], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (value := features.get(name)) and (text := _text(value[0])) is not None), None)


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and str(value) else None
