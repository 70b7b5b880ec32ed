"""The exam that every explanation method must pass, ours and strangers', on any backbone."""

import random
from typing import Any

import numpy as np
import torch
from torch import nn

from fovea.explain import applicable, explain_picture
from fovea.explain.network_subject import NetworkSubject
from fovea.models.backbone import Backbone, create_backbone, probe_px, read_backbone
from fovea.models.weights import weights_hash
from fovea.testing.exam import require
from fovea.types import Floats, Pixels

_CLASSES = 8  # of which one is asked about, and more where nothing speaks for it
_SAME, _OTHER = 1e-4, 1e-2  # shares of the largest evidence


def check_method(name: str, *, backbone: str = "resnet18", size_px: int | None = None) -> bool:
    """Examines one method on one backbone with random weights; raises `ExamFailed` with what is not true.

    The heat is float32 in [0, 1] and of the picture's size, the same for the same seed, and another with other weights, for some
    class at least. Model, gradients, hooks, modes, chance and the picture are as before, in training mode and frozen too.

    Args:
        name: Of the method.
        backbone: Its name, with options behind colons: "vit_tiny:size_px=32".
        size_px: Side of the picture; by default a small one.

    Returns:
        Whether the method can be used on this backbone at all: where it cannot, nothing was examined.
    """
    who = f"explanation method {name} on {backbone}"
    network = _network(backbone, seed=1)
    pixels = _picture(size_px or _side_px(network))
    first = NetworkSubject(network)
    first.find(pixels)
    if name not in applicable(first):
        return False
    network.train()
    before, picture = _state(network), pixels.copy()
    found = _evidence(first, pixels, name, 0, who)
    _require_same(before, _state(network), who)
    require(bool((pixels == picture).all()), who, "the picture was written to")

    for parameter in network.parameters():
        parameter.requires_grad_(False)
    frozen = explain_picture(NetworkSubject(network.eval()), pixels, method=name, target=0)
    told = "asked again, with the network frozen and in eval mode, it answers differently"
    require(_apart(frozen.evidence, found) <= _SAME, who, told)
    require(not any(parameter.requires_grad for parameter in network.parameters()), who, "it thawed frozen parameters")

    own, other = NetworkSubject(network), NetworkSubject(_network(backbone, seed=2))
    for target in range(_CLASSES):
        ours = explain_picture(own, pixels, method=name, target=target).evidence if target else found
        if _apart(ours, explain_picture(other, pixels, method=name, target=target).evidence) > _OTHER:
            break
    else:
        require(False, who, "with other random weights it explains the same")
    return True


def methods_for(backbone: str) -> list[str]:
    """The methods that can be used on a backbone."""
    network = _network(backbone, seed=1)
    subject = NetworkSubject(network)
    subject.find(_picture(_side_px(network)))
    return applicable(subject)


def _picture(side_px: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)


def _evidence(subject: NetworkSubject, pixels: Pixels, name: str, target: int, who: str) -> Floats:
    """The evidence, once the heat is what it must be."""
    found = explain_picture(subject, pixels, method=name, target=target)
    heat, size = found.heat, pixels.shape[:2]
    require(heat.shape == size, who, f"the heat is {heat.shape}, the picture {size}")
    require(heat.dtype == np.float32, who, f"the heat is {heat.dtype}")
    require(bool(np.isfinite(heat).all()), who, "the heat holds numbers that are not finite")
    require(heat.min() >= 0 and heat.max() <= 1, who, f"the heat runs from {heat.min():g} to {heat.max():g}")
    require(found.evidence.ndim == 2 and bool(np.isfinite(found.evidence).all()), who, "the evidence is no map of finite numbers")
    require(not (found.evidence > 0).any() or heat.max() > 0.999, who, "there is evidence, and nowhere is the heat 1")
    return found.evidence


def _network(backbone: str, *, seed: int) -> Backbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        name, options = read_backbone(backbone)
        network = create_backbone(name, num_classes=_CLASSES, **options)
        with torch.no_grad():  # fresh weights shrink what passes a deep network until hardly anything reaches its end
            for part in network.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        return network.eval()


def _side_px(network: Backbone) -> int:
    """A small side at which the last maps have several places."""
    smallest, largest = network.sizes_px or (1, None)
    return largest or max(probe_px(network), smallest + max(network.strides))


def _apart(one: Floats, other: Floats) -> float:
    """How far two maps differ, as a share of the larger one."""
    if one.shape != other.shape:
        return float("inf")
    return float(np.abs(one - other).max() / max(np.abs(one).max(), np.abs(other).max(), 1e-30))


def _state(network: nn.Module) -> dict[str, Any]:
    """Everything that an explanation must leave alone."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "weights": weights_hash(network),
        "modes": [part.training for part in network.modules()],
        "gradients": [parameter.grad is None for parameter in network.parameters()],
        "what may learn": [parameter.requires_grad for parameter in network.parameters()],
        "hooks": [len(getattr(part, kind)) for part in network.modules() for kind in hooks],
        "torch's chance": torch.random.get_rng_state().numpy().tobytes(),
        "numpy's chance": repr(np.random.get_state()),
        "Python's chance": random.getstate(),
        "whether gradients are kept": torch.is_grad_enabled(),
    }


def _require_same(before: dict[str, Any], after: dict[str, Any], who: str) -> None:
    changed = [name for name, value in before.items() if after[name] != value]
    require(not changed, who, f"it changed {', '.join(changed)}")
