"""Grad-CAM++: several objects of one class each count fully (Chattopadhay et al. 2018, arXiv:1710.11063)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="like Grad-CAM, and several objects of the class, or small ones, count as much as one large one",
        source="Chattopadhay et al. 2018, arXiv:1710.11063",
        needs=("maps", "gradients"),
    )
)
def gradcam_plus_plus(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps, weighted by the positive gradients, each by its share alpha (equation 19), summed; the negative left out: (h, w).

    The paper follows exp(score), whose derivatives are powers of the score's gradient times exp(score). That factor falls out of alpha =
    g^2 / (2 g^2 + sum(A) g^3), and the heat map does not depend on it; a factor g^2 falls out too, which would underflow.
    """
    maps, gradients = subject.maps_and_gradients(pixels, target)
    maps, gradients = maps.astype(np.float64), gradients.astype(np.float64)
    below = 2 + maps.sum(axis=(1, 2), keepdims=True) * gradients
    alpha = np.divide(1.0, below, out=np.zeros_like(below), where=below != 0)
    weights = (alpha * np.maximum(gradients, 0)).sum(axis=(1, 2))
    evidence: Floats = np.maximum(np.einsum("c,chw->hw", weights, maps), 0).astype(np.float32)
    return evidence
