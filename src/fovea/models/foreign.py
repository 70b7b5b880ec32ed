"""A network of another package as a backbone: its channels, strides and parts are measured on it, and not taken from its papers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import nn

from fovea.errors import InputError
from fovea.models.backbone import Backbone, BackboneInfo, count_parameters
from fovea.models.passport import Triple
from fovea.types import FeatureMaps

# Makes the network with fresh weights; with those of its maps that are wanted, by index, or (None) with all of them.
Make = Callable[[Sequence[int] | None], nn.Module]
# (network, (B, 3, H, W)) -> its maps, fine to coarse
Look = Callable[[nn.Module, torch.Tensor], Sequence[torch.Tensor]]


@dataclass(frozen=True)
class Facts:
    """What was found out about a network by running it.

    Args:
        wanted: Which of its maps are used, by index: of several with one stride, the last.
        channels, strides, margins_px: Of each of these, as `Backbone` says.
        sizes_px: Where it takes pictures of one size alone.
        smallest_px: The smallest side that it was seen to take.
        points: Its freeze points.
        side_parts: What only the finer maps pass, as `Backbone` says.
        unused: Parameters that no map depends on: they cannot learn.
        in_windows: Whether its cells attend in windows, as `Backbone` says.
        num_parameters: Those that can.
    """

    wanted: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    margins_px: tuple[int, ...]
    sizes_px: tuple[int, int] | None
    smallest_px: int
    points: tuple[str, ...]
    side_parts: tuple[str, ...]
    unused: frozenset[str]
    in_windows: bool
    num_parameters: int


class ForeignBackbone(Backbone):
    """The network lies in `model`; the embedding is the mean of its coarsest map, and the classifier is a dense layer of ours."""

    classifier_name = "classifier"

    def __init__(self, model: nn.Module, look: Look, facts: Facts, num_classes: int) -> None:
        super().__init__()
        self.model, self._look, self._facts = model, look, facts
        self.channels, self.strides, self.margins_px = facts.channels, facts.strides, facts.margins_px
        self.side_parts, self.sizes_px, self.num_features = facts.side_parts, facts.sizes_px, facts.channels[-1]
        self.in_windows = facts.in_windows
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for name, parameter in model.named_parameters():
            if f"model.{name}" in facts.unused:
                parameter.requires_grad_(False)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        self.check_size(x)
        return FeatureMaps(tuple(self._look(self.model, x)), self.strides)

    def freeze_points(self) -> tuple[str, ...]:
        """As they are called, one after the other: stages, and in a network without stages its layers."""
        return self._facts.points


def foreign_info(
    facts: Facts,
    *,
    size_px: int,
    source: str,
    licence: str,
    mean: Triple,
    std: Triple,
    own_weights: Callable[[], tuple[Path, tuple[str, ...]]],
) -> BackboneInfo:
    """What the registry would state of such a network."""
    return BackboneInfo(
        channels=facts.channels,
        strides=facts.strides,
        num_parameters=facts.num_parameters + 1000 * (facts.channels[-1] + 1),
        image_size_px=size_px,
        smallest_input_px=facts.smallest_px,
        source=source,
        licence=licence,
        mean=mean,
        std=std,
        own_weights=own_weights,
    )


def measure(make: Make, look: Look, *, size_px: int, who: str) -> Facts:
    """Runs a network with fresh weights at several sizes. Chance is left as it was.

    Raises:
        InputError: It gives no feature maps, or maps whose sides follow no stride.
    """
    with torch.random.fork_rng(devices=[]):
        model = make(None).eval()
        strides = _strides(model, look, size_px, who)
        last = {stride: index for index, stride in enumerate(strides)}
        wanted = tuple(last[stride] for stride in sorted(last))
        if list(wanted) != sorted(wanted):
            raise _unusable(who, f"maps of the strides {strides}", "maps from fine to coarse")
        model = make(wanted).eval()
        kept = tuple(strides[index] for index in wanted)
        free = _takes(model, look, size_px + kept[-1]) and _takes(model, look, size_px + 1)  # any size, not multiples alone
        smallest = next((side for side in (2 * kept[-1], 4 * kept[-1]) if side < size_px and free and _takes(model, look, side)), size_px)
        reached, all_reached, order = _reached(model, look, size_px)
        parameters = [name for name, _ in model.named_parameters()]
        unused = frozenset(f"model.{name}" for name in parameters if name not in all_reached)
        side = {name for name in all_reached if name not in reached}
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name in all_reached)
        return Facts(
            wanted=wanted,
            channels=tuple(shape[0] for shape in _shapes(model, look, size_px)),
            strides=kept,
            margins_px=_margins(model, look, size_px, kept, who) if free else (0,) * len(kept),
            sizes_px=None if free else (size_px, size_px),
            smallest_px=smallest,
            points=tuple(f"model.{name}" for name in _points(model, order, reached)),
            side_parts=tuple(sorted(f"model.{name}" for name in side)),
            unused=unused,
            in_windows=any(hasattr(module, "window_size") for module in model.modules()),
            num_parameters=count_parameters(model),
        )


def _unusable(who: str, got: str, expected: str) -> InputError:
    return InputError(f"{who} cannot be a backbone", got=got, expected=expected, fix="choose another model: a network for pictures")


def _shapes(model: nn.Module, look: Look, side: int) -> list[tuple[int, int]]:
    """Channels and side of each map."""
    with torch.inference_mode():
        return [(int(feature.shape[1]), int(feature.shape[2])) for feature in look(model, torch.zeros(1, 3, side, side))]


def _takes(model: nn.Module, look: Look, side: int) -> bool:
    try:
        return all(cells > 0 for _, cells in _shapes(model, look, side))
    except Exception:  # a size that it cannot take is refused in as many ways as there are networks
        return False


def _strides(model: nn.Module, look: Look, size_px: int, who: str) -> list[int]:
    """From how the maps grow where the picture may grow, else from their sides."""
    try:
        with torch.inference_mode():
            maps = look(model, torch.zeros(1, 3, size_px, size_px))
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise _unusable(who, f"at {size_px} px: {reason}", "a network that takes pictures (B, 3, H, W)") from error
    if not maps or any(feature.dim() != 4 or feature.shape[2] != feature.shape[3] for feature in maps):
        raise _unusable(who, f"outputs {[tuple(feature.shape) for feature in maps]}", "feature maps (B, C, H, W)")
    sides = [int(feature.shape[2]) for feature in maps]
    if _takes(model, look, 2 * size_px):
        return [round(size_px / (larger - small)) for small, (_, larger) in zip(sides, _shapes(model, look, 2 * size_px), strict=True)]
    return [round(size_px / side) for side in sides]


def _margins(model: nn.Module, look: Look, size_px: int, strides: tuple[int, ...], who: str) -> tuple[int, ...]:
    """For each map the m of side = (S - m) // stride; nothing where all round up."""
    start = -(-size_px // strides[-1]) * strides[-1]

    @cache
    def sides(more: int) -> tuple[int, ...]:
        return tuple(cells for _, cells in _shapes(model, look, start + more))

    margins = []
    for index, stride in enumerate(strides):
        before, after = 0, stride  # in pixels more than `start`: by `after` it has grown by one cell, `before` it has not
        if sides(stride)[index] != sides(0)[index] + 1:
            raise _unusable(who, f"{sides(0)[index]} and {sides(stride)[index]} cells, {stride} px apart", "sides that follow a stride")
        while after - before > 1:
            middle = (before + after) // 2
            before, after = (before, middle) if sides(middle)[index] > sides(0)[index] else (middle, after)
        margins.append(start + after - stride * (sides(0)[index] + 1))
    return () if margins == [1 - stride for stride in strides] else tuple(margins)


def _reached(model: nn.Module, look: Look, size_px: int) -> tuple[set[str], set[str], list[str]]:
    """Names of the parameters that the coarsest map depends on, and any map; and the modules in the order of their calls."""
    order: list[str] = []
    hooks = [module.register_forward_pre_hook(lambda _, __, name=name: order.append(name)) for name, module in model.named_modules()]
    named = dict(model.named_parameters())
    try:
        maps = look(model, torch.randn(1, 3, size_px, size_px))
    finally:
        for hook in hooks:
            hook.remove()
    found = []
    for outputs in (maps[-1:], maps):
        total = torch.stack([feature.square().sum() for feature in outputs]).sum()
        gradients = torch.autograd.grad(total, list(named.values()), retain_graph=True, allow_unused=True)
        found.append({name for name, gradient in zip(named, gradients, strict=True) if gradient is not None})
    return found[0], found[1], order


def _points(model: nn.Module, order: list[str], reached: set[str]) -> list[str]:
    """The parts that lead to the coarsest map, in the order of their calls: children, of a row of stages or layers its own, loose parameters."""
    called = {name: index for index, name in reversed(list(enumerate(order)))}
    first: dict[str, int] = {}
    for part in _parts(model, ""):
        holders = [name.rpartition(".")[0] for name in reached if f"{name}.".startswith(f"{part}.")]
        if holders:
            first[part] = min(called.get(holder, -1) for holder in holders)  # loose parameters are called with the whole
    return sorted(first, key=first.__getitem__)


def _parts(module: nn.Module, prefix: str) -> list[str]:
    parts = [f"{prefix}{name}" for name, _ in module.named_parameters(recurse=False)]
    children = [(name, child) for name, child in module.named_children() if any(True for _ in child.parameters())]
    for name, child in children:
        if isinstance(child, nn.ModuleList | nn.Sequential):
            parts += [f"{prefix}{name}.{inner}" for inner, part in child.named_children() if any(True for _ in part.parameters())]
        elif len(children) == 1 or any(isinstance(part, nn.ModuleList) for part in child.modules()):  # a row of stages or layers lies in it
            parts += _parts(child, f"{prefix}{name}.")
        else:
            parts.append(f"{prefix}{name}")
    return parts
