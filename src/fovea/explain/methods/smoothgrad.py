"""SmoothGrad: the mean gradient over noisy copies of the picture (Smilkov et al. 2017, arXiv:1706.03825)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject

_COPIES, _NOISE = 25, 0.15  # the paper: 50 at most bring anything, and 10 to 20 % of the range of the values


@METHODS.add(
    MethodInfo(
        purpose="gradients with less speckle: their mean over 25 noisy copies",
        source="Smilkov et al. 2017, arXiv:1706.03825",
        needs=("gradients",),
        tells="matters",
    )
)
def smoothgrad(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """As `gradients`, of the mean gradient over 25 copies with Gaussian noise of 0.15 of the picture's range: (H, W)."""
    import torch

    x = subject.input(pixels[None])
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn((_COPIES, *x.shape[1:]), generator=generator).to(x)
    found = subject.gradients(x + noise * (_NOISE * (x.max() - x.min())), target)
    evidence: Floats = found.mean(dim=0).abs().amax(dim=0).float().cpu().numpy()
    return evidence
