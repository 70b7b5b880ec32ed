"""What a picture is labelled, told by something that is no part of what it shows: its size, its camera, its border, ..."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen
from fovea.types import PictureFacts

_P_VALUE = 0.001  # for all that is asked of the data together: divided by the number of questions (Bonferroni)
_SMALLEST_V = 0.3  # what chance does not explain may still be too weak to learn from
_NUM_BINS = 8  # of a number, each with as many pictures
_MOST_VALUES = 20  # of a name; the rarer ones are one
_FEWEST = 20  # pictures of a value: below it chi-square is no longer chi-square, and the rule below is learned by heart
_SHOWN = 8

_Table = npt.NDArray[np.int64]  # (values, classes)


def _brightness(fact: PictureFacts) -> float:
    red, green, blue = fact.border
    return 0.299 * red + 0.587 * green + 0.114 * blue


# What is asked, in words, and what answers: a name or a number.
_NAMES: dict[str, Callable[[PictureFacts], str]] = {
    "file format": lambda fact: fact.format,
    "kind of colour": lambda fact: fact.mode,
    "camera": lambda fact: fact.camera or "no camera named",
    "exact size": lambda fact: f"{fact.width_px} x {fact.height_px} px",
}
_NUMBERS: dict[str, Callable[[PictureFacts], float]] = {
    "size": lambda fact: (fact.width_px * fact.height_px) ** 0.5,
    "aspect": lambda fact: fact.width_px / fact.height_px,
    "brightness of the border": _brightness,
    "border from blue to red": lambda fact: fact.border[0] - fact.border[2],
    "border from green to purple": lambda fact: (fact.border[0] + fact.border[2]) / 2 - fact.border[1],
    "sharpness": lambda fact: fact.sharpness,
}


@dataclass(frozen=True)
class _Asked:
    """One question to the data: the value of each picture, as a number of its name."""

    what: str
    values: npt.NDArray[np.int64]
    names: Sequence[str]


@FINDINGS.add(
    FindingInfo(
        order=45,
        level="doubt",
        one="1 shortcut: something beside the picture's content tells its class",
        many="{n} shortcuts: things beside the pictures' content tell their class",
        meaning="A model may learn this instead of what you want it to see, and fails as soon as it meets pictures made otherwise.",
        fix="collect each class in the same way; or test with pictures where the classes do not differ in this",
    )
)
def shortcuts(seen: Seen) -> list[Fault]:
    """Properties that correlate with the class more than chance explains, and enough to be learned.

    Each property's values are counted against the classes. Chance is judged by the chi-square test, with Bonferroni's
    correction; strength by Cramer's V without its bias (Bergsma, "A bias-correction for Cramer's V", 2013): 0 is no relation, 1
    is a rule without exception. Equal files count once.
    """
    rows = [of[0] for of in seen.rows_of.values() if seen.items[of[0]].label is not None]
    names = sorted({seen.items[row].label or "" for row in rows})
    if len(names) < 2 or not seen.kind.exclusive:
        return []
    place = {name: index for index, name in enumerate(names)}
    classes = np.array([place[seen.items[row].label or ""] for row in rows], np.int64)
    questions = [asked for asked in _questions([seen.fact(row) for row in rows]) if len(asked.names) > 1]
    found = []
    for asked in questions:
        table = np.zeros((len(asked.names), len(names)), np.int64)
        np.add.at(table, (asked.values, classes), 1)
        strength, p_value = _relation(table)
        if strength >= _SMALLEST_V and p_value * len(questions) < _P_VALUE:
            found.append((strength, _fault(asked, table, names, strength, p_value * len(questions), np.array(rows), classes, seen)))
    return [fault for _, fault in sorted(found, key=lambda pair: -pair[0])]


def _fault(
    asked: _Asked, table: _Table, names: Sequence[str], strength: float, p_value: float, rows: _Table, classes: _Table, seen: Seen
) -> Fault:
    total = int(table.sum())
    guessed, chance = float(table.max(axis=1).sum() / total), float(table.sum(axis=0).max() / total)
    value, label = (int(v) for v in np.unravel_index(_excess(table).argmax(), table.shape))
    share = table[value, label] / table[value].sum()
    problem = (
        f"the {asked.what} tells the class (Cramér's V {strength:.2f}): {share:.0%} of the {table[value].sum():,} pictures with "
        f"{asked.names[value]} are {names[label]}. Knowing only this, {guessed:.0%} of the labels can be guessed, and {chance:.0%} knowing nothing"
    )
    told = {
        "what": asked.what,
        "cramers_v": round(strength, 3),
        "p_value": p_value,
        "guessed": round(guessed, 4),
        "chance": round(chance, 4),
        "values": [{"value": name, "counts": dict(zip(names, map(int, table[i]), strict=True))} for i, name in enumerate(asked.names)]
        if table.size <= 2_000
        else [],
        "problem": problem,
        "fix": "see whether the classes were collected in different ways",
    }
    shown = rows[(asked.values == value) & (classes == label)][:_SHOWN]
    return Fault(tuple(int(row) for row in shown), problem, told)


def _questions(facts: Sequence[PictureFacts]) -> list[_Asked]:
    asked = []
    for what, name_of in _NAMES.items():
        texts = [name_of(fact) for fact in facts]
        kept = [name for name, count in Counter(texts).most_common(_MOST_VALUES) if count >= _FEWEST]
        place = {name: index for index, name in enumerate(kept)}
        values = np.array([place.get(text, len(kept)) for text in texts], np.int64)
        asked.append(_without_rare(_Asked(what, values, [*kept, "another one"])))
    for what, number_of in _NUMBERS.items():
        numbers = np.array([number_of(fact) for fact in facts])
        bounds = np.unique(np.quantile(numbers, np.linspace(0, 1, _NUM_BINS + 1)[1:-1]))
        values = np.searchsorted(bounds, numbers, side="left")
        ends = [numbers.min(), *bounds, numbers.max()]
        names = [f"{what} {low:.4g} to {high:.4g}" for low, high in pairwise(ends)]
        asked.append(_without_rare(_Asked(what, values, names)))
    return asked


def _without_rare(asked: _Asked) -> _Asked:
    """Only values that enough pictures have; the few pictures of the others are put to the commonest, where they weigh least."""
    counts = np.bincount(asked.values, minlength=len(asked.names))
    kept = np.flatnonzero(counts >= _FEWEST)
    if len(kept) < 2:
        return _Asked(asked.what, np.zeros_like(asked.values), ["any"])
    new = np.full(len(asked.names), int(np.searchsorted(kept, counts.argmax())))
    new[kept] = np.arange(len(kept))
    return _Asked(asked.what, new[asked.values], [asked.names[int(i)] for i in kept])


def _expected(table: _Table) -> npt.NDArray[np.float64]:
    expected: npt.NDArray[np.float64] = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    return expected


def _excess(table: _Table) -> npt.NDArray[np.float64]:
    """By how many standard deviations each cell has more than chance would give it."""
    expected = _expected(table)
    excess: npt.NDArray[np.float64] = (table - expected) / np.sqrt(np.maximum(expected, 1e-9))
    return excess


def _relation(table: _Table) -> tuple[float, float]:
    """Cramér's V without its bias, and the p value of the chi-square test."""
    from scipy.special import chdtrc  # the tail of chi-square; scipy.stats would take half a second to import

    n, (r, k) = int(table.sum()), table.shape
    freedom = (r - 1) * (k - 1)
    chi2 = float((_excess(table) ** 2).sum())
    phi2 = max(0.0, chi2 / n - freedom / (n - 1))
    rows, columns = r - (r - 1) ** 2 / (n - 1), k - (k - 1) ** 2 / (n - 1)
    smaller = min(rows, columns) - 1
    return (phi2 / smaller) ** 0.5 if smaller > 0 else 0.0, float(chdtrc(freedom, chi2))
