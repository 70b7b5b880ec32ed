"""Measures that count every class alike, however many pictures it has; `confusion` is int (K, K), rows true, columns predicted."""

import numpy as np
import numpy.typing as npt

from fovea.metrics.intervals import percentile_interval, wilson
from fovea.types import Ints

Doubles = npt.NDArray[np.float64]


def recalls(confusion: Ints) -> Doubles:
    """(K,) of the pictures of each class the share that was recognised; NaN where there are none."""
    return _shares(np.diag(confusion), confusion.sum(axis=1))


def precisions(confusion: Ints) -> Doubles:
    """(K,) of the answers with each class's name the share that was right; NaN where it was never said."""
    return _shares(np.diag(confusion), confusion.sum(axis=0))


def f1_scores(confusion: Ints) -> Doubles:
    """(K,) harmonic mean of recall and precision; NaN for a class that neither was there nor was said."""
    return _shares(2 * np.diag(confusion), confusion.sum(axis=0) + confusion.sum(axis=1))


def balanced_accuracy(confusion: Ints) -> float:
    """Mean of the recalls, over the classes that have pictures: what a model gets right where no class is commoner than another."""
    return float(np.nanmean(recalls(confusion)))


def balanced_accuracy_interval(confusion: Ints) -> tuple[float, float]:
    """Wilson's 95 % interval for as many pictures as, evenly spread, would measure the mean of the recalls as exactly as these do.

    Those are K^2 / sum(1 / n_k): few pictures of one class make it wide, however many there are of the others.
    """
    counts = confusion.sum(axis=1)
    counts = counts[counts > 0]
    n = len(counts) ** 2 / float((1 / counts).sum())
    return wilson(balanced_accuracy(confusion) * n, n)


def macro_f1(confusion: Ints) -> float:
    """Mean of the F1 scores, over the classes that were there or were said."""
    return float(np.nanmean(f1_scores(confusion)))


def macro_f1_interval(confusion: Ints, *, num_resamples: int = 300, seed: int = 0) -> tuple[float, float]:
    """Bootstrap 95 % interval of `macro_f1`: the pictures drawn anew with replacement."""
    num_classes, n = len(confusion), int(confusion.sum())
    cells = np.flatnonzero(confusion)  # at most one for each picture, however many classes there are
    true, predicted = np.divmod(cells, num_classes)
    drawn = np.random.default_rng(seed).multinomial(n, confusion.ravel()[cells] / n, size=num_resamples)

    def score(counts: Ints) -> float:
        hits = np.bincount(true, counts * (true == predicted), num_classes)
        of = np.bincount(true, counts, num_classes) + np.bincount(predicted, counts, num_classes)
        return float(np.nanmean(_shares(2 * hits, of)))

    return percentile_interval(macro_f1(confusion), [score(counts) for counts in drawn], n=n)


def _shares(part: npt.NDArray[np.number], whole: npt.NDArray[np.number]) -> Doubles:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)  # type: ignore[no-any-return]
