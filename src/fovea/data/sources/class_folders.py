"""A folder of class folders: the first level names the class, and its pictures lie anywhere below."""

from collections.abc import Sequence

from fovea.data.source import SOURCES, Source, SourceInfo, TreeSource
from fovea.data.trees import Tree, list_pictures
from fovea.errors import DataError
from fovea.types import Item


@SOURCES.add(SourceInfo("a folder of class folders", recognises=lambda tree: True, order=1000))
def class_folders(tree: Tree) -> Source:
    """Reads `CLASS/.../picture.jpg`. Pictures beside the class folders belong to no class and are ignored.

    Raises:
        DataError: There is no picture, or none lies in a folder.
    """
    pictures, others = list_pictures(tree)
    labels: dict[str, str] = {}  # one string for each class, not one for each picture
    items, loose = [], []
    for path in pictures:
        label, slash, _ = path.partition("/")
        if slash:
            items.append(Item(path, labels.setdefault(label, label)))
        else:
            loose.append(path)
    if not items:
        raise _no_classes(tree, loose, others)
    empty = [folder + "/" for folder in tree.folders if "/" not in folder and folder not in labels]
    return TreeSource("class_folders", tree, items, ignored=sorted(loose + others + empty))


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
