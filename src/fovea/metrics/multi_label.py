"""Measures of labels that may be true together: `probabilities` is float (N, K), `true` is (N, K) of 0 and 1."""

import numpy as np
import numpy.typing as npt

from fovea.metrics.resampling import Measure
from fovea.types import Floats

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def average_precision(scores: Floats, true: Floats) -> float | None:
    """Area under the steps of precision over recall, of one label: (N,) scores and truths; None where no picture has the label.

    The mean over the pictures that have the label of the precision at their place in the ranking; equal scores share a place
    (as in Manning, Raghavan and Schütze, "Introduction to Information Retrieval", 2008, section 8.4). By chance it comes to
    the share of the pictures that have the label.
    """
    if not true.any():
        return None
    return float(average_precision_of(scores, true)(np.ones((1, len(true))))[0])


def average_precision_of(scores: Floats, true: Floats) -> Measure:
    """Average precision as a measure of resampled pictures; NaN where none of them has the label."""
    order = np.argsort(-scores, kind="stable")
    ranked = true[order].astype(np.float64)
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last of each run of equal scores
    place = np.searchsorted(ends, np.arange(len(scores)))

    def measure(counts: Doubles) -> Doubles:
        drawn = counts[:, order]
        hits = drawn * ranked
        precision = np.cumsum(hits, axis=1)[:, ends] / np.maximum(np.cumsum(drawn, axis=1)[:, ends], 1e-12)  # (R, E)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (hits * precision[:, place]).sum(axis=1) / hits.sum(axis=1)  # type: ignore[no-any-return]

    return measure


def mean_average_precision_of(probabilities: Floats, true: Floats) -> Measure:
    """Mean over the labels of their average precision; labels that no drawn picture has are left out of it."""
    each = [average_precision_of(probabilities[:, k], true[:, k]) for k in range(true.shape[1])]

    def measure(counts: Doubles) -> Doubles:
        values = np.stack([label(counts) for label in each])  # (K, R)
        known = np.isfinite(values)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known, values, 0).sum(axis=0) / known.sum(axis=0)  # type: ignore[no-any-return]

    return measure


def f1_of(said: Bools, true: Floats, *, average: str) -> Measure:
    """F1, the harmonic mean of precision and recall: "macro" is its mean over labels, "micro" counts all labels together.

    A label that is neither true nor said of any drawn picture counts for nothing in "macro".

    Args:
        said: (N, K) what the model says.
        true: (N, K).
        average: "macro" or "micro".
    """
    both, any_of = (said & (true > 0)).astype(np.float64), said.astype(np.float64) + true.astype(np.float64)

    def measure(counts: Doubles) -> Doubles:
        hits, sums = 2 * counts @ both, counts @ any_of  # (R, K)
        if average == "micro":
            hits, sums = hits.sum(axis=1, keepdims=True), sums.sum(axis=1, keepdims=True)
        known = sums > 0
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(known, hits / np.maximum(sums, 1), 0).sum(axis=1) / known.sum(axis=1)  # type: ignore[no-any-return]

    return measure


def best_threshold(scores: Floats, true: Floats) -> tuple[float, float]:
    """The threshold with the highest F1 of one label, half-way between two scores, and that F1.

    Args:
        scores: (N,).
        true: (N,), some of them 1.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, sorted_scores = true[order].astype(np.float64), scores[order].astype(np.float64)
    f1 = 2 * np.cumsum(ranked) / (np.arange(1, len(true) + 1) + ranked.sum())
    cuts = np.append(np.diff(sorted_scores) < 0, True)  # between equal scores nothing can be cut
    best = int(np.where(cuts, f1, -1).argmax())
    below = sorted_scores[best + 1] if best + 1 < len(true) else 0.0
    return float((sorted_scores[best] + below) / 2), float(f1[best])


def binary_log_loss(probabilities: Floats, true: Floats) -> float:
    """Mean over pictures and labels of -log(probability of what is true), in nats."""
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1 - 1e-12)
    return float(-np.where(true > 0, np.log(p), np.log1p(-p)).mean())
