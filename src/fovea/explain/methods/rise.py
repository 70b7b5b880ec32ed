"""RISE: the picture seen through many masks drawn by chance (Petsiuk et al. 2018, arXiv:1806.07421)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.explain.perturbing import blended, in_batches
from fovea.explain.subject import Subject
from fovea.types import Floats

_CELLS, _SHOWN = 7, 0.5  # the paper's: masks of 7 x 7 cells, each shown with probability a half
_MASKS = 500  # the paper draws 4,000 to 8,000; the error falls with their root


@METHODS.add(
    MethodInfo(
        purpose="needs nothing but answers: which places were to be seen when the score was high (slow: 500 forward passes)",
        source="Petsiuk et al. 2018, arXiv:1806.07421",
    )
)
def rise(subject: Subject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The masks, each weighted by how far its score lies above the masks' mean: (H, W), signed.

    It deviates from the paper: scores are taken before softmax, and their mean is taken away, so that what is shown in all masks alike
    counts as nothing; there are 500 masks; and what they hide becomes black, byte 0, where the paper's code hides after normalisation,
    so that 0 is the training pictures' mean colour.
    """
    rng = np.random.default_rng(seed)
    height, width = pixels.shape[:2]
    nothing = np.zeros_like(pixels)
    cell_h, cell_w = -(-height // _CELLS), -(-width // _CELLS)
    drawn = [(rng.random((_CELLS + 1, _CELLS + 1)) < _SHOWN, int(rng.integers(cell_h)), int(rng.integers(cell_w))) for _ in range(_MASKS)]

    def mask(cells: Any, top: int, left: int) -> Floats:
        size = ((_CELLS + 1) * cell_w, (_CELLS + 1) * cell_h)
        grown: Floats = cv2.resize(cells.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)[top : top + height, left : left + width]
        return grown

    scores = in_batches(subject, (blended(nothing, pixels, mask(*each)) for each in drawn), target)
    weights = (scores - scores.mean()) / (len(drawn) * _SHOWN)
    total = np.zeros((height, width), np.float32)
    for weight, each in zip(weights, drawn, strict=True):
        total += weight * mask(*each)
    return total
