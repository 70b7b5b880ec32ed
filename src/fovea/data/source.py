"""What every source is: addresses, labels, and bytes on demand."""

import os
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from fovea.data.trees import FolderTree, Tree
from fovea.errors import DataError
from fovea.files import printable
from fovea.registry import Registry
from fovea.types import Item, Targets


@dataclass(frozen=True)
class SourceInfo:
    """The facts that a source states of itself.

    Args:
        summary: What it is, in a few words.
        recognises: Whether a tree is laid out in its way; None for data that are generated and opened by the source's name.
        order: Layouts are tried from low to high, and the first that recognises the tree reads it.
        modality: What its files hold.
    """

    summary: str
    recognises: Callable[[Tree], bool] | None = None
    order: int = 100
    modality: str = "pictures"


# A layout is built with (tree), generated data with (seed=, max_items=); both give a Source.
SOURCES: Registry[SourceInfo] = Registry("source", "fovea.data.sources")


class Source(ABC):
    """Labelled pictures, wherever they are. Safe in many threads at once.

    Args:
        name: Of the registered source that reads it, for example "class_folders".
        location: What the user typed.
        items: Sorted by path.
        ignored: Files that are no pictures by their suffix, pictures outside any class folder, and class folders
            without a picture (these end in "/").
    """

    def __init__(self, name: str, location: str, items: Sequence[Item], *, ignored: Sequence[str] = ()) -> None:
        self.name, self.location, self.ignored = name, location, ignored
        self.keep(items)

    def keep(self, items: Sequence[Item]) -> None:
        """Makes `items` the source's items, and their labels its classes, each spelt as `class_name` spells it."""
        spelt = {item.label: class_name(item.label) for item in items if item.label is not None}
        if any(label != name for label, name in spelt.items()):
            items = [item if item.label is None else replace(item, label=spelt[item.label]) for item in items]
        self.items = items
        self.class_names: tuple[str, ...] = tuple(sorted(set(spelt.values())))

    @abstractmethod
    def read(self, item: Item) -> bytes:
        """The bytes of an item's file.

        Raises:
            UnreadableImage: They cannot be had; the file is named.
        """

    def file(self, item: Item) -> str | None:
        """Where an item's file lies on this machine; None where it lies in an archive, or is made when it is read."""
        return None

    def targets(self, item: Item) -> Targets:
        """What is known of an item beyond its class; empty unless the source knows more."""
        return Targets()

    def close(self) -> None:
        """Lets go of open files."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


class TreeSource(Source):
    """A source whose files lie in a tree. `folder` is put before each item's path, with its "/"."""

    def __init__(self, name: str, tree: Tree, items: Sequence[Item], *, ignored: Sequence[str] = (), folder: str = "") -> None:
        super().__init__(name, tree.location, items, ignored=ignored)
        self._tree, self._folder = tree, folder

    def read(self, item: Item) -> bytes:
        return self._tree.read(self._folder + item.path)

    def file(self, item: Item) -> str | None:
        return os.path.join(self._tree.root, self._folder + item.path) if isinstance(self._tree, FolderTree) else None

    def close(self) -> None:
        self._tree.close()


def class_name(label: str) -> str:
    """A class's name as bundles, tables and messages can hold it, the same for data from any system.

    macOS may write one accent as two characters where others write one; bytes that are not UTF-8 cannot be written as text.
    """
    return unicodedata.normalize("NFC", printable(label))


def check_classes(items: Iterable[Item], *, location: str = "the data") -> None:
    """Whether a classifier can be learned from these items at all; items without a label are not looked at.

    Raises:
        DataError: There is no picture, only one class, a class with one picture, or a class that stands in validation
            or test but not in train.
    """
    counts: Counter[str] = Counter()
    inner: set[str] = set()  # folders within class folders: looked at only where there is one class
    learned: set[str] = set()
    only_measured: dict[str, str] = {}
    for item in items:
        if item.label is None:
            continue
        counts[item.label] += 1
        if len(counts) == 1:
            inner.update(item.path.partition(f"{item.label}/")[2].split("/")[:-1][:1])
        if item.split in ("validation", "test"):
            only_measured.setdefault(item.label, item.split)
        else:
            learned.add(item.label)
    if not counts:
        raise DataError(
            f"{location!r} holds no pictures",
            got="0 pictures that can be read",
            expected="a folder of class folders, each with pictures",
            fix="check the path; pictures are found by their suffix (.jpg, .png, ...)",
        )
    if len(counts) == 1:
        (name,) = counts
        raise DataError(
            f"{location!r} holds one class only: {name!r}",
            got=f"{counts[name]} pictures, all of {name!r}",
            expected="at least two classes",
            fix=f"if the classes are {_named(sorted(inner))}, pass the folder {name!r} that holds them"
            if len(inner) > 1
            else "add a folder with pictures of something else, if need be of 'other'",
        )
    if missing := sorted(set(only_measured) - learned):
        raise DataError(
            f"{location!r} has no training pictures of {_named(missing)}",
            got=f"{missing[0]!r} in {only_measured[missing[0]]}, and not in train",
            expected="every class of validation and test also in train",
            fix="add pictures of it to train, or remove it from the other splits; check how the class is spelt in each",
        )
    if single := sorted(name for name, count in counts.items() if count == 1):
        raise DataError(
            f"{location!r} holds only one picture of {_named(single)}",
            got=f"1 picture of {single[0]!r} that can be read",
            expected="at least two pictures of each class: one to learn from, one to check with",
            fix="add pictures of it, or remove the class",
        )


def _named(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more classes" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
