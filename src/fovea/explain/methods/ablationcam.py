"""Ablation-CAM: a map is worth what the score loses without it (Desai and Ramaswamy 2020, WACV)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    import torch

    from fovea.explain.network_subject import NetworkSubject

_TURN = 64  # maps that are left out side by side


@METHODS.add(
    MethodInfo(
        purpose="without gradients: what the score loses where each map is left out",
        source="Desai and Ramaswamy 2020, doi:10.1109/WACV45572.2020.9093360",
        needs=("maps", "gradients"),
    )
)
def ablationcam(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The maps, each weighted by the share of the score that goes without it, summed, the negative left out: (h, w).

    The part before the maps runs once for 64 of them. The paper's weight is (score - without) / score; here the difference alone, which
    is the same map up to a factor and keeps its sign where the score is below zero.
    """
    maps = subject.maps(pixels[None])[0]
    lost = np.zeros(len(maps), np.float32)
    whole = subject.scores(pixels[None], target)[0]
    for start in range(0, len(maps), _TURN):
        count = min(_TURN, len(maps) - start)

        def without(tensor: torch.Tensor, start: int = start, count: int = count) -> torch.Tensor:
            changed = tensor.repeat(count, 1, 1, 1)
            for index in range(count):
                changed[index, start + index] = 0
            return changed

        lost[start : start + count] = whole - subject.scores_of_edited(pixels, target, without, count)
    evidence: Floats = np.maximum(np.einsum("c,chw->hw", lost, maps), 0)
    return evidence
