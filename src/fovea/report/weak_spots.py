"""The slices on the page: where it does worse, which of it is more than luck, and pictures of the worst."""

from collections.abc import Sequence
from dataclasses import dataclass

from fovea.report.data import Json, ReportData
from fovea.report.words import count, percent

_MOST = 12  # rows; all stand in metrics.json


@dataclass(frozen=True)
class WeakSpots:
    """What the section shows: the sentence, the first rows as in metrics.json, and how many there are in all."""

    sentence: str
    rows: Sequence[Json]
    of: int


def weak_spots(data: ReportData) -> WeakSpots | None:
    """The section of the slices; None where there are none."""
    if not data.slices:
        return None
    worse = [row for row in data.slices if row["worse"]]
    if worse:
        said = "; ".join(
            f"{row['name']} (right {percent(row['accuracy'])} of the time, {percent(row['others'])} elsewhere, {count(row['n'], data.noun)})"
            for row in worse[:3]
        )
        sentence = f"It does worse on some kinds of {data.noun}, by more than luck: {said}."
    else:
        lowest = data.slices[0]
        sentence = (
            f"No kind of {data.noun} stands out. The lowest of {len(data.slices):,}, “{lowest['name']}”, is right {percent(lowest['accuracy'])} of "
            f"the time on {count(lowest['n'], data.noun)}, which luck alone explains."
        )
    return WeakSpots(f"{sentence} {data.right_means}".rstrip(), data.slices[:_MOST], len(data.slices))
