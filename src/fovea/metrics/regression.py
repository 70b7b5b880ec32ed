"""Measures of predicted numbers: `predicted` and `true` are float (N,)."""

import math

import numpy as np
import numpy.typing as npt

from fovea.metrics.resampling import Measure

Doubles = npt.NDArray[np.float64]


def absolute_error_of(predicted: Doubles, true: Doubles) -> Measure:
    """Mean distance from the truth, in the units of the data."""
    errors = np.abs(predicted - true)
    return lambda counts: counts @ errors / counts.sum(axis=1)


def squared_error_root_of(predicted: Doubles, true: Doubles) -> Measure:
    """Root of the mean squared distance: as the mean distance, but large errors count more."""
    errors = np.square(predicted - true)
    return lambda counts: np.sqrt(counts @ errors / counts.sum(axis=1))


def determination_of(predicted: Doubles, true: Doubles) -> Measure:
    """R², the share of the truth's variance that the predictions explain: 1 is perfect, 0 as good as the mean of these truths.

    NaN where all drawn truths are the same.
    """
    errors = np.square(predicted - true)

    def measure(counts: Doubles) -> Doubles:
        total = counts.sum(axis=1)
        mean = counts @ true / total
        variance = (counts * np.square(true - mean[:, None])).sum(axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(variance > 0, 1 - counts @ errors / variance, np.nan)

    return measure


def once(measure: Measure, n: int) -> float:
    """A measure of the pictures as they are, each drawn once."""
    return float(measure(np.ones((1, n)))[0])


def conformal_half_width(errors: Doubles, *, coverage: float) -> float | None:
    """Half the width of an interval that holds the truth of a new picture with the given chance, whatever the model is.

    Split conformal prediction: a quantile of the distances on pictures that were not learned from, taken a little higher for
    their being finitely many (Lei et al. 2018, doi:10.1080/01621459.2017.1307116, algorithm 2).

    Args:
        errors: (N,) distances from the truth, 0 or more.
        coverage: The chance, 0 to 1.

    Returns:
        None where there are too few of them for this chance: 9 for 0.9.
    """
    rank = math.ceil((len(errors) + 1) * coverage)
    return float(np.sort(errors)[rank - 1]) if 0 < rank <= len(errors) else None
