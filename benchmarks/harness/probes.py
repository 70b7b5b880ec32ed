"""Linear probes on the frozen embeddings of labelled pictures, by any weights, and by handcrafted features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fovea.data import Source
    from fovea.types import Floats, Item, Pixels

NUM_FOLDS = 5


@dataclass(frozen=True)
class Way:
    """A source of vectors, and the sides in pixels at which it may look: validation chooses one. No backbone: handcrafted features."""

    name: str
    backbone: str
    weights: str
    sides_px: tuple[int, ...]


class Labelled:
    """Pictures of one task, their vectors by way and side, and probes on them."""

    def __init__(self, data: str) -> None:
        import numpy as np

        from fovea.data import assign_splits, open_source
        from fovea.embeddings.store import EmbeddingStore
        from fovea.loading.scan import scan

        self.data, self.store = data, EmbeddingStore()
        with open_source(data) as source:
            self.seen = scan(source)
            self.num_classes = len(source.class_names)
            self.targets = np.array([source.class_names.index(item.label or "") for item in self.seen.items])
        self.splits = np.array(assign_splits(self.seen.items, self.seen.hashes, seed=0))
        self._vectors = cache(self._look)

    def probe(self, way: Way, side: int, split: str) -> tuple[int, int]:
        """Learns on train, and answers the split: how many are right, of how many."""
        import numpy as np

        from fovea.training.logistic import fit_logistic

        vectors, train, asked = self._vectors(way, side), np.flatnonzero(self.splits == "train"), np.flatnonzero(self.splits == split)
        fitted = fit_logistic(vectors[train], self.targets[train], train, num_classes=self.num_classes, seed=0)
        answers = (vectors[asked] @ fitted.weight.T + fitted.bias).argmax(1)
        return int((answers == self.targets[asked]).sum()), len(asked)

    def cross_validated(self, way: Way, side: int) -> "npt.NDArray[np.bool_]":
        """Of all pictures but the test split's, each answered by a probe that learned from the other folds: which are right."""
        import numpy as np

        from fovea.data import assign_folds
        from fovea.training.logistic import fit_logistic

        rows = np.flatnonzero(self.splits != "test")
        vectors, targets, right = self._vectors(way, side)[rows], self.targets[rows], np.zeros(len(rows), bool)
        folds = np.array(
            assign_folds([self.seen.items[row] for row in rows], [self.seen.hashes[row] for row in rows], num_folds=NUM_FOLDS, seed=0)
        )
        for fold in range(NUM_FOLDS):
            learns, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            fitted = fit_logistic(vectors[learns], targets[learns], learns, num_classes=self.num_classes, seed=0)
            right[asked] = (vectors[asked] @ fitted.weight.T + fitted.bias).argmax(1) == targets[asked]
        return right

    def _look(self, way: Way, side: int) -> "Floats":
        from fovea.data import open_source
        from fovea.embeddings.extract import embed
        from fovea.selection.choose import choose
        from fovea.training.settings import checked
        from fovea.training.strategies.probe import Probe

        with open_source(self.data) as source:
            if not way.backbone:
                return _handcrafted(source, self.seen.items, side)
            settings = checked(data=self.data, backbone=way.backbone, weights=way.weights, strategy="probe", image_size=side)
            embedder = Probe(choose(settings, source)).embedder
            return embed(source, self.seen.items, self.seen.hashes, embedder=embedder, store=self.store).vectors


def _handcrafted(source: "Source", items: "Sequence[Item]", side: int) -> "Floats":
    """(N, D): what was written by hand before networks learned it."""
    import numpy as np

    from fovea.data import decode
    from fovea.loading.parallel import map_ordered
    from fovea.transforms.preprocessing import square

    way = square(side)
    return np.stack(list(map_ordered(lambda item: _features(way.apply(decode(source.read(item), path=item.path).pixels)), items)))


def _features(pixels: "Pixels") -> "Floats":
    """Of one picture (S, S, 3): gradients (Dalal and Triggs 2005), colours on a grid of 4 x 4, and local binary patterns (Ojala 2002)."""
    import cv2
    import numpy as np

    picture = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
    grey, hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    parts = [_gradients(grey.astype(np.float32), cell) for cell in (8, 16)]
    large = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.int16)
    centre, (rows, columns) = large[1:-1, 1:-1], large.shape
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    codes = sum(((large[r : rows - 2 + r, c : columns - 2 + c] >= centre).astype(np.int16) << bit) for bit, (r, c) in enumerate(around))
    cells = [block for band in np.array_split(np.asarray(codes), 2) for block in np.array_split(band, 2, axis=1)]
    parts += [np.sqrt(np.bincount(block.ravel(), minlength=256) / block.size) for block in cells]
    for band in np.split(hsv, 4):
        for block in np.split(band, 4, axis=1):
            counts = cv2.calcHist([np.ascontiguousarray(block)], [0, 1, 2], None, [6, 3, 3], [0, 180, 0, 256, 0, 256])
            parts.append(np.sqrt(counts.ravel() / block[..., 0].size))
    return np.concatenate(parts).astype(np.float32)


def _gradients(grey: "Floats", cell: int) -> "Floats":
    """Histograms of oriented gradients of a picture (S, S): 9 directions, blocks of 2 x 2 cells, each brought to length 1."""
    import cv2
    import numpy as np

    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    strength, direction = np.hypot(across, down), (np.arctan2(down, across) % np.pi) * (9 / np.pi)
    lower = np.floor(direction)
    rest, side = direction - lower, len(grey) // cell
    cells = np.zeros((side, side, 9), np.float32)
    rows, columns = (places // cell for places in np.indices(grey.shape))
    for bins, weight in ((lower, 1 - rest), (lower + 1, rest)):
        np.add.at(cells, (rows, columns, bins.astype(int) % 9), weight * strength)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    return (blocks / np.sqrt(np.square(blocks).sum(axis=2, keepdims=True) + 1e-3)).ravel()
