"""A folder with splits: `train/`, with `validation/` or `test/` beside it, each a folder of class folders.

Their names may be any that `split_named` knows: `Training/` and `Testing/`, `train_set/` and `val_set/`, `train2017/`, ...
"""

import difflib
import re
from collections.abc import Collection, Mapping
from functools import cache

from fovea.data.source import SOURCES, Source, SourceInfo, TreeSource
from fovea.data.trees import Tree, list_pictures
from fovea.errors import DataError
from fovea.types import Item, Split

_NAMES: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "validating": "validation",
    "test": "test",
    "testing": "test",
}
# What stands behind it in many published sets, as in training_set, test-images, "Validation Data", train2017
_ENDS = re.compile(r"(?:sets?|data|images|split)?(?:(?:19|20)\d\d)?$")
_MISSPELT = 0.7  # difflib's likeness: "trian" to "train" has 0.8, "tset" to "test" 0.75


@cache
def split_named(name: str) -> Split | None:
    """The split that a folder's name, or the word in a table, means; None for any other. Case, "-", "_" and blanks are alike."""
    return _NAMES.get(_ENDS.sub("", _plain(name), count=1))


def splits_misspelt(inside: Mapping[str, Collection[str]]) -> dict[str, Split]:
    """Folders that look like splits taken for classes, each with the split that its name resembles; empty if they do not.

    It takes the same two or more folders in each, and names of which one is nearly train's and one nearly another split's, or
    one validation's or test's own. One name alone that is like train's may be a class, as "rain" or "brain".

    Args:
        inside: For each folder, the folders in it that hold pictures, and "" where it holds some itself.
    """
    first, *others = (frozenset(folders) for folders in inside.values()) if inside else (frozenset[str](),)
    if not others or len(first) < 2 or "" in first or any(folders != first for folders in others):
        return {}
    meant: dict[str, Split] = {}
    for name in inside:
        near = difflib.get_close_matches(_ENDS.sub("", _plain(name), count=1), _NAMES, n=1, cutoff=_MISSPELT)
        if near:
            meant[name] = _NAMES[near[0]]
    splits = set(meant.values())
    if ("train" in splits and len(splits) > 1) or any(split_named(name) in ("validation", "test") for name in inside):
        return meant
    return {}


def _plain(name: str) -> str:
    return re.sub(r"[-_\s]+", "", name.lower())


def _has_splits(tree: Tree) -> bool:
    """`train` alone is a class like another (a vehicle, say): it takes a second split to tell."""
    if tree.table is not None:
        return False
    found = {split_named(folder) for folder in tree.folders if "/" not in folder}
    return "train" in found and bool(found & {"validation", "test"})


@SOURCES.add(SourceInfo("a folder with train/ and validation/ or test/", recognises=_has_splits, order=200))
def split_folders(tree: Tree) -> Source:
    """Reads `SPLIT/CLASS/.../picture.jpg`. Pictures elsewhere are ignored.

    Raises:
        DataError: A split holds pictures but no class folders, or train holds no pictures.
    """
    pictures, others = list_pictures(tree)
    labels: dict[str, str] = {}
    items: list[Item] = []
    loose: list[str] = []
    filled: set[str] = set()
    for path in pictures:
        folder, _, rest = path.partition("/")
        split, (label, slash, _) = split_named(folder), rest.partition("/")
        if split is None or not slash:
            loose.append(path)
            continue
        items.append(Item(path, labels.setdefault(label, label), split))
        filled.update((folder, f"{folder}/{label}"))
    for folder in sorted({path.partition("/")[0] for path in loose if "/" in path} - filled):
        if split_named(folder):
            raise DataError(
                f"{folder!r} in {tree.location!r} holds pictures but no class folders",
                got=f"pictures side by side, such as {next(path for path in loose if path.startswith(folder + '/'))!r}",
                expected="a folder for each class within each split",
                fix="make a folder for each class and move its pictures there, or list them in a CSV (path,label,split)",
            )
    if not any(item.split == "train" for item in items):
        raise DataError(
            f"'train' in {tree.location!r} holds no pictures",
            got=f"{len(items)} pictures in the other splits",
            expected="a folder for each class within 'train', with pictures in it",
            fix="check the path; pictures are found by their suffix (.jpg, .png, ...)",
        )
    empty = [
        folder + "/"
        for folder in tree.folders
        if folder not in filled and (folder.count("/") == 0 or (folder.count("/") == 1 and split_named(folder.partition("/")[0])))
    ]
    return TreeSource("split_folders", tree, items, ignored=sorted(loose + others + empty))
