"""Arrays in one `.npz` file, as MNIST and its like are handed around: `train_images`, `train_labels`, and the same of test.

Keras's own names (`x_train`, `y_train`, `x_test`, `y_test`) are understood too. Where there is no validation, it is drawn from train.
"""

import io

import numpy as np
import numpy.typing as npt

from fovea.data.source import SOURCES, Source, SourceInfo
from fovea.data.sources._png import write_png
from fovea.data.trees import Tree
from fovea.errors import DataError, UnreadableImage
from fovea.types import Item, Pixels, Split

_NAMES: dict[Split, tuple[tuple[str, str], ...]] = {
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "validation": (("validation_images", "validation_labels"), ("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}


class _Arrays(Source):
    """Each picture is a PNG that is made when it is read."""

    def __init__(self, tree: Tree) -> None:
        items: list[Item] = []
        self._pictures: dict[str, tuple[Split, int]] = {}
        self._arrays: dict[Split, Pixels] = {}
        self._tree = tree
        for split, names in _NAMES.items():
            pair = next((pair for pair in names if tree.has(f"{pair[0]}.npy") and tree.has(f"{pair[1]}.npy")), None)
            if pair is None:
                continue
            pictures, labels = _load(tree, pair[0]), _load(tree, pair[1]).reshape(-1)
            self._arrays[split] = _checked(tree, pair[0], pictures, labels)
            for index, label in enumerate(labels):
                path = f"{split}/{label}/{index:06d}.png"
                items.append(Item(path, str(label), split))
                self._pictures[path] = (split, index)
        super().__init__("npz_arrays", tree.location, sorted(items, key=lambda item: item.path))

    def read(self, item: Item) -> bytes:
        if item.path not in self._pictures:
            raise UnreadableImage(
                f"{item.path!r} does not exist",
                got=f"no such picture in {self.location!r}",
                expected=self.items[0].path,
                fix="take an item of `items`",
            )
        split, index = self._pictures[item.path]
        return write_png(self._arrays[split][index])

    def close(self) -> None:
        self._tree.close()


def _load(tree: Tree, name: str) -> npt.NDArray[np.generic]:
    try:
        found: npt.NDArray[np.generic] = np.load(io.BytesIO(tree.read(f"{name}.npy")), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(
            f"{name} in {tree.location!r} cannot be read",
            got=str(error).splitlines()[0],
            expected="a plain array (objects are never unpickled)",
            fix="save it again with numpy.savez, as numbers",
        ) from error
    return found


def _checked(tree: Tree, name: str, pictures: npt.NDArray[np.generic], labels: npt.NDArray[np.generic]) -> Pixels:
    """The pictures as uint8 (N, H, W) or (N, H, W, 3).

    Raises:
        DataError: They are no pictures, or not as many as labels.
    """
    if pictures.ndim == 4 and pictures.shape[3] == 1:
        pictures = pictures[..., 0]
    if (
        pictures.dtype != np.uint8
        or not (pictures.ndim == 3 or (pictures.ndim == 4 and pictures.shape[3] == 3))
        or len(pictures) != len(labels)
    ):
        raise DataError(
            f"{name} in {tree.location!r} is no row of labelled pictures",
            got=f"{pictures.dtype} {pictures.shape} and {len(labels):,} labels",
            expected="uint8 (N, H, W) or (N, H, W, 3), and N labels",
            fix="save levels of 0 to 255 as uint8, and a label for each picture",
        )
    return pictures.astype(np.uint8, copy=False)


def _recognises(tree: Tree) -> bool:
    return any(tree.has(f"{images}.npy") and tree.has(f"{labels}.npy") for images, labels in _NAMES["train"])


@SOURCES.add(SourceInfo("arrays in an .npz file (train_images, train_labels, ...), as of MNIST", recognises=_recognises, order=5))
def npz_arrays(tree: Tree) -> Source:
    """Arrays of pictures and labels."""
    return _Arrays(tree)
