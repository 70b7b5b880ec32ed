"""A folder of class folders: the first level names the class, and its pictures lie anywhere below."""

from collections.abc import Collection, Mapping, Sequence

from fovea.data.source import SOURCES, Source, SourceInfo, TreeSource
from fovea.data.sources.split_folders import split_named, splits_misspelt
from fovea.data.trees import Tree, list_pictures
from fovea.errors import DataError
from fovea.types import Item, Split


@SOURCES.add(SourceInfo("a folder of class folders", recognises=lambda tree: True, order=1000))
def class_folders(tree: Tree) -> Source:
    """Reads `CLASS/.../picture.jpg`. Pictures beside the class folders belong to no class and are ignored.

    Raises:
        DataError: There is no picture, or none lies in a folder; or the folders look like splits whose names are misspelt.
    """
    pictures, others = list_pictures(tree)
    labels: dict[str, str] = {}  # one string for each class, not one for each picture
    inside: dict[str, set[str]] = {}
    items, loose = [], []
    for path in pictures:
        label, slash, rest = path.partition("/")
        if slash:
            inside.setdefault(label, set()).add(rest.rpartition("/")[0].partition("/")[0])
            items.append(Item(path, labels.setdefault(label, label)))
        else:
            loose.append(path)
    if not items:
        raise _no_classes(tree, loose, others)
    if meant := splits_misspelt(inside):
        raise _no_splits(tree, meant, inside)
    empty = [folder + "/" for folder in tree.folders if "/" not in folder and folder not in labels]
    return TreeSource("class_folders", tree, items, ignored=sorted(loose + others + empty))


def _no_splits(tree: Tree, meant: Mapping[str, Split], inside: Mapping[str, Collection[str]]) -> DataError:
    folders = [*inside]
    wrong = [f"{name!r} to {split!r}" for name, split in meant.items() if split_named(name) != split]
    unknown = [name for name in folders if name not in meant]
    rename = f"rename {', '.join(wrong)}" if wrong else f"rename {unknown[0]!r} to 'train'" if unknown else "name one of them 'train'"
    return DataError(
        f"the folders of {tree.location!r} look like parts of a split, not like classes",
        got=f"{', '.join(map(repr, folders[:5]))}, each with {', '.join(map(repr, sorted(inside[folders[0]])[:5]))} in it",
        expected="'train' beside 'validation' or 'test', each with the class folders in it; or a folder for each class",
        fix=f"{rename}; if they are classes after all, list the pictures in a CSV (path,label)",
    )


def _no_classes(tree: Tree, loose: Sequence[str], others: Sequence[str]) -> DataError:
    if loose:
        return DataError(
            f"{tree.location!r} holds pictures but no class folders",
            got=f"{len(loose)} pictures side by side, the first {loose[0]!r}",
            expected="a folder for each class, named as the class, with its pictures in it",
            fix="make a folder for each class and move its pictures there, or list them in a CSV (path,label)",
        )
    tables = [path for path in others if path.lower().endswith(".csv")]
    return DataError(
        f"{tree.location!r} holds no pictures" if others or tree.folders else f"{tree.location!r} is empty",
        got=f"{len(others)} other files" + (f", the first {others[0]!r}" if others else ""),
        expected="a folder for each class, with pictures in it",
        fix=f"pass the table itself: {tables[0]!r} within it"
        if tables
        else "check the path; pictures are found by their suffix (.jpg, .png, ...)",
    )
