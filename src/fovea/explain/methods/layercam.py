"""LayerCAM: every place with a weight of its own, so that finer layers can be looked at too (Jiang et al. 2021, IEEE TIP 30)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="like Grad-CAM, with a weight for each place: for a finer layer, with --layer",
        source="Jiang et al. 2021, doi:10.1109/TIP.2021.3089943",
        needs=("maps", "gradients"),
    )
)
def layercam(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps times the positive gradients, place by place, summed; the negative left out: (h, w)."""
    maps, gradients = subject.maps_and_gradients(pixels, target)
    evidence: Floats = np.maximum((np.maximum(gradients, 0) * maps).sum(axis=0), 0)
    return evidence
