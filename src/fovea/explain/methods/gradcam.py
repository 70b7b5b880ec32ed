"""Grad-CAM: which places of the last convolution raise the score (Selvaraju et al. 2017, arXiv:1610.02391)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="the one to begin with: where the last convolution sees what raises the score",
        source="Selvaraju et al. 2017, arXiv:1610.02391",
        needs=("maps", "gradients"),
    )
)
def gradcam(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps, each weighted by the mean of the score's gradient over its places, summed, and the negative left out: (h, w)."""
    maps, gradients = subject.maps_and_gradients(pixels, target)
    evidence: Floats = np.maximum(np.einsum("c,chw->hw", gradients.mean(axis=(1, 2)), maps), 0)
    return evidence
