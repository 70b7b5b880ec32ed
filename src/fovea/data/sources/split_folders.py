"""A folder with splits: `train/`, with `validation/` (or `val/`, `valid/`) or `test/` beside it, each a folder of class folders."""

from fovea.data.source import SOURCES, Source, SourceInfo, TreeSource
from fovea.data.trees import Tree, list_pictures
from fovea.errors import DataError
from fovea.types import Item, Split

SPLIT_NAMES: dict[str, Split] = {"train": "train", "validation": "validation", "val": "validation", "valid": "validation", "test": "test"}


def _has_splits(tree: Tree) -> bool:
    """`train` alone is a class like another (a vehicle, say): it takes a second split to tell."""
    if tree.table is not None:
        return False
    found = {SPLIT_NAMES.get(folder.lower()) for folder in tree.folders if "/" not in folder}
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
        split, (label, slash, _) = SPLIT_NAMES.get(folder.lower()), rest.partition("/")
        if split is None or not slash:
            loose.append(path)
            continue
        items.append(Item(path, labels.setdefault(label, label), split))
        filled.update((folder, f"{folder}/{label}"))
    for folder in sorted({path.partition("/")[0] for path in loose if "/" in path} - filled):
        if folder.lower() in SPLIT_NAMES:
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
        if folder not in filled and (folder.count("/") == 0 or (folder.count("/") == 1 and folder.partition("/")[0].lower() in SPLIT_NAMES))
    ]
    return TreeSource("split_folders", tree, items, ignored=sorted(loose + others + empty))
