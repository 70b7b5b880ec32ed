"""Guided backpropagation: only what is positive flows back through each ReLU (Springenberg et al. 2014, arXiv:1412.6806)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fovea.explain.method import METHODS, MethodInfo
from fovea.types import Floats

if TYPE_CHECKING:
    import torch

    from fovea.explain.network_subject import NetworkSubject


@METHODS.add(
    MethodInfo(
        purpose="sharp drawings of what is seen; they hardly depend on the class (Adebayo et al. 2018), so do not judge an answer by them",
        source="Springenberg et al. 2014, arXiv:1412.6806",
        needs=("gradients", "relus"),
        tells="matters",
    )
)
def guided_backprop(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """The largest absolute guided gradient of the three colours: (H, W). ReLUs count whether they are modules or functions."""
    from fovea.explain.tracing import RELUS, Watch

    def guide(_index: int, function: str, tensor: torch.Tensor, _same: bool) -> torch.Tensor:
        if function in RELUS and tensor.requires_grad:
            tensor.register_hook(lambda gradient: gradient.clamp(min=0))  # type: ignore[no-untyped-call] # before the ReLU's own rule
        return tensor

    with Watch(guide):
        found = subject.gradients(subject.input(pixels[None]), target)
    evidence: Floats = found[0].abs().amax(dim=0).float().cpu().numpy()
    return evidence
