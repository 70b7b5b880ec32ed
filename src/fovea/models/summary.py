"""The table of a network's layers: output shape, parameters, multiply-adds, and what each sees of the picture.

The network runs once without numbers (torch's "meta" device), and every operation is followed, also those that are no layer.
What a cell sees is known by the recursive formula: a window of k cells at stride s, on cells that stand `stride` pixels
apart, widens the field by (k - 1) strides and multiplies the stride by s (arXiv:1603.07285, section 2; with branches, the widest counts).
"""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from fovea.errors import InputError
from fovea.models.backbone import Backbone

_ATEN = torch.ops.aten
Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Field:
    """What the first cell of a map sees along one side of the picture, and how far the next cell's view lies.

    Args:
        first, last: Pixels, from the picture's top or left edge; negative where padding is seen.
        stride: In pixels. 0: every cell sees the whole picture.
    """

    first: int
    last: int
    stride: int

    @property
    def size_px(self) -> int:
        """The receptive field, in pixels."""
        return self.last - self.first + 1

    def window(self, kernel: int, stride: int, padding: int, dilation: int = 1) -> "Field":
        """After a window of `kernel` cells at `stride`."""
        step = self.stride
        return Field(self.first - padding * step, self.last + (dilation * (kernel - 1) - padding) * step, step * stride)

    def joined(self, other: "Field") -> "Field":
        """What a sum or a concatenation sees."""
        if not (self.stride and other.stride):
            return other if self.stride else self
        return Field(min(self.first, other.first), max(self.last, other.last), max(self.stride, other.stride))


Fields = tuple[Field, Field]  # along the height, along the width


@dataclass(frozen=True)
class LayerRow:
    """One line of the table.

    Args:
        name: As in the state dict; what stands in brackets is an operation of that part, and no layer.
        kind: The class of the layer, or the operation.
        output_shape: With 1 for the batch.
        num_parameters, num_trainable: Of the layer itself.
        num_macs: Multiply-adds for one picture, of convolutions, dense layers and attention.
        receptive_field_px: How many pixels one cell sees along a side (the longer, where they differ), beyond the edges too; the
            picture's side where it sees all.
        stride_px: How far the next cell's view lies; 0 where every cell sees all.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    num_parameters: int
    num_trainable: int
    num_macs: int
    receptive_field_px: int
    stride_px: int


@dataclass(frozen=True)
class Summary:
    """A network's layers in the order of the flow.

    Args:
        rows: One for each layer, and for each pooling or multiplication that is no layer.
        size_px: Side of the picture.
        outputs: Shape and fields of every named part's output, containers too.
    """

    rows: tuple[LayerRow, ...]
    size_px: int
    outputs: Mapping[str, tuple[tuple[int, ...], Fields]]

    @property
    def num_parameters(self) -> int:
        return sum(row.num_parameters for row in self.rows)

    @property
    def num_trainable(self) -> int:
        return sum(row.num_trainable for row in self.rows)

    @property
    def num_macs(self) -> int:
        return sum(row.num_macs for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """The rows and their sums."""
        return {
            "image_size_px": self.size_px,
            "num_parameters": self.num_parameters,
            "num_trainable": self.num_trainable,
            "num_macs": self.num_macs,
            "layers": [asdict(row) | {"output_shape": list(row.output_shape)} for row in self.rows],
        }

    def to_text(self) -> str:
        """The table that people know from other tools."""
        heads = ("layer", "kind", "output", "parameters", "learns", "multiply-adds", "sees px")
        lines = [
            (
                row.name,
                row.kind,
                " x ".join(map(str, row.output_shape[1:])),
                f"{row.num_parameters:,}" if row.num_parameters else "",
                ""
                if not row.num_parameters
                else "yes"
                if row.num_trainable == row.num_parameters
                else "in part"
                if row.num_trainable
                else "no",
                f"{row.num_macs:,}" if row.num_macs else "",
                "all" if not row.stride_px else str(row.receptive_field_px),
            )
            for row in self.rows
        ]
        widths = [max(len(line[index]) for line in (heads, *lines)) for index in range(len(heads))]
        table = ["  ".join(_aligned(cell, width, index) for index, (cell, width) in enumerate(zip(line, widths, strict=True))).rstrip()
                 for line in (heads, tuple("-" * width for width in widths), *lines)]  # fmt: skip
        frozen = self.num_parameters - self.num_trainable
        sums = f"{self.num_parameters:,} parameters ({self.num_trainable:,} learn, {frozen:,} are frozen), {self.num_macs / 1e6:,.1f} million multiply-adds"
        return "\n".join([*table, "", f"{sums} for a picture of {self.size_px} x {self.size_px} px"])


def summarise(module: nn.Module, *, size_px: int = 224, channels: int = 3) -> Summary:
    """Follows a picture through a network. The network is left as it was; nothing is computed.

    Args:
        module: Takes float32 (B, 3, H, W).
        size_px: Height and width.
        channels: Of the input.

    Raises:
        InputError: The network cannot take a picture of that size.
    """
    with torch.inference_mode(mode=False), torch.no_grad():  # inference mode hides what an operation is made of
        trial = without_numbers(module).eval()
        follower = _Follower(trial, size_px)
        x = torch.empty(1, channels, size_px, size_px, device="meta", dtype=next((p.dtype for p in module.parameters()), None))
        follower.fields[x] = (Field(0, 0, 1), Field(0, 0, 1))
        try:
            with follower:
                trial(x)
        except RuntimeError as error:
            smallest = f"{module.sizes_px[0]} px or more" if isinstance(module, Backbone) and module.sizes_px else "a larger picture"
            raise InputError(
                f"the network cannot take a picture of {size_px} x {size_px} px",
                got=str(error).splitlines()[0],
                expected=smallest,
                fix="choose a larger --image-size",
            ) from error
        finally:
            follower.release()
    return Summary(tuple(follower.rows), size_px, follower.outputs)


def fields_of_maps(backbone: Backbone, *, size_px: int) -> tuple[Field, ...]:
    """What a cell of each feature map sees by the formula: the wider of its two sides. The backbone is left as it was.

    Args:
        backbone: With any weights; nothing is computed.
        size_px: Side of the picture.
    """
    with torch.inference_mode(mode=False), torch.no_grad():
        trial = without_numbers(backbone).eval()
        follower = _Follower(trial, size_px)
        x = torch.empty(1, 3, size_px, size_px, device="meta")
        follower.fields[x] = (Field(0, 0, 1), Field(0, 0, 1))
        try:
            with follower:
                maps = trial.forward_maps(x)
        finally:
            follower.release()
        return tuple(max(follower.fields[each], key=lambda field: field.size_px) for each in maps.maps)


def without_numbers(module: Module) -> Module:
    """A copy whose tensors have shapes alone: a VGG's half a gigabyte is not copied."""
    memo: dict[int, object] = {}
    for tensor in (*module.parameters(), *module.buffers()):
        bare = torch.empty_like(tensor, device="meta")
        memo[id(tensor)] = nn.Parameter(bare, requires_grad=tensor.requires_grad) if isinstance(tensor, nn.Parameter) else bare
    return copy.deepcopy(module, memo)


def _aligned(cell: str, width: int, index: int) -> str:
    return cell.ljust(width) if index < 3 or index == 4 else cell.rjust(width)


class _Follower(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operation that the network calls, and knows in which part it happens."""

    def __init__(self, module: nn.Module, size_px: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.fields = WeakTensorKeyDictionary()
        self.rows: list[LayerRow] = []
        self.outputs: dict[str, tuple[tuple[int, ...], Fields]] = {}
        self.everything: Fields = (Field(0, size_px - 1, 0), Field(0, size_px - 1, 0))
        self._inside: list[str] = []
        self._macs: list[int] = []
        self._counted: set[int] = set()  # parameters that an earlier row has counted: a layer may be called twice
        self._leaf = {name: not any(True for _ in part.children()) for name, part in module.named_modules()}
        self._handles = []
        for name, part in module.named_modules():
            self._handles.append(part.register_forward_pre_hook(self._enter(name)))
            self._handles.append(part.register_forward_hook(self._leave(name)))

    def release(self) -> None:
        for handle in self._handles:
            handle.remove()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = function(*args, **(kwargs or {}))
        first = output[0] if isinstance(output, tuple | list) else output
        if isinstance(first, torch.Tensor):
            seen, macs, shown = self._followed(function, args, first)
            for tensor in output if isinstance(output, tuple | list) else (output,):
                if isinstance(tensor, torch.Tensor) and seen is not None:
                    self.fields[tensor] = seen
            if self._macs:
                self._macs[-1] += macs
            if shown and self._inside and not self._leaf[self._inside[-1]]:
                self._add(f"{self._inside[-1]} ({shown})".strip(), shown, first, 0, 0, macs)
                self._macs[-1] -= macs
        return output

    def _followed(self, function: Any, args: Any, output: torch.Tensor) -> tuple[Fields | None, int, str]:
        """The fields of an operation's output, its multiply-adds, and the name of a row of its own, if it gets one."""
        fields = [self.fields[tensor] for tensor in _tensors(args) if tensor in self.fields]
        if not fields:
            return None, 0, ""
        seen = fields[0]
        for other in fields[1:]:
            seen = (seen[0].joined(other[0]), seen[1].joined(other[1]))
        rule = _RULES.get(function.overloadpacket)
        if rule is not None:
            return rule(self, seen, args, output)
        if _loses_places(args[0] if args and isinstance(args[0], torch.Tensor) else None, output):
            return self.everything, 0, ""
        return seen, 0, ""

    def _fields_of(self, output: torch.Tensor) -> Fields:
        return self.fields.get(output, self.everything)  # type: ignore[no-untyped-call, no-any-return]

    def _enter(self, name: str) -> Callable[..., None]:
        def enter(part: nn.Module, inputs: Any) -> None:
            self._inside.append(name)
            self._macs.append(0)

        return enter

    def _leave(self, name: str) -> Callable[..., None]:
        def leave(part: nn.Module, inputs: Any, output: Any) -> None:
            self._inside.pop()
            macs = self._macs.pop()
            if not isinstance(output, torch.Tensor):
                return
            self.outputs[name] = (tuple(output.shape), self._fields_of(output))
            own = [parameter for parameter in part.parameters(recurse=False) if id(parameter) not in self._counted]
            self._counted |= {id(parameter) for parameter in own}
            if (self._leaf[name] and not isinstance(part, nn.Identity)) or own or macs:
                learning = sum(parameter.numel() for parameter in own if parameter.requires_grad)
                self._add(name or "(itself)", type(part).__name__, output, sum(parameter.numel() for parameter in own), learning, macs)

        return leave

    def _add(self, name: str, kind: str, output: torch.Tensor, parameters: int, trainable: int, macs: int) -> None:
        seen = self._fields_of(output)
        widest = max(seen, key=lambda field: field.size_px)
        self.rows.append(LayerRow(name, kind, tuple(output.shape), parameters, trainable, macs, widest.size_px, widest.stride))


_Found = tuple[Fields, int, str]
_Rule = Callable[["_Follower", Fields, Any, torch.Tensor], _Found]


def _windows(seen: Fields, kernels: Any, strides: Any, paddings: Any, dilations: Any = (1, 1)) -> Fields:
    height, width = (
        field.window(kernels[i], strides[i], paddings[i], dilations[i]) if field.stride else field for i, field in enumerate(seen)
    )
    return height, width


def _convolution(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    weight = args[1]
    fields = _windows(seen, weight.shape[2:], args[3], args[4], args[5])
    return fields, output.numel() // output.shape[0] * math.prod(weight.shape[1:]), "convolution"


def _pooling(kind: str) -> _Rule:
    def follow(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
        strides = args[2] if len(args) > 2 and args[2] else args[1]
        return _windows(seen, args[1], strides, args[3] if len(args) > 3 else (0, 0)), 0, kind

    return follow


def _over_all(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    return (follower.everything, 0, "pool over all") if _loses_places(args[0], output) else (seen, 0, "")


def _padding(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    pads = [*list(args[1]), 0, 0, 0]  # last side first: left, right, top, bottom
    left, top = pads[0], pads[2]
    shifted = [Field(f.first - by * f.stride, f.last - by * f.stride, f.stride) for f, by in zip(seen, (top, left), strict=True)]
    return (shifted[0], shifted[1]), 0, ""


def _dense(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    inner = next(tensor for tensor in reversed(_tensors(args)) if tensor.ndim == 2).shape[0]
    return seen, output.numel() * inner, "dense"


def _between_tokens(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    return follower.everything, output.numel() * _tensors(args)[0].shape[-1], "multiplication"


def _attention(follower: _Follower, seen: Fields, args: Any, output: torch.Tensor) -> _Found:
    query, key = args[0], args[1]
    return follower.everything, 2 * query.numel() * key.shape[-2], "attention"


_RULES: dict[Any, _Rule] = {
    _ATEN.convolution: _convolution,
    _ATEN.max_pool2d_with_indices: _pooling("max pool"),
    _ATEN.avg_pool2d: _pooling("average pool"),
    _ATEN.mean: _over_all,
    _ATEN.amax: _over_all,
    _ATEN._adaptive_avg_pool2d: _over_all,
    _ATEN.adaptive_max_pool2d: _over_all,
    _ATEN.constant_pad_nd: _padding,
    _ATEN.addmm: _dense,
    _ATEN.mm: _dense,
    _ATEN.bmm: _between_tokens,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_efficient_attention: _attention,
    _ATEN._scaled_dot_product_flash_attention: _attention,
    _ATEN.scaled_dot_product_attention: _attention,
}


def _tensors(args: Any) -> list[torch.Tensor]:
    """The tensors among the arguments, also in lists of them."""
    found = []
    for arg in args:
        if isinstance(arg, torch.Tensor):
            found.append(arg)
        elif isinstance(arg, tuple | list):
            found += [inner for inner in arg if isinstance(inner, torch.Tensor)]
    return found


def _loses_places(before: torch.Tensor | None, after: torch.Tensor) -> bool:
    """Whether a map of several places becomes something without them."""
    if before is None or before.ndim != 4 or before.shape[2] * before.shape[3] == 1:
        return False
    places = before.shape[2] * before.shape[3]
    if after.ndim == 4:
        return after.shape[2] * after.shape[3] < min(places, 2) or (after.shape[2], after.shape[3]) == (1, 1)
    return after.ndim == 2 or (after.ndim == 3 and places not in tuple(after.shape))
