"""Attribution methods of captum by name, "captum:DeepLift": what the registry has not, where the extra `explain` is installed."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from fovea.errors import InputError, UnknownName, missing_extra
from fovea.explain.method import MethodInfo
from fovea.registry import Entry
from fovea.types import Floats

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject

_PREFIX = "captum:"


def captum_entry(name: str) -> Entry[MethodInfo]:
    """The registry entry of one of captum's methods.

    Raises:
        MissingExtra: captum is not installed.
        UnknownName: It has no such method, or one that needs more than the network and a picture.
    """
    if not name.startswith(_PREFIX):
        raise UnknownName(
            f"no explanation method is called {name!r}", got=name, expected="captum:NAME", fix="`fovea explain --help` tells the names"
        )
    try:
        from captum import attr
    except ImportError as error:
        raise missing_extra("captum", "explain", f"the explanation method {name!r}") from error
    usable = {key: kind for key, kind in vars(attr).items() if inspect.isclass(kind) and _is_usable(attr, kind)}
    wanted = name.removeprefix(_PREFIX)
    if wanted not in usable:
        raise UnknownName(
            f"captum has no method {wanted!r} that explains by itself",
            got=name,
            expected=", ".join(sorted(usable)),
            fix="choose one of these",
        )

    def evidence_of(subject: NetworkSubject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
        return _attributions(usable[wanted], subject, pixels, target, seed)

    info = MethodInfo(purpose=f"captum's {wanted}", source="captum.ai", needs=("gradients",))
    return Entry(name, evidence_of, info, f"{usable[wanted].__module__}:{wanted}")


def _is_usable(attr: Any, kind: Any) -> bool:
    """Whether it is made of a network alone, and asked with a picture and a target alone."""
    made = [each for each in inspect.signature(kind).parameters.values() if each.default is each.empty]
    if not issubclass(kind, attr.Attribution) or len(made) != 1 or kind is attr.Attribution:
        return False
    asked = [
        each
        for each in inspect.signature(kind.attribute).parameters.values()
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    return [each.name for each in asked] == ["self", "inputs"]


def _attributions(kind: Any, subject: NetworkSubject, pixels: Any, target: int, seed: int) -> Floats:
    import torch
    from torch import nn

    class Scores(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.explained = subject.module

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return subject.logits(x)

    with subject.untouched():
        torch.manual_seed(seed)  # put back by `untouched`
        x = subject.input(pixels[None]).detach().clone().requires_grad_()
        try:
            found = kind(Scores().eval()).attribute(x, target=target)
        except (RuntimeError, AssertionError, TypeError) as error:
            raise InputError(
                f"captum's {kind.__name__} cannot explain this network", got=str(error).splitlines()[0][:300],
                expected="a network as that method wants it (often: no activation that writes in place)", fix="take one of Fovea's own methods",
            ) from error  # fmt: skip
    evidence: Floats = found.detach().sum(dim=1)[0].float().cpu().numpy()
    return evidence
