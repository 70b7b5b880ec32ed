"""Prediction sets: the classes that together hold the right one as often as was promised.

Split conformal prediction by adaptive prediction sets (Romano, Sesia and Candès 2020, arXiv:2006.02544), whose score of a class is here
the probability of all classes that are more probable: theirs with 0 in place of the chance that they draw. So the same
picture always has the same set, and no set is empty: the most probable class scores 0. The threshold is the finite-sample quantile
of the right classes' scores on pictures that were not learned from; on pictures drawn like those, sets hold the right class at least as
often as promised, on average over them, whatever the model is worth. Which promise is made (`_STRICTER`) is chosen by looking at these
very thresholds, for which the proof makes no allowance: where that was a close choice, coverage falls some tenths of a point short of it.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Ints

METHOD = "aps"
# Where the most probable class alone is right as often as was asked, its sets would say nothing: a fifth, then a fiftieth of the error.
_STRICTER = (1, 5, 50)
_SLACK = 1e-6  # what the rounding of float32 may move a sum


def mass_before(probabilities: Floats) -> Floats:
    """(N, K) the scores: for each class the probability of all that are more probable."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1).astype(np.float64)
    before = np.cumsum(ranked, axis=1) - ranked
    found = np.empty_like(before)
    np.put_along_axis(found, order, before, axis=1)
    return found.astype(np.float32)


def fit_sets(probabilities: Floats, true: Ints, *, coverage: float = 0.95) -> dict[str, Any] | None:
    """The promise, as `bundle.json` holds it under `conformal`: method, coverage, threshold, n.

    The coverage is at least what is asked; where the most probable class alone reaches it, it is that of a fifth (or fiftieth) of the
    error, so that the sets of unclear pictures have something to say.

    Args:
        probabilities: (N, K) of pictures that neither the model nor its calibration learned from.
        true: (N,) their classes.
        coverage: How often a set shall hold the right class at least.

    Returns:
        None where there are too few pictures to promise it: 19 are needed for 95 %.
    """
    scores = np.sort(mass_before(probabilities)[np.arange(len(true)), true])
    possible = [share for part in _STRICTER if _rank(len(true), share := round(1 - (1 - coverage) / part, 6)) <= len(true)]
    if not possible:
        return None
    thresholds = {share: float(scores[_rank(len(true), share) - 1]) for share in possible}
    chosen = next((share for share in possible if thresholds[share] > 0), possible[-1])
    return {"method": METHOD, "coverage": chosen, "threshold": thresholds[chosen], "n": len(true)}


def prediction_sets(probabilities: Floats, threshold: float) -> npt.NDArray[np.bool_]:
    """(N, K) whether each class is in the picture's set."""
    return mass_before(probabilities) <= threshold + _SLACK


def sets_of(outputs: Mapping[str, Floats], conformal: Mapping[str, Any] | None) -> dict[str, npt.NDArray[Any]]:
    """{"prediction_set": (B, K) bool} of a model's outputs, by what its bundle promises; {} where it promises no such sets."""
    if not conformal or conformal.get("method") != METHOD:
        return {}
    return {"prediction_set": prediction_sets(outputs["probabilities"], float(conformal["threshold"]))}


def _rank(n: int, coverage: float) -> int:
    """Which of n sorted scores is the threshold: one picture more than n counts, the one that is to be answered."""
    return math.ceil(round((n + 1) * coverage, 9))
