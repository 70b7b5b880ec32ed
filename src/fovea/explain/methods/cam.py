"""Class activation maps: exact where a linear head reads the means of the last maps (Zhou et al. 2016, arXiv:1512.04150)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.explain.subject import Subject
from fovea.types import Floats


@METHODS.add(
    MethodInfo(
        purpose="exact, and without gradients, where a linear head reads the means of the last maps",
        source="Zhou et al. 2016, arXiv:1512.04150",
        needs=("maps", "pooled_head"),
    )
)
def cam(subject: Subject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps, each weighted by what the head gives its mean: (h, w), signed; its mean is the score without the bias."""
    evidence: Floats = np.einsum("c,chw->hw", subject.pooled_head(target), subject.maps(pixels[None])[0])
    return evidence
