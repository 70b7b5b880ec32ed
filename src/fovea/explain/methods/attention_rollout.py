"""Attention rollout: to which patches a Vision Transformer's attention leads back through all its layers (Abnar and Zuidema 2020, arXiv:2005.00928)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.errors import InputError
from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="for Vision Transformers: where attention leads back to, whatever the class",
        source="Abnar and Zuidema 2020, arXiv:2005.00928",
        needs=("attention",),
        tells="seen",
    )
)
def attention_rollout(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The product over layers of (attention, mean of the heads, + identity) / 2, as the class token (else the mean) sees the patches, less the least: (h, w).

    Raises:
        InputError: Attention is not among all patches of the picture, as in windows.
    """
    found = subject.attention(pixels)
    count = len(found[0]) if found else 0
    if not found or any(each.shape != (count, count) for each in found):
        raise InputError(
            "attention_rollout needs layers in which every patch can attend to every other", got=f"attention among {sorted({len(each) for each in found})} tokens",
            expected="one number of tokens in all layers", fix="take gradcam, or integrated_gradients",
        )  # fmt: skip
    grid = subject.grid if count >= math.prod(subject.grid) > 1 else (math.isqrt(count), math.isqrt(count))
    flow = np.eye(count)
    for attention in found:
        mixed = (attention + np.eye(count)) / 2
        flow = (mixed / mixed.sum(axis=1, keepdims=True)) @ flow
    prefix = count - math.prod(grid)
    seen = flow[0] if prefix else flow.mean(axis=0)
    places = seen[prefix:].reshape(grid)
    evidence: Floats = (places - places.min()).astype(np.float32)  # every patch is seen a little
    return evidence
