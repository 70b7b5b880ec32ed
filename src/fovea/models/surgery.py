"""Cutting and joining networks: truncate at a layer or a stage, take the head off, put another on, combine several.

Every function leaves its arguments as they were, and gives a module of its own.
"""

import copy
from collections import Counter
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from fovea.errors import InputError
from fovea.models.backbone import Backbone, Pooling, check_pooling, probe_px
from fovea.models.freezing import no_part
from fovea.models.modes import evaluating
from fovea.models.summary import summarise, without_numbers
from fovea.types import FeatureMaps

Module = TypeVar("Module", bound=Backbone)


class Truncated(Backbone):
    """The beginning of a backbone, up to one layer or map: a backbone of one map. What lies behind is gone.

    Made by `truncate`. Names of tensors are those of the whole network behind "body.".
    """

    classifier_name = "classifier"

    def __init__(self, body: Backbone, end: "_End", *, channels: int, stride: int, pooling: Pooling) -> None:
        super().__init__()
        self.body, self._end = body, end
        self.channels, self.strides, self.num_features, self.pooling = (channels,), (stride,), channels, pooling
        self.sizes_px = body.sizes_px
        self.classifier = nn.Identity()

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        return FeatureMaps((self.body.lay_out(self._end.reached(self.body, x)),), self.strides)

    def extra_repr(self) -> str:
        """Said, since the hash of the weights reads what a network says of itself."""
        return f"until {self._end}, pooling={self.pooling}"

    def freeze_points(self) -> tuple[str, ...]:
        there = {name for name, _ in self.named_parameters()}
        points = [f"body.{point}" for point in self.body.freeze_points()]
        return tuple(point for point in points if any(f"{name}.".startswith(f"{point}.") for name in there))


class Grafted(nn.Module):
    """A body with another head: float32 (B, 3, H, W) -> what the head gives."""

    def __init__(self, body: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body.embed(x))  # type: ignore[no-any-return]


class Combined(nn.Module):
    """Several bodies side by side: what each makes of the same input, one after the other in a row, (B, D1 + D2 + ...)."""

    def __init__(self, parts: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([_embedding(part, x).flatten(1) for part in self.parts], dim=1)


def stage_layers(backbone: Backbone) -> tuple[str | None, ...]:
    """For each feature map the layer whose output it is; None where the network makes it between its layers."""
    given: list[tuple[str, torch.Tensor]] = []
    trial = without_numbers(backbone).eval()
    for name, part in trial.named_modules():
        if name:
            part.register_forward_hook(_noted(name, given))
    with torch.no_grad():
        maps = trial.forward_maps(_unfilled(backbone))
    calls = Counter(name for name, _ in given)  # one that is called again would be cut at its first call
    # the last that gave it: a relu in place answers for the convolution before it
    return tuple(next((name for name, output in reversed(given) if output is feature and calls[name] == 1), None) for feature in maps.maps)


def truncate(backbone: Backbone, at: str | int, *, pooling: Pooling = "avg") -> Truncated:
    """The network up to a layer, without what follows: early layers transfer better to tasks that are unlike the first.

    Args:
        backbone: With its weights; they are copied.
        at: A layer's name (`fovea models NAME` lists them; of one that is called again and again the first call), or the index of a stage: 0 is the finest feature map.
        pooling: What becomes of the places in the embedding: their mean ("avg") or largest ("max"), or "none": (B, C, h, w),
            to flatten or to go on with.

    Raises:
        UnknownName: No such layer; near names are listed.
        InputError: No such stage, or a layer whose output has no places.
    """
    layer, stage = (at, 0) if isinstance(at, str) else (_layer_of(backbone, at), at)
    if layer is not None and layer not in {name for name, _ in backbone.named_modules() if name}:
        raise no_part(backbone, layer)
    check_pooling(pooling)
    if layer is not None and not _on_the_way(backbone, layer):
        raise InputError(
            f"{layer!r} does not lie on the way to the feature maps",
            got="a layer behind them, or one that the network does not call as a whole",
            expected="a layer before the pooling, whose output is channels x height x width",
            fix="choose an earlier layer (`fovea models NAME` shows them); remove_head keeps all but the classifier",
        )
    body = copy.deepcopy(backbone)
    end = _End(layer) if layer is not None else _End(None, _calls_until(body, stage))
    channels, stride = (backbone.channels[stage], backbone.strides[stage]) if layer is None else _place_of(backbone, layer)
    _prune(body, end)
    return Truncated(body, end, channels=channels, stride=stride, pooling=pooling)


def remove_head(backbone: Module) -> Module:
    """The same network without its classifier, and without auxiliary ones: `forward` gives the embedding."""
    return replace_head(backbone, nn.Identity())


def replace_head(backbone: Module, head: nn.Module) -> Module:
    """The same network with another classifier, which reads the embedding (B, D); auxiliary ones, made for the old classes, come off."""
    changed = copy.deepcopy(backbone)
    changed.set_submodule(backbone.classifier_name, copy.deepcopy(head))
    for part in backbone.auxiliary_parts:
        if hasattr(changed, part):
            delattr(changed, part)
    return changed


def graft(backbone: Backbone, head: nn.Module) -> Grafted:
    """A head of any stack on a body: on its embedding, or with `pooling="none"` on its coarsest map."""
    return Grafted(copy.deepcopy(backbone), copy.deepcopy(head))


def combine(*parts: nn.Module) -> Combined:
    """Several bodies on the same input, their embeddings joined: backbones, or `PixelBackbone`s with their own normalisation."""
    if not parts:
        raise InputError("there is nothing to combine", got="no modules", expected="two or more", fix="name the modules")
    return Combined(tuple(copy.deepcopy(part) for part in parts))


def stack(num_features: int, *parts: int | float | str, num_classes: int) -> nn.Sequential:
    """A head of dense layers: `stack(1280, "max", 100, 50, 0.5, num_classes=4)` pools, then dense 100, 50, dropout, dense 4.

    Args:
        num_features: Of the embedding, or the channels of the map where the first part pools.
        parts: In order. A whole number is a dense layer of that width with ReLU, a fraction dropout of that share, "avg"
            and "max" pool a map, "flatten" lays a map out in a row (`num_features` is then C * h * w).
        num_classes: Width of the last dense layer, which has no ReLU.

    Raises:
        InputError: A part that is none of these.
    """
    layers: list[nn.Module] = []
    width = num_features
    for part in parts:
        if part in ("avg", "max"):
            layers += [nn.AdaptiveAvgPool2d(1) if part == "avg" else nn.AdaptiveMaxPool2d(1), nn.Flatten()]
        elif part == "flatten":
            layers.append(nn.Flatten())
        elif isinstance(part, int) and part > 0:
            layers += [nn.Linear(width, part), nn.ReLU()]
            width = part
        elif isinstance(part, float) and 0 <= part < 1:
            layers.append(nn.Dropout(part))
        else:
            raise InputError(
                f"no part of a head is called {part!r}",
                got=repr(part),
                expected='a width such as 100, a share of dropout such as 0.5, "avg", "max" or "flatten"',
                fix="choose one of these",
            )
    return nn.Sequential(*layers, nn.Linear(width, num_classes))


class _Reached(Exception):
    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output


@dataclass(frozen=True)
class _End:
    """Where the flow ends: behind a layer, or behind the n-th operation that gives a map, where no layer gives it as it is."""

    layer: str | None
    calls: int = 0

    def reached(self, body: Backbone, x: torch.Tensor) -> torch.Tensor:
        """What stands there, for pictures (B, 3, H, W)."""
        handle = body.get_submodule(self.layer).register_forward_hook(_stop) if self.layer is not None else None
        try:
            with nullcontext() if handle else _Counted(self.calls):
                body.forward_maps(x)
        except _Reached as found:
            return found.output
        finally:
            if handle:
                handle.remove()
        raise RuntimeError("the flow did not come to where it was cut")


class _Counted(TorchFunctionMode):
    """Counts the operations that give maps of fractions, and ends the flow behind the n-th; 0 keeps all that they gave."""

    def __init__(self, stop_at: int = 0) -> None:
        super().__init__()
        self.stop_at, self.count, self.given = stop_at, 0, list[torch.Tensor]()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        if isinstance(output, torch.Tensor) and output.ndim == 4 and output.is_floating_point():
            self.count += 1
            if self.count == self.stop_at:
                raise _Reached(output)
            if not self.stop_at:
                self.given.append(output)
        return output


def _calls_until(body: Backbone, stage: int) -> int:
    """How many operations give maps until a feature map stands; counted with numbers, since without them torch takes other ways."""
    x = _noise(body)
    with evaluating(body), torch.no_grad(), _Counted() as counted:
        feature = body.forward_maps(x)[stage]
    return next(index for index, output in enumerate(counted.given, start=1) if output is feature)


def _stop(part: nn.Module, inputs: Any, output: torch.Tensor) -> None:
    raise _Reached(output)


def _noted(name: str, given: list[tuple[str, torch.Tensor]]) -> Any:
    def note(part: nn.Module, inputs: Any, output: Any) -> None:
        given.append((name, output))

    return note


def _embedding(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return part.embed(x) if isinstance(part, Backbone) else part(x)


def _unfilled(backbone: Backbone) -> torch.Tensor:
    """A picture without numbers, to see what calls what."""
    return torch.empty(1, 3, probe_px(backbone), probe_px(backbone), device="meta", dtype=next(backbone.parameters()).dtype)


def _on_the_way(backbone: Backbone, layer: str) -> bool:
    """Whether the network calls a layer to make its feature maps."""
    called: set[str] = set()
    trial = without_numbers(backbone).eval()
    trial.get_submodule(layer).register_forward_pre_hook(_mark(layer, called))
    with torch.no_grad():
        trial.forward_maps(_unfilled(backbone))
    return bool(called)


def _noise(backbone: Backbone) -> torch.Tensor:
    """A picture, of the kind and in the place of the network's own numbers."""
    side = probe_px(backbone)
    return torch.linspace(-1, 1, 3 * side * side).view(1, 3, side, side).to(next(backbone.parameters()))


def check_stage(backbone: Backbone, stage: int) -> int:
    """The index of a feature map, as it was given.

    Raises:
        InputError: There is no such map.
    """
    total = len(backbone.channels)
    if not isinstance(stage, int) or isinstance(stage, bool) or not 0 <= stage < total:
        raise InputError(
            f"there are {total} stages", got=f"stage {stage}", expected=f"0 to {total - 1}, fine to coarse", fix="choose one of these"
        )
    return stage


def _layer_of(backbone: Backbone, stage: int) -> str | None:
    return stage_layers(backbone)[check_stage(backbone, stage)]


def _place_of(backbone: Backbone, layer: str) -> tuple[int, int]:
    """Channels and stride of a layer's output, laid out as a map."""
    summary = summarise(backbone, size_px=probe_px(backbone))
    shape, (field, _) = summary.outputs.get(layer, ((), (None, None)))
    output = backbone.lay_out(torch.empty(shape, device="meta"))
    if field is None or output.ndim != 4 or (not field.stride and output.shape[2:] == (1, 1)):
        raise InputError(
            f"the output of {layer!r} has no places to pool",
            got=" x ".join(map(str, shape[1:])) or "a part that the network does not call as a whole",
            expected="a layer before the pooling, channels x height x width",
            fix="choose an earlier layer: `fovea models NAME` shows their shapes",
        )
    return int(output.shape[1]), field.stride or round(probe_px(backbone) / output.shape[3])


def _prune(body: Backbone, end: _End) -> None:
    """Takes away what the flow does not come to before its end, unless something there is used without being called."""
    called: set[str] = set()
    names = [name for name, _ in body.named_modules()]
    handles = [part.register_forward_pre_hook(_mark(name, called)) for name, part in body.named_modules()]
    x = _noise(body)
    with evaluating(body), torch.no_grad():
        before = end.reached(body, x)
        for handle in handles:
            handle.remove()
        used = {name for name in names if name == "" or any(f"{inner}.".startswith(f"{name}.") for inner in called)}
        kept = {name: body.get_submodule(name) for name in names if name not in used and name.rpartition(".")[0] in used}
        for name in kept:
            body.set_submodule(name, nn.Identity())
        try:
            same = torch.equal(end.reached(body, x), before)
        except Exception:  # whatever a network of another's does with a layer that is not there
            same = False
    if not same:
        for name, part in kept.items():
            body.set_submodule(name, part)


def _mark(name: str, called: set[str]) -> Any:
    def mark(part: nn.Module, inputs: Any) -> None:
        called.add(name)

    return mark
