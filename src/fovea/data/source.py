"""What every source is: addresses, labels, and bytes on demand."""

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from fovea.data.kinds import CLASSES, TargetKind
from fovea.data.trees import FolderTree, Tree
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
        kind: What the items' labels are: one class each, unless the source knows otherwise.
        notes: What was chosen in reading it, in plain sentences, to be told with what is learned from it.
    """

    notes: Sequence[str] = ()

    def __init__(self, name: str, location: str, items: Sequence[Item], *, ignored: Sequence[str] = (), kind: TargetKind = CLASSES) -> None:
        self.name, self.location, self.ignored, self.kind = name, location, ignored, kind
        self.keep(items)

    def keep(self, items: Sequence[Item]) -> None:
        """Makes `items` the source's items, each label spelt as its kind spells it, and names the classes (labels, numbers) after them."""
        spelt = {item.label: self.kind.spelt(item.label) for item in items if item.label is not None}
        if any(label != name for label, name in spelt.items()):
            items = [item if item.label is None else replace(item, label=spelt[item.label]) for item in items]
        self.items = items
        self.class_names: tuple[str, ...] = self.kind.names(spelt.values())

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

    def __init__(
        self,
        name: str,
        tree: Tree,
        items: Sequence[Item],
        *,
        ignored: Sequence[str] = (),
        folder: str = "",
        kind: TargetKind = CLASSES,
    ) -> None:
        super().__init__(name, tree.location, items, ignored=ignored, kind=kind)
        self._tree, self._folder = tree, folder

    def read(self, item: Item) -> bytes:
        return self._tree.read(self._folder + item.path)

    def file(self, item: Item) -> str | None:
        return os.path.join(self._tree.root, self._folder + item.path) if isinstance(self._tree, FolderTree) else None

    def close(self) -> None:
        self._tree.close()
