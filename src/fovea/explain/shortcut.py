"""Whether a model tells a class by one and the same place at the rim of its pictures: a logo, a date, a scanner's mark.

Heat alone cannot say so: cats may well sit in one corner. So it only says where to look. There the place is cut out of pictures of the class
and put into others, at the same place: if they are then taken for the class, and are not when they get that place of one another,
the model goes by it. That is an experiment on the model, with a p value, and needs no assumption about what heat means.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fovea.types import Floats, Ints, Pixels

Answers = Callable[[Pixels], Floats]  # uint8 (B, H, W, 3) -> (B, K)

FALSE_ALARMS = 0.01  # at most this share of models that go by no such place is warned of, all classes and places together
_CORNER, _STRIP = 1 / 4, 1 / 8  # of the side: a mark of a fifth lies within a corner, a line of text within a strip
_CONCENTRATED = 3.0  # times the heat of its area: below it there is nothing to look into
_FEWEST = 4  # pictures of a class
_CHANGED = 1 / 3  # of the pictures: what changes fewer answers is no shortcut worth a warning, however sure it is
_MOST_RECIPIENTS = 24  # 20 to 0 has a p value of 1e-6; more pictures only take longer
_MOST_TRIED = 3

Region = tuple[slice, slice]


@dataclass(frozen=True)
class Shortcut:
    """A place by which a model tells a class.

    Args:
        class_name: The class.
        place: In words.
        heat: The share of the heat of its pictures that lies there, 0 to 1.
        changed: Of `n` pictures of other classes so many were taken for the class with this place of one of its pictures.
        by_themselves: And so many with this place of each other.
        n: Pictures that were tried.
        p_value: Of the difference, for all that was asked together.
    """

    class_name: str
    place: str
    heat: float
    changed: int
    by_themselves: int
    n: int
    p_value: float

    def __str__(self) -> str:
        return (
            f"It tells {self.class_name!r} by the {self.place} of the picture. With that part of a picture of {self.class_name!r} pasted in, "
            f"{self.changed} of {self.n} pictures of other classes were taken for {self.class_name!r}; "
            f"with that part of each other, {self.by_themselves} were."
        )


def find_shortcuts(
    answers: Answers, pictures: Pixels, heats: Floats, class_names: Sequence[str], *, predicted: Ints | None = None, seed: int = 0
) -> list[Shortcut]:
    """The places at the rim by which the model tells a class, the surest first.

    Args:
        answers: The model: of each picture the answers of all classes, of which the largest counts.
        pictures: uint8 (N, H, W, 3), as the model sees them, of several classes.
        heats: (N, H, W) in 0..1, of the class that was answered.
        class_names: Of the answers.
        predicted: (N,) what was answered, where that is known.
        seed: Pairs the pictures.

    Returns:
        Where the model goes by no such place the list is empty, but for a share of `FALSE_ALARMS`: the test is an exact one on pairs
        (McNemar 1947), with Bonferroni's correction for each class and place.
    """
    classes = answers(pictures).argmax(axis=1) if predicted is None else predicted
    regions = dict(_regions(pictures.shape[1], pictures.shape[2]))
    suspects = sorted(_suspects(heats, classes, regions), reverse=True)[:_MOST_TRIED]
    rng = np.random.default_rng(seed)
    found = []
    for share, number, place in suspects:
        others = rng.permutation(np.flatnonzero(classes != number))[:_MOST_RECIPIENTS]
        if len(others) < _FEWEST:
            continue
        donors = rng.permutation(np.flatnonzero(classes == number))
        among = np.roll(others, 1)  # each gets the place of another one, and never its own
        becomes = _taken_for(answers, pictures, others, np.resize(donors, len(others)), regions[place], number)
        anyway = _taken_for(answers, pictures, others, among, regions[place], number)
        p_value = min(1.0, _p_value(int((becomes & ~anyway).sum()), int((anyway & ~becomes).sum())) * len(class_names) * len(regions))
        if p_value < FALSE_ALARMS and (becomes.mean() - anyway.mean()) >= _CHANGED:
            found.append(Shortcut(class_names[number], place, share[1], int(becomes.sum()), int(anyway.sum()), len(others), p_value))
    return found


def _regions(height: int, width: int) -> Iterator[tuple[str, Region]]:
    """Corners and strips along the edges, by name."""
    h, w = round(height * _CORNER), round(width * _CORNER)
    rows, columns = {"top": slice(0, h), "bottom": slice(height - h, height)}, {"left": slice(0, w), "right": slice(width - w, width)}
    for upper, row in rows.items():
        for side, column in columns.items():
            yield f"{upper} {side} corner", (row, column)
    h, w = round(height * _STRIP), round(width * _STRIP)
    yield "top edge", (slice(0, h), slice(0, width))
    yield "bottom edge", (slice(height - h, height), slice(0, width))
    yield "left edge", (slice(0, height), slice(0, w))
    yield "right edge", (slice(0, height), slice(width - w, width))


def _suspects(heats: Floats, classes: Ints, regions: dict[str, Region]) -> Iterator[tuple[tuple[float, float], int, str]]:
    """Classes whose heat lies at one place again and again: how much denser than elsewhere and what share of it, the class, the place."""
    for number in np.unique(classes):
        mine = heats[classes == number]
        totals = mine.sum(axis=(1, 2), dtype=np.float64)
        mine, totals = mine[totals > 0], totals[totals > 0]
        if len(mine) < _FEWEST:
            continue
        for place, (rows, columns) in regions.items():
            part = mine[:, rows, columns]
            share = float((part.sum(axis=(1, 2), dtype=np.float64) / totals).mean())
            density = share * mine[0].size / part[0].size
            if density >= _CONCENTRATED:
                yield (density, share), int(number), place


def _taken_for(
    answers: Answers, pictures: Pixels, recipients: Ints, donors: Ints, region: Region, number: int
) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which of the recipients are taken for the class once they have that place of the donors."""
    changed = pictures[recipients].copy()
    rows, columns = region
    changed[:, rows, columns] = pictures[donors][:, rows, columns]
    taken: np.ndarray[tuple[int], np.dtype[np.bool_]] = answers(changed).argmax(axis=1) == number
    return taken


def _p_value(only_first: int, only_second: int) -> float:
    """How often pairs that do not care fall so one-sidedly: the binomial tail, exact."""
    from scipy.special import bdtrc  # scipy.stats would take half a second to import

    return float(bdtrc(only_first - 1, only_first + only_second, 0.5)) if only_first else 1.0
