"""The measurement that a report speaks of (the test split, else validation), and what can be read off its confusion matrix."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.metrics.intervals import wilson
from fovea.report.data import ReportData
from fovea.report.words import number
from fovea.types import Ints


@dataclass(frozen=True, eq=False)
class Measured:
    """One split's figures.

    Args:
        split: "test" or "validation".
        n, right: Pictures measured, and how many of them were answered rightly.
        accuracy, lo, hi: 0 to 1, with the ends of its 95 % interval.
        top5: Share with the true class among the five most probable, or None.
        calibration_error, nll: How far percentages are from what comes true, and negative log-likelihood, or None.
        luck, calibration_low: What the calibration error would be by luck alone, and the lower end of its interval, or None.
        confusion: int64 (K, K) counts, rows true, columns predicted, or None.
        class_names: K names.
        guess: The class with the most training pictures; what someone who learned nothing would always answer.
        guess_accuracy: How often that answer is right here, or None where the matrix is missing.
    """

    split: str
    n: int
    right: int
    accuracy: float
    lo: float
    hi: float
    top5: float | None
    calibration_error: float | None
    nll: float | None
    confusion: Ints | None
    class_names: tuple[str, ...]
    guess: str | None
    guess_accuracy: float | None
    luck: float | None = None
    calibration_low: float | None = None

    @property
    def no_better_than_guessing(self) -> bool:
        return self.guess_accuracy is not None and self.lo <= self.guess_accuracy


@dataclass(frozen=True)
class ClassResult:
    """How one class fared: `recall` is the share of its pictures that were recognised, with its 95 % interval, `precision` the share
    of the answers with its name that were right, `f1` the harmonic mean of both; None where there were none.
    """

    name: str
    n: int
    right: int
    recall: float | None
    precision: float | None
    lo: float = 0.0
    hi: float = 1.0
    f1: float | None = None


@dataclass(frozen=True)
class Pair:
    """`n` of the `of` pictures of class `true` were taken for `predicted`."""

    true: str
    predicted: str
    n: int
    of: int


def measured(data: ReportData) -> Measured | None:
    """The split that the report speaks of, or None where nothing was measured."""
    for split, metrics in (("test", data.test), ("validation", data.validation)):
        if metrics and metrics.get("n") and "accuracy" in metrics:
            return _read(split, metrics, data)
    return None


def _read(split: str, metrics: Mapping[str, Any], data: ReportData) -> Measured:
    n, accuracy = int(metrics["n"]), float(metrics["accuracy"])
    lo, hi = metrics.get("accuracy_ci95") or (accuracy, accuracy)
    confusion = np.asarray(metrics["confusion"], np.int64) if metrics.get("confusion") is not None else None
    if confusion is not None and confusion.shape != (len(data.class_names),) * 2:
        confusion = None
    guess, guess_accuracy = None, None
    if confusion is not None and confusion.sum() > 0:
        rows = confusion.sum(axis=1)
        train = data.class_counts.get("train") or {}
        learned = [train.get(name, 0) for name in data.class_names]
        index = int(np.argmax(learned if any(learned) else rows))
        guess, guess_accuracy = data.class_names[index], float(rows[index] / rows.sum())
    return Measured(
        split=split,
        n=n,
        right=int(np.trace(confusion)) if confusion is not None else round(accuracy * n),
        accuracy=accuracy,
        lo=float(lo),
        hi=float(hi),
        top5=number(metrics, "top5_accuracy"),
        calibration_error=number(metrics, "calibration_error" if "calibration_error" in metrics else "ece"),
        luck=number(metrics, "calibration_error_by_luck"),
        calibration_low=ends[0] if (ends := metrics.get("calibration_error_ci95")) and "calibration_error_by_luck" in metrics else None,
        nll=number(metrics, "nll"),
        confusion=confusion,
        class_names=tuple(data.class_names),
        guess=guess,
        guess_accuracy=guess_accuracy,
    )


def class_results(result: Measured) -> list[ClassResult]:
    """One line per class, in the order of the matrix."""
    if result.confusion is None:
        return []
    rows, columns, diagonal = result.confusion.sum(axis=1), result.confusion.sum(axis=0), np.diag(result.confusion)
    return [
        ClassResult(
            name=name,
            n=int(rows[k]),
            right=int(diagonal[k]),
            recall=float(diagonal[k] / rows[k]) if rows[k] else None,
            precision=float(diagonal[k] / columns[k]) if columns[k] else None,
            lo=wilson(int(diagonal[k]), int(rows[k]))[0],
            hi=wilson(int(diagonal[k]), int(rows[k]))[1],
            f1=float(2 * diagonal[k] / (rows[k] + columns[k])) if rows[k] + columns[k] else None,
        )
        for k, name in enumerate(result.class_names)
    ]


def confused_pairs(result: Measured, *, most: int = 15) -> list[Pair]:
    """The commonest mistakes, commonest first; among equals, those that are a larger share of their class."""
    if result.confusion is None:
        return []
    wrong = result.confusion.copy()
    np.fill_diagonal(wrong, 0)
    rows = result.confusion.sum(axis=1)
    true, predicted = np.nonzero(wrong)
    counts, of = wrong[true, predicted], rows[true]
    order = np.lexsort((predicted, true, of, -counts))[:most]
    names = result.class_names
    return [Pair(names[true[i]], names[predicted[i]], int(counts[i]), int(of[i])) for i in order]


def class_totals(data: ReportData) -> dict[str, int]:
    """Pictures of each class over all splits, in the order of `class_names` (then any others)."""
    totals: Counter[str] = Counter(dict.fromkeys(data.class_names, 0))
    for counts in data.class_counts.values():
        totals.update(counts)
    return dict(totals)


def split_sizes(data: ReportData) -> dict[str, int]:
    """Pictures in each split: as stated, else counted from the classes."""
    return dict(data.num_files) or {split: sum(counts.values()) for split, counts in data.class_counts.items()}
