"""Gradients: how much the score changes with each pixel (Simonyan et al. 2013, arXiv:1312.6034)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="the plainest: which pixels change the score, if they change a little",
        source="Simonyan et al. 2013, arXiv:1312.6034",
        needs=("gradients",),
        tells="matters",
    )
)
def gradients(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The largest absolute gradient of the three colours: (H, W)."""
    found: Floats = subject.gradients(subject.input(pixels[None]), target)[0].abs().amax(dim=0).float().cpu().numpy()
    return found
