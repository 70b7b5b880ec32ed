"""Bootstrap intervals: how a measure scatters when the pictures are drawn anew (Efron and Tibshirani 1993, chapter 13)."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from fovea.types import Floats

_MOST, _FEWEST = 1_000, 200  # resamples: a thousand, and fewer only where that would take long
_WORK = 1_500_000  # resamples times pictures
_AT_ONCE = 2_000_000  # of them in memory at a time

Measure = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]  # counts (R, N) -> a value for each resample, (R,)


def bootstrap(measure: Measure, n: int, *, confidence: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """The percentile interval of a measure over resampled pictures, (low, high).

    Args:
        measure: Takes how often each picture was drawn, float (R, N), and gives its value for each of the R resamples; a
            resample on which it is not defined may give NaN, and is left out.
        n: N, how many pictures there are.
        confidence: How often such an interval shall hold the truth.
        seed: Of the resamples.

    Returns:
        Both ends; NaN where the measure is defined on no resample.
    """
    rng = np.random.default_rng(seed)
    left = int(np.clip(_WORK // max(n, 1), _FEWEST, _MOST))
    values = []
    while left:
        step = min(left, max(1, _AT_ONCE // max(n, 1)))
        values.append(measure(rng.multinomial(n, np.full(n, 1 / n), size=step).astype(np.float64)))
        left -= step
    found = np.concatenate(values)
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def mean_of(values: Floats | npt.NDArray[np.float64]) -> Measure:
    """The measure that is the mean of one value for each picture, (N,)."""
    return lambda counts: counts @ values.astype(np.float64) / counts.sum(axis=1)
