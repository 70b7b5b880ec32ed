"""Eigen-CAM: what the maps have in common, whatever the class (Muhammad and Yeasin 2020, arXiv:2008.00299)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.explain.subject import Subject
from fovea.types import Floats


@METHODS.add(
    MethodInfo(
        purpose="what the network sees at all, whatever the class: it follows no score",
        source="Muhammad and Yeasin 2020, arXiv:2008.00299",
        needs=("maps",),
        tells="seen",
    )
)
def eigencam(subject: Subject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps seen along the first right singular vector of (places, channels), its sign taken so that most lies above zero: (h, w)."""
    maps = subject.maps(pixels[None])[0]
    flat = maps.reshape(len(maps), -1).T.astype(np.float64)  # (C, h, w) -> (h w, C)
    if flat.shape[0] <= flat.shape[1]:  # of the two squares that tell it, the smaller
        values, vectors = np.linalg.eigh(flat @ flat.T)
        projected = vectors[:, -1] * np.sqrt(max(values[-1], 0.0))
    else:
        projected = flat @ np.linalg.eigh(flat.T @ flat)[1][:, -1]
    evidence: Floats = (projected * (1 if projected.sum() >= 0 else -1)).reshape(maps.shape[1:]).astype(np.float32)
    return evidence
