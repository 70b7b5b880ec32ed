"""Integrated gradients: the score's way from a black picture to this one, pixel by pixel (Sundararajan et al. 2017, arXiv:1703.01365)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject

_STEPS = 32  # of a Gauss-Legendre quadrature; the paper takes 20 to 300 equal steps


@METHODS.add(
    MethodInfo(
        purpose="shares the score out among the pixels: their sum is the score less a black picture's (of prepared floats, of zeros)",
        source="Sundararajan et al. 2017, arXiv:1703.01365",
        needs=("gradients",),
    )
)
def integrated_gradients(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """Each pixel's share of score(picture) - score(black), summed over colours: (H, W), signed. Of a float picture the zeros stand for black."""
    import torch

    x, black = subject.input(pixels[None]), subject.input(np.zeros_like(pixels)[None])
    nodes, weights = np.polynomial.legendre.leggauss(_STEPS)
    places = torch.tensor((nodes + 1) / 2).to(x).view(-1, 1, 1, 1)  # from -1..1 to 0..1
    found = subject.gradients(black + places * (x - black), target)
    mean = (found * torch.tensor(weights / 2).to(x).view(-1, 1, 1, 1)).sum(dim=0)
    evidence: Floats = ((x - black)[0] * mean).sum(dim=0).float().cpu().numpy()
    return evidence
