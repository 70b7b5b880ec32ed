"""Score-CAM: each map shows its part of the picture, and the score says what that part is worth (Wang et al. 2020, arXiv:1910.01279)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.explain.perturbing import blended, in_batches
from fovea.explain.subject import Subject, spread
from fovea.types import Floats

_MOST = 128  # maps that are tried, the most active ones: the paper tries all, which is a forward pass for each of some thousand


@METHODS.add(
    MethodInfo(
        purpose="without gradients: what parts of the picture are worth when they are shown alone (slow: about 130 forward passes)",
        source="Wang et al. 2020, arXiv:1910.01279",
        needs=("maps",),
    )
)
def scorecam(subject: Subject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps, each weighted by the softmax of the scores of the picture seen through it, summed; the negative left out: (h, w).

    It deviates from the paper in the number of maps: those of the largest range, at most 128. What a map hides becomes black, byte 0, as
    in the picture itself; the paper's code hides after normalisation, where 0 is the training pictures' mean colour.
    """
    maps = subject.maps(pixels[None])[0]
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    chosen = np.argsort(-(high - low)[:, 0, 0], kind="stable")[:_MOST]
    chosen = chosen[(high - low)[chosen, 0, 0] > 0]  # a map that is everywhere the same shows nothing
    if not len(chosen):
        return np.zeros(maps.shape[1:], np.float32)
    height, width = pixels.shape[:2]
    norm = (maps[chosen] - low[chosen]) / (high - low)[chosen]
    masks = (spread(each, height, width, subject.margins_px) for each in norm)
    nothing = np.zeros_like(pixels)
    scores = in_batches(subject, (blended(nothing, pixels, mask) for mask in masks), target).astype(np.float64)
    weights = np.exp(scores - scores.max())
    evidence: Floats = np.maximum(np.einsum("c,chw->hw", weights / weights.sum(), maps[chosen]), 0).astype(np.float32)
    return evidence
