"""Which pictures of a training stand on the map of its embeddings, and where."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from fovea.embeddings.project import neighbourly, principal
from fovea.report.data import EmbeddingMap, Point
from fovea.types import Floats

Way = Literal["pca", "tsne"]
MOST = 240  # pictures: so many can still be told apart, and their thumbnails are under 1 MB
_MOST_WRONG = 80  # of them, so that the others still show where each class lies
_DIGITS = 4


def chosen_rows(labels: Sequence[str], wrong: Sequence[int], *, most: int = MOST) -> list[int]:
    """At most so many rows: mistakes first (as they stand in `wrong`), then every class alike, evenly over its rows."""
    taken = list(dict.fromkeys(wrong))[: min(_MOST_WRONG, most)]
    left = defaultdict(list)
    for row in sorted(set(range(len(labels))) - set(wrong)):
        left[labels[row]].append(row)
    spread = {name: iter([rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(int)]) for name, rows in left.items()}
    while spread and len(taken) < most:
        for name in list(spread):
            following = next(spread[name], None)
            if following is None:
                del spread[name]
            elif len(taken) < most:
                taken.append(following)
    return taken


def map_of(points: Sequence[Point], vectors: Floats, *, method: Way, split: str, total: int, seed: int) -> EmbeddingMap:
    """The map of these pictures.

    Args:
        points: The pictures.
        vectors: (N, D) their embeddings.
        method: How they are put on a plane.
        split, total: Where they are from, and how many pictures it has.
        seed: Of t-SNE.
    """
    coordinates, kept = principal(vectors)
    padded = np.pad(coordinates, ((0, 0), (0, max(0, 2 - coordinates.shape[1]))))
    rounded = [[float(f"{value:.{_DIGITS}g}") for value in row] for row in coordinates]
    found = EmbeddingMap(
        points,
        [(float(x), float(y)) for x, y in padded[:, :2]],
        "pca",
        float(kept[:2].sum()),
        coordinates=rounded,
        split=split,
        total=total,
    )
    return redrawn(found, method, seed=seed)


def redrawn(found: EmbeddingMap, method: Way, *, seed: int) -> EmbeddingMap:
    """The same pictures, put on a plane in another way."""
    if method == found.method or not found.coordinates:
        return found
    if method == "tsne":
        places = neighbourly(found.coordinates, seed=seed)
        return replace(found, places=[(float(x), float(y)) for x, y in places], method="tsne", kept=None)
    coordinates, kept = principal(found.coordinates)
    padded = np.pad(coordinates, ((0, 0), (0, max(0, 2 - coordinates.shape[1]))))
    return replace(found, places=[(float(x), float(y)) for x, y in padded[:, :2]], method="pca", kept=float(kept[:2].sum()))
