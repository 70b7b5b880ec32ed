"""Whether the model's percentages can be believed: calibration, told apart from luck."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fovea.report.data import Json
from fovea.report.words import number

Verdict = Literal["honest", "too sure", "too modest", "unclear"]

# Gaps below this share matter to nobody who reads a percentage. Where one begins to matter is a judgement, not a theorem.
_SMALL = 0.02
_FEW = 10  # pictures below which one bar says little
_NUM_DRAWS = 2_000


@dataclass(frozen=True)
class Bin:
    """The pictures for which the model was between `lo` and `hi` sure: `n` of them, `accuracy` of which were right.

    `confidence` is their mean probability. Bins without pictures have None for both.
    """

    lo: float
    hi: float
    n: int
    confidence: float | None
    accuracy: float | None

    @property
    def few(self) -> bool:
        return self.n < _FEW


@dataclass(frozen=True)
class Honesty:
    """How far what the model says is from what is true.

    Args:
        error: The calibration error: the mean distance between stated and true share, weighted by pictures.
        luck: The same figure that a perfectly honest model would show on average, with as few pictures.
        gap: Mean stated share less accuracy: positive is too sure.
        verdict: In a word; "unclear" where the error is visible but an honest model would show it once in twenty times.
    """

    error: float
    luck: float
    gap: float
    verdict: Verdict


def read_bins(rows: Sequence[Json]) -> list[Bin]:
    """The reliability bins with whatever is missing as None."""
    return [
        Bin(float(row["lo"]), float(row["hi"]), int(row["n"]), number(row, "confidence"), number(row, "accuracy"))
        if row["n"]
        else Bin(float(row["lo"]), float(row["hi"]), 0, None, None)
        for row in rows
    ]


def honesty(bins: Sequence[Bin], error: float | None, luck: float | None = None, low: float | None = None) -> Honesty | None:
    """Judges the calibration, or gives None where no bin holds a picture.

    Args:
        bins: The reliability bins.
        error, luck, low: The calibration error as measured, what luck alone would give, and the lower end of its interval, which is 0 where
            luck may well be all; computed from the bins where they are None, as they are of a run from before they were measured.
    """
    full = [(b.n, b.confidence, b.accuracy) for b in bins if b.confidence is not None and b.accuracy is not None]
    total = sum(n for n, _, _ in full)
    if not total:
        return None
    if error is None:
        error = sum(n * abs(confidence - accuracy) for n, confidence, accuracy in full) / total
    if luck is None:
        luck = sum(n * _mean_deviation(n, confidence) for n, confidence, _ in full) / total
    gap = sum(n * (confidence - accuracy) for n, confidence, accuracy in full) / total
    verdict: Verdict
    if error <= max(_SMALL, 1.25 * luck):
        verdict = "honest"
    elif low == 0 if low is not None else error <= _high_luck([(n, confidence) for n, confidence, _ in full]):
        verdict = "unclear"
    else:
        verdict = "too sure" if gap > 0 else "too modest"
    return Honesty(error=error, luck=luck, gap=gap, verdict=verdict)


def _high_luck(bins: Sequence[tuple[int, float]]) -> float:
    """The error that an honest model exceeds in one of twenty draws of as many pictures (n, confidence); few mistakes make it lopsided."""
    n, p = (np.array(values) for values in zip(*bins, strict=True))
    drawn = np.random.default_rng(0).binomial(n, np.clip(p, 0, 1), size=(_NUM_DRAWS, len(n))) / n
    return float(np.quantile((np.abs(drawn - p) * n).sum(axis=1) / n.sum(), 0.95))


def _mean_deviation(n: int, p: float) -> float:
    """Mean distance between the share of n throws that succeed and their chance p.

    De Moivre's closed form for the binomial: 2 v C(n, v) p^v (1-p)^(n-v+1) / n with v = floor(np) + 1
    (Diaconis and Zabell 1991, "Closed form summation for classical distributions", Statistical Science 6:284).
    """
    if n == 0 or p <= 0 or p >= 1:
        return 0.0
    v = math.floor(n * p) + 1
    log_choose = math.lgamma(n + 1) - math.lgamma(v + 1) - math.lgamma(n - v + 1)
    return 2 * v * math.exp(log_choose + v * math.log(p) + (n - v + 1) * math.log1p(-p)) / n
