"""Whether a model tells a class by one and the same place at the rim of its pictures: a logo, a date, a scanner's mark.

Heat alone cannot say so: cats may well sit in one corner, and the heat of a frozen network is spread wide. So the model is put to a test: the
place is cut out of pictures of the class and put into others, at the same place. If they are then taken for the class, and are not when
they get that place of one another, the model goes by it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Ints, Pixels

Answers = Callable[[Pixels], Floats]  # uint8 (B, H, W, 3) -> (B, K)

FALSE_ALARMS = 0.01  # at most this share of models that go by no such place is warned of, all classes and places together
_CORNER, _STRIP = 1 / 4, 1 / 8  # of the side: a mark of a fifth lies within a corner, a line of text within a strip
_SUSPECT = 1 / 6  # of the pictures must follow the whole rim of another, or no part of it is looked into
_CHANGED = 1 / 3  # of the pictures: what changes fewer answers is no shortcut worth a warning, however sure it is
_FEWEST = 4  # pictures of a class: one alone may have its object in that very place
_RIM_TRIED, _FIRST_TRIED, _TRIED = 24, 12, 32  # pictures; 32 to 0 has a p value of 2e-10
_MOST_CLASSES, _MOST_TESTED = 6, 3

Region = tuple[slice, slice]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shortcut:
    """A place by which a model tells a class.

    Args:
        class_name: The class.
        place: In words.
        changed: Of `n` pictures of other classes so many were taken for the class with this place of one of its pictures.
        by_themselves: And so many with this place of each other.
        n: Pictures that were tried.
        p_value: Of the difference, for all that was asked together.
    """

    class_name: str
    place: str
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
    answers: Answers,
    pictures: Pixels,
    class_names: Sequence[str],
    *,
    classes: Ints | None = None,
    more: Callable[[], Pixels] | None = None,
    seed: int = 0,
) -> list[Shortcut]:
    """The places at the rim by which the model tells a class, the surest first.

    A model that goes by none is asked about 24 pictures and those given; only one that follows the whole rim is tested place by place.

    Args:
        answers: The model: of each picture the answers of all classes, of which the largest counts.
        pictures: uint8 (N, H, W, 3), as the model sees them, of several classes.
        class_names: Of the answers.
        classes: Of the pictures, where it is known what the model answers.
        more: Gives further pictures where there is something to look into: about twenty of other classes are needed.
        seed: Pairs the pictures.

    Returns:
        Of a model whose answers do not depend on a place the list is empty, but for a share of `FALSE_ALARMS`: the test is an exact one
        on pairs (McNemar 1947), with Bonferroni's correction for every class and place.
    """
    rng, regions = np.random.default_rng(seed), dict(_regions(pictures.shape[1], pictures.shape[2]))
    if classes is None:
        classes = answers(pictures).argmax(axis=1)
    if not _follows_rim(answers, pictures, classes, list(regions.values()), rng):
        return []
    if more is not None and len(further := more()):
        classes = np.concatenate([classes, answers(further).argmax(axis=1)])
        pictures = np.concatenate([pictures, further])
    numbers, counts = np.unique(classes, return_counts=True)
    common = [int(numbers[i]) for i in np.argsort(-counts, kind="stable")[:_MOST_CLASSES] if _FEWEST <= counts[i] <= len(classes) - _FEWEST]
    suspects = []
    for number in common:
        recipients, donors = _pairs(classes, number, _FIRST_TRIED, rng)
        for place, region in regions.items():
            suspects.append((float(_taken_for(answers, pictures, recipients, donors, region, number).mean()), number, place))
    tested = (
        _tested(answers, pictures, classes, number, (place, regions[place]), class_names, rng, len(class_names) * len(regions))
        for share, number, place in sorted(suspects, key=lambda each: (-each[0], _area(regions[each[2]])))[:_MOST_TESTED]
        if share >= _CHANGED
    )
    # A mark in a corner also lies in two strips, and its absence tells another class: it is said once, of the smallest place that does.
    found = sorted(
        [each for each in tested if each is not None], key=lambda each: (_area(regions[each.place]), each.p_value, -each.changed)
    )
    told: list[Shortcut] = []
    for each in found:
        if not any(_overlap(regions[each.place], regions[other.place]) for other in told):
            told.append(each)
    return sorted(told, key=lambda each: each.p_value)


def _tested(
    answers: Answers,
    pictures: Pixels,
    classes: Ints,
    number: int,
    place: tuple[str, Region],
    class_names: Sequence[str],
    rng: np.random.Generator,
    num_questions: int,
) -> Shortcut | None:
    """The test of one class and place."""
    recipients, donors = _pairs(classes, number, _TRIED, rng)
    among = np.roll(recipients, 1)  # each gets the place of another one, and never its own
    becomes = _taken_for(answers, pictures, recipients, donors, place[1], number)
    anyway = _taken_for(answers, pictures, recipients, among, place[1], number)
    p_value = min(1.0, num_questions * _p_value(int((becomes & ~anyway).sum()), int((anyway & ~becomes).sum())))
    if p_value >= FALSE_ALARMS or becomes.mean() - anyway.mean() < _CHANGED:
        return None
    return Shortcut(class_names[number], place[0], int(becomes.sum()), int(anyway.sum()), len(recipients), p_value)


def _follows_rim(answers: Answers, pictures: Pixels, classes: Ints, regions: Sequence[Region], rng: np.random.Generator) -> bool:
    """Whether some pictures are taken for what another one shows, once they have all of its rim."""
    recipients = rng.permutation(len(pictures))[:_RIM_TRIED]
    pairs = [(row, others) for row in recipients if len(others := np.flatnonzero(classes != classes[row]))]
    if not pairs:
        return False
    donors = [int(rng.choice(others)) for _, others in pairs]
    changed = pictures[[row for row, _ in pairs]].copy()
    for rows, columns in regions:
        changed[:, rows, columns] = pictures[donors][:, rows, columns]
    return bool((answers(changed).argmax(axis=1) == classes[donors]).mean() >= _SUSPECT)


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


def _area(region: Region) -> int:
    rows, columns = region
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _overlap(one: Region, other: Region) -> bool:
    return all(a.start < b.stop and b.start < a.stop for a, b in zip(one, other, strict=True))


def _pairs(classes: Ints, number: int, most: int, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Pictures of other classes, and for each one of the class, every one of those in turn."""
    recipients = rng.permutation(np.flatnonzero(classes != number))[:most]
    return recipients, np.resize(rng.permutation(np.flatnonzero(classes == number)), len(recipients))


def _taken_for(answers: Answers, pictures: Pixels, recipients: Ints, donors: Ints, region: Region, number: int) -> Flags:
    """Which of the recipients are taken for the class once they have that place of the donors."""
    changed = pictures[recipients].copy()
    rows, columns = region
    changed[:, rows, columns] = pictures[donors][:, rows, columns]
    taken: Flags = answers(changed).argmax(axis=1) == number
    return taken


def _p_value(only_first: int, only_second: int) -> float:
    """How often pairs that do not care fall so one-sidedly: the binomial tail, exact."""
    from scipy.special import bdtrc  # scipy.stats would take half a second to import

    return float(bdtrc(only_first - 1, only_first + only_second, 0.5)) if only_first else 1.0
