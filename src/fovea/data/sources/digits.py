"""scikit-learn's real handwriting: 1,797 digits of 8x8 pixels (Alpaydin and Kaynak 1998, UCI repository, CC BY 4.0)."""

import numpy as np

from fovea.data.source import SOURCES, Source, SourceInfo
from fovea.data.sources._png import write_png
from fovea.errors import UnreadableImage, missing_extra
from fovea.types import Item, Pixels

_WHITE = 16  # the data's own scale ends here


class _Digits(Source):
    def __init__(self, pictures: Pixels, labels: list[str]) -> None:
        """`pictures` are (N, 8, 8) grey."""
        paths = [f"{label}/{index:04d}.png" for index, label in enumerate(labels)]
        self._index = {path: index for index, path in enumerate(paths)}
        super().__init__("digits", "digits", [Item(path, path[0]) for path in sorted(paths)])
        self._pictures = pictures

    def read(self, item: Item) -> bytes:
        if item.path not in self._index:
            raise UnreadableImage(
                f"{item.path!r} does not exist",
                got="no such picture in the built-in digits",
                expected=self.items[0].path,
                fix="take an item of `items`",
            )
        return write_png(self._pictures[self._index[item.path]])


@SOURCES.add(SourceInfo("1,797 handwritten digits of 8x8 pixels, ten classes, from scikit-learn"))
def digits(*, seed: int = 0, max_items: int | None = None) -> Source:
    """The digits as grey PNG files, white on black, 0..16 scaled to 0..255; `seed` and `max_items` change nothing here."""
    try:
        from sklearn.datasets import load_digits  # a second to import, and few need it
    except ImportError as error:
        raise missing_extra("scikit-learn", "train", "the built-in data 'digits'") from error
    data = load_digits()
    pictures = np.rint(data.images * (255 / _WHITE)).astype(np.uint8)  # (1797, 8, 8)
    return _Digits(pictures, [str(label) for label in data.target])
