"""The map of the embeddings: which pictures look alike to the model, each to be looked at by pointing at it or by the arrow keys."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.report.data import EmbeddingMap, Point, ReportData
from fovea.report.measured import Measured
from fovea.report.pictures import Embedded, embed
from fovea.report.words import percent, short

_SYMBOLS = 8  # as many as the page has colours and shapes
_THUMB_PX = 72
_QUALITY = 72
_MARGIN = 0.04  # of the map's side, so that no symbol is cut


@dataclass(frozen=True)
class Dot:
    """One picture on the map.

    Args:
        left, top: In percent of the map's sides.
        symbol: 0 to 7, or 8 for all classes that have none of their own.
        label: What a screen reader says of it.
        image: Shown beside it, or None.
        caption: Under the picture.
        wrong: Ringed.
        side: Where the picture opens, so that it stays on the map: "left" or "right", "up" or "down".
    """

    left: float
    top: float
    symbol: int
    label: str
    image: Embedded | None
    caption: str
    wrong: bool
    side: str


def shown_map(data: ReportData, result: Measured | None) -> Mapping[str, Any] | None:
    """The dots and their legend; None without a map, or with fewer than three points that lie apart."""
    found = data.map
    if found is None or len(found.points) < 3:
        return None
    places = np.array(found.places, np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    if not np.isfinite(places).all() or (high <= low).all():
        return None
    names = [name for name, _ in Counter(point.true for point in found.points).most_common()]
    # where there are more classes than symbols, those with the most mistakes have their own
    if len(names) > _SYMBOLS:
        wrong = Counter(point.true for point in found.points if point.wrong)
        names = sorted(names, key=lambda name: -wrong[name])[:_SYMBOLS]
    names = [name for name in data.class_names if name in names] or sorted(names)
    symbols = {name: index for index, name in enumerate(names)}
    scaled = _MARGIN + (1 - 2 * _MARGIN) * (places - low) / np.where(high > low, high - low, 1.0)
    dots = [
        _dot(point, 100 * float(x), 100 * (1 - float(y)), symbols.get(point.true, _SYMBOLS))
        for point, (x, y) in zip(found.points, scaled, strict=True)
    ]
    # The arrow keys go through them in this order: mistakes first, then class by class from left to right.
    dots.sort(key=lambda dot: (not dot.wrong, dot.symbol, dot.left))
    legend = [(symbols[name], short(name, 40)) for name in names]
    if any(dot.symbol == _SYMBOLS for dot in dots):
        legend.append((_SYMBOLS, f"other {'classes' if data.class_noun == 'class' else data.class_noun + 's'}"))
    return {"map": found, "dots": dots, "legend": legend, "told": _told(found), "num_wrong": sum(dot.wrong for dot in dots)}


def _dot(point: Point, left: float, top: float, symbol: int) -> Dot:
    said = f"{point.true}, taken for {point.predicted}" if point.wrong else point.true
    side = f"{'left' if left > 50 else 'right'} {'up' if top > 50 else 'down'}"
    image = None if point.pixels is None else embed(point.pixels, longest_px=_THUMB_PX, quality=_QUALITY)
    return Dot(left, top, symbol, f"{short(said, 90)}: {short(point.path, 60)}", image, short(said, 60), point.wrong, side)


def _told(found: EmbeddingMap) -> str:
    """How the map was made and how far it can be believed."""
    if found.method == "tsne":
        return (
            "Made by t-SNE: neighbours on the map are neighbours in the numbers. How far apart two groups lie, and how large they are, means "
            "nothing."
        )
    kept = f" They keep {percent(found.kept)} of it, so pictures that lie together here may be far apart." if found.kept is not None else ""
    return f"The two directions along which the numbers vary most (principal components).{kept}"
