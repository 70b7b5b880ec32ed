"""Whether probabilities come true; `probabilities` is float (N, K), `true` is int (N,)."""

from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Ints

Doubles = npt.NDArray[np.float64]

_FEWEST_A_BIN = 10  # of fewer pictures a bin's share right says more of luck than of calibration
_BLOCK = 1_000_000  # draws that are held at once


def brier_score(probabilities: Floats, true: Ints) -> float:
    """Mean squared distance between the probabilities and 1 for the right class, 0 for the others; 0 is perfect, 2 the worst.

    Source: Brier 1950, doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2, whose sum over all classes this is.
    """
    return float(brier_scores(probabilities, true).mean())


def brier_scores(probabilities: Floats, true: Ints) -> Doubles:
    """(N,) the same of each picture."""
    found = probabilities.astype(np.float64)
    found[np.arange(len(true)), true] -= 1
    return np.square(found).sum(axis=1)  # type: ignore[no-any-return]


def calibration_error(probabilities: Floats, true: Ints, *, num_bins: int = 15) -> float:
    """Mean distance between confidence and share right, over bins that hold equally many pictures, in the order of confidence.

    Bins of equal width leave most of a good model's pictures in the last one; equal masses look into it. At most `num_bins`, of ten
    pictures or more each. What remains is never 0 by luck alone: `calibration_error_interval` takes that into account.
    Source: Nguyen and O'Connor 2015, arXiv:1508.05154 (adaptive bins).
    """
    confidence, right = _ordered(probabilities, true)
    return float(_errors((confidence - right)[None], num_bins)[0])


def calibration_error_interval(
    probabilities: Floats, true: Ints, *, num_bins: int = 15, num_resamples: int = 300, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap 95 % interval of `calibration_error`, within 0..1.

    The figure is too large by luck, and of pictures drawn anew too large once more: by as much as that the lower end is brought down.
    It is 0 where a perfectly calibrated model would show such a figure, with as many pictures, more than once in forty times
    (consistency resampling: Bröcker and Smith 2007, doi:10.1175/WAF993.1). The upper end is not corrected, which is on the safe side.
    """
    confidence, right = _ordered(probabilities, true)
    n, rng = len(true), np.random.default_rng(seed)
    turn, anew, honest = max(1, _BLOCK // n), list[Doubles](), list[Doubles]()
    for start in range(0, num_resamples, turn):
        size = (min(turn, num_resamples - start), n)
        # numbers of rows in their order are rows in the order of confidence
        anew.append(_errors((confidence - right)[np.sort(rng.integers(0, n, size), axis=1)], num_bins))
        honest.append(_errors(confidence - (rng.random(size) < confidence), num_bins))
    error, drawn = calibration_error(probabilities, true, num_bins=num_bins), np.concatenate(anew)
    half = NormalDist().inv_cdf(0.975) * float(drawn.std())
    low = error - max(0.0, float(drawn.mean()) - error) - half if error > np.quantile(np.concatenate(honest), 0.975) else 0.0
    return max(0.0, low), min(1.0, error + half)


def calibration_luck(probabilities: Floats, true: Ints, *, num_bins: int = 15, num_draws: int = 300, seed: int = 0) -> float:
    """The `calibration_error` that a model with the same confidences shows on average where they come true exactly: luck alone."""
    confidence, _ = _ordered(probabilities, true)
    n, rng, found = len(true), np.random.default_rng(seed), list[Doubles]()
    turn = max(1, _BLOCK // n)
    for start in range(0, num_draws, turn):
        found.append(_errors(confidence - (rng.random((min(turn, num_draws - start), n)) < confidence), num_bins))
    return float(np.concatenate(found).mean())


def _ordered(probabilities: Floats, true: Ints) -> tuple[Doubles, Doubles]:
    """Confidence and whether it was right, from the least confident picture up."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    order = np.argsort(confidence, kind="stable")
    return confidence[order], (probabilities.argmax(axis=1) == true)[order].astype(np.float64)


def _errors(gaps: Doubles, num_bins: int) -> Doubles:
    """(R,) the error of each of R rows of n gaps (confidence less right) in the order of confidence, (R, n)."""
    n = gaps.shape[1]
    ends = np.linspace(0, n, min(num_bins, max(1, n // _FEWEST_A_BIN)) + 1).round().astype(int)
    return np.abs(np.add.reduceat(gaps, ends[:-1], axis=1)).sum(axis=1) / n  # type: ignore[no-any-return]
