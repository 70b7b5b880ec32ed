"""What learns and what stays: freezing by name, pattern, stage or fraction, and batch norm that keeps still with it.

Every function leaves its argument as it was, and gives a changed copy.
"""

import copy
import difflib
import fnmatch
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from fovea.errors import InputError, UnknownName
from fovea.models.backbone import Backbone, probe_px
from fovea.models.summary import without_numbers

Module = TypeVar("Module", bound=nn.Module)
BatchNormMode = Literal["frozen", "affine", "learning"]


@dataclass(frozen=True)
class Trainable:
    """Which numbers of a module learn.

    Args:
        names: Of the parameters that learn.
        frozen: Of those that do not.
        num_trainable, num_frozen: How many numbers these are.
        num_fixed_norms: Batch norms that run on stored statistics in training too.
    """

    names: tuple[str, ...]
    frozen: tuple[str, ...]
    num_trainable: int
    num_frozen: int
    num_fixed_norms: int

    def to_text(self) -> str:
        """One line for people."""
        total = self.num_trainable + self.num_frozen
        share = f" ({self.num_trainable / total:.1%})" if total else ""
        fixed = f"; {self.num_fixed_norms} batch norms on stored statistics" if self.num_fixed_norms else ""
        return f"{self.num_trainable:,} of {total:,} parameters learn{share}, in {len(self.names)} of {len(self.names) + len(self.frozen)} tensors{fixed}"


def list_trainable(module: nn.Module) -> Trainable:
    """What learns in a module, and what does not."""
    named = list(module.named_parameters())
    learning, frozen = ([(name, p.numel()) for name, p in named if p.requires_grad == wanted] for wanted in (True, False))
    return Trainable(
        names=tuple(name for name, _ in learning),
        frozen=tuple(name for name, _ in frozen),
        num_trainable=sum(count for _, count in learning),
        num_frozen=sum(count for _, count in frozen),
        num_fixed_norms=sum(isinstance(part, _Fixed) and isinstance(part, _BatchNorm) for part in module.modules()),
    )


def freeze(
    module: Module,
    *,
    names: Sequence[str] = (),
    pattern: str | None = None,
    stages: int | None = None,
    fraction: float | None = None,
) -> Module:
    """A copy in which the chosen parts do not learn, and their batch norms run on stored statistics in training too.

    Without a choice all is frozen but the classifier of a backbone, or the head of a body and a head. Where nothing but that is left
    to learn, dropout before it stays off as well: a frozen backbone gives the same embedding in training and in evaluation (norms and dropout are torch's own kinds; a module that
    draws by chance itself has to look at `self.training` of its own).

    Args:
        module: A backbone; for `names`, `pattern` and `fraction` any module.
        names: Parts by their state-dict prefix, for example "layer1".
        pattern: Of parameter names, with * and ? as in file names, for example "*.bn*".
        stages: The first so many feature maps, and all that they are made from.
        fraction: The first share of its freeze points, 0 to 1.

    Raises:
        UnknownName, InputError: No such part; nothing matches; out of range.
    """
    changed = copy.deepcopy(module)
    chosen = _chosen(changed, names, pattern, stages, fraction, last=False)
    for name, parameter in changed.named_parameters():
        if name in chosen:
            parameter.requires_grad_(False)
    head = _head_of(changed)
    still = not any(p.requires_grad for name, p in changed.named_parameters() if not head or not name.startswith(head))
    for prefix, part in changed.named_modules():
        if isinstance(part, _BatchNorm):
            own = list(part.parameters()) or list(changed.get_submodule(prefix.rpartition(".")[0]).parameters())
            if own and not any(parameter.requires_grad for parameter in own):  # one without numbers goes with its neighbours
                _fix(part)
        elif isinstance(part, _DropoutNd) and still and not (head and f"{prefix}.".startswith(head)):
            _fix(part)  # nothing is left that it could help to learn
    return changed


def unfreeze(
    module: Module,
    *,
    names: Sequence[str] = (),
    pattern: str | None = None,
    stages: int | None = None,
    fraction: float | None = None,
    batch_norm: BatchNormMode = "frozen",
) -> Module:
    """A copy in which the chosen parts learn again; without a choice, all.

    Args:
        module: As in `freeze`.
        names: Parts by their state-dict prefix.
        pattern: Of parameter names.
        stages: The last so many feature maps: all that the earlier ones are not made from.
        fraction: The last share of its freeze points, 0 to 1.
        batch_norm: What frozen batch norms do: "frozen" stays as it is, since a few pictures would spoil statistics
            of a million; "affine" learns scale and shift on stored statistics; "learning" is batch norm as usual.

    Raises:
        UnknownName, InputError: No such part; nothing matches; out of range.
    """
    if batch_norm not in (known := get_args(BatchNormMode)):
        raise InputError(
            f"no way of batch norm is called {batch_norm!r}", got=repr(batch_norm), expected=", ".join(known), fix="choose one of these"
        )
    changed = copy.deepcopy(module)
    chosen = _chosen(changed, names, pattern, stages, fraction, last=True)
    fixed = {
        f"{prefix}.{own}": norm
        for prefix, norm in changed.named_modules()
        if isinstance(norm, _BatchNorm) and isinstance(norm, _Fixed)
        for own, _ in norm.named_parameters()
    }
    thawed = [name for name in chosen if batch_norm != "frozen" or name not in fixed]
    if chosen and not thawed:
        raise InputError(
            "what was chosen are frozen batch norms, and these stay as they are",
            got=", ".join(sorted(chosen)[:3]), expected="a part with other layers, or another batch_norm",
            fix='add batch_norm="affine" (scale and shift learn) or batch_norm="learning" (as usual)',
        )  # fmt: skip
    for name, parameter in changed.named_parameters():
        if name in thawed:
            parameter.requires_grad_(True)
    loosened: dict[int, nn.Module] = {id(norm): norm for name, norm in fixed.items() if name in chosen}
    for prefix, norm in changed.named_modules():  # those without numbers go with their neighbours
        if isinstance(norm, _BatchNorm) and not any(True for _ in norm.parameters()):
            beside = f"{prefix.rpartition('.')[0]}.".lstrip(".")
            loosened |= {id(norm): norm} if any(name.startswith(beside) for name in thawed) else {}
    loosened = loosened if batch_norm == "learning" else {}
    dropouts = {id(part): part for part in changed.modules() if isinstance(part, _DropoutNd)} if thawed else {}
    for part in (loosened | dropouts).values():
        _loosen(part, changed.training)
    return changed


class _Fixed:
    """Mixed into the class of a batch norm, or a dropout: it never leaves evaluation mode."""

    def train(self, mode: bool = True) -> nn.Module:
        return super().train(False)  # type: ignore[misc, no-any-return]

    def _get_name(self) -> str:
        return type(self).__mro__[2].__name__  # the same numbers as the plain one, so the same name and the same hash


_FIXED: dict[type, type] = {}


def _fix(norm: nn.Module) -> None:
    """Turns a layer into one that stays in evaluation mode; tensors and names stay."""
    kind = type(norm)
    if not issubclass(kind, _Fixed):
        if kind not in _FIXED:
            _FIXED[kind] = type(f"Fixed{kind.__name__}", (_Fixed, kind), {})
        norm.__class__ = _FIXED[kind]
    norm.train(False)


def _loosen(part: nn.Module, training: bool) -> None:
    if isinstance(part, _Fixed):
        part.__class__ = type(part).__mro__[2]
        part.train(training)


def _head_of(module: nn.Module) -> str:
    """The prefix of what answers, which stays able to learn: a backbone's classifier, or the head of a body and a head; "" for none."""
    if isinstance(module, Backbone):
        return f"{module.classifier_name}."
    return "head." if {"body", "head"} <= {name for name, _ in module.named_children()} else ""


def _chosen(
    module: nn.Module, names: Sequence[str], pattern: str | None, stages: int | None, fraction: float | None, *, last: bool
) -> set[str]:
    """Names of the parameters that the words choose: the union, or all."""
    own = [name for name, _ in module.named_parameters()]
    if not names and pattern is None and stages is None and fraction is None:
        head = "" if last else _head_of(module)
        return {name for name in own if not head or not name.startswith(head)}
    chosen: set[str] = set()
    for wanted in names:
        found = {name for name in own if f"{name}.".startswith(f"{wanted}.")}
        if not found:
            raise no_part(module, wanted)
        chosen |= found
    if pattern is not None:
        found = {name for name in own if fnmatch.fnmatchcase(name, pattern)}
        if not found:
            raise InputError(
                f"no parameter's name matches {pattern!r}",
                got=pattern,
                expected="a pattern of names such as " + ", ".join(own[:3]),
                fix="list the names with list_trainable(module).names",
            )
        chosen |= found
    if stages is not None:
        chosen |= _of_stages(module, stages, last=last)
    if fraction is not None:
        chosen |= _of_fraction(module, own, fraction, last=last)
    return chosen


def no_part(module: nn.Module, wanted: str) -> UnknownName:
    """The error for a layer's name that a module does not have: it lists the near ones."""
    parts = [name for name, _ in module.named_modules() if name] + [name for name, _ in module.named_parameters()]
    near = difflib.get_close_matches(wanted, parts, n=3)
    return UnknownName(
        f"no layer is called {wanted!r}",
        got=repr(wanted),
        expected="a layer's name, such as " + ", ".join(parts[:5]),
        fix=f"did you mean {' or '.join(near)}?" if near else "`fovea models NAME` lists the layers of a backbone",
    )


def _of_stages(module: nn.Module, stages: int, *, last: bool) -> set[str]:
    """The parameters that the first maps are made from, found by their gradients; or those of the last maps alone."""
    if not isinstance(module, Backbone):
        raise InputError("only a backbone has stages", got=type(module).__name__, expected="a Backbone", fix="freeze by names or a pattern")
    total = len(module.channels)
    if not 0 <= stages <= total:
        raise InputError(f"there are {total} stages", got=f"stages={stages}", expected=f"0 to {total}", fix=f"choose one of 0 to {total}")
    first = total - stages if last else stages
    reached = _made_from(module, first - 1) if first else set[str]()
    if not last:
        return reached
    head = f"{module.classifier_name}."
    return {name for name, _ in module.named_parameters() if name not in reached and not name.startswith(head)}


def _made_from(backbone: Backbone, index: int) -> set[str]:
    """The parameters that a feature map depends on. Random state, modes and gradients are left as found."""
    trial = without_numbers(backbone).eval().requires_grad_(True)
    side = probe_px(backbone)
    with torch.inference_mode(mode=False), torch.enable_grad():
        feature = trial.forward_maps(torch.empty(1, 3, side, side, device="meta", dtype=next(backbone.parameters()).dtype))[index]
        named = list(trial.named_parameters())
        gradients = torch.autograd.grad(feature.sum(), [parameter for _, parameter in named], allow_unused=True)
    return {name for (name, _), gradient in zip(named, gradients, strict=True) if gradient is not None}


def _of_fraction(module: nn.Module, own: list[str], fraction: float, *, last: bool) -> set[str]:
    if not 0 <= fraction <= 1:
        raise InputError("a fraction is between 0 and 1", got=f"fraction={fraction}", expected="0 to 1", fix="0.5 is the first half")
    if isinstance(module, Backbone):
        points = list(module.freeze_points())
    else:
        points = [name for name, part in module.named_modules() if any(True for _ in part.parameters(recurse=False))]
    count = round(fraction * len(points))
    taken = points[len(points) - count :] if last else points[:count]
    return {name for name in own if any(f"{name}.".startswith(f"{point}.") for point in taken)}
