"""Looking inside a running network: which maps there are, in which order, and catching one of them. The network is left as found.

A network is traced and not read: modules by hooks, and what is written as functions between them (`F.relu`, `+`, `cat`) by
torch's own function mode. So a map that no module gives, the sum behind a residual block or the ReLU behind a batch norm, can
be explained too. It is called by the module before it and the function: "bn2+relu6".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Edit = Callable[[torch.Tensor], torch.Tensor]

_CONVOLUTIONS = {"conv1d", "conv2d", "conv3d"}
RELUS = {"relu", "relu6", "hardtanh", "threshold"}
ATTENTION = {"scaled_dot_product_attention", "multi_head_attention_forward"}
_PASSED = ("dropout", "pool", "contiguous", "clone", "detach", "to", "pad", "interpolate", "permute", "transpose")  # no new map
_MOST_PREFIX = 8  # tokens before those that lie in places: a class token, a distilled one, registers


@dataclass
class Place:
    """A tensor on its way through a network.

    Args:
        name: Of the module that gives it, or of the last module before it and the function: "bn2+relu6".
        index: Which function call made it, of all in one pass; 0 for a module's output that was named by hand.
        shape: At the picture that was traced.
        function: What made it.
        tensor: It itself.
        of_module: Whether `name` is a module's.
        convolved: Whether a convolution made it, or made it before it was changed in place.
        call: Of a module that gives it, which of its calls in one pass, from 1: one ReLU often serves a whole block.
    """

    name: str
    index: int
    shape: tuple[int, ...]
    function: str
    tensor: torch.Tensor = field(repr=False)
    of_module: bool = False
    convolved: bool = False
    call: int = 1


class Watch(TorchFunctionMode):
    """While it is open, every call of a function that gives a tensor is shown to `seen`.

    That gets the number of the call, the function's name, the tensor, and whether that is one of the arguments; what it returns
    takes the tensor's place.
    """

    def __init__(self, seen: Callable[[int, str, torch.Tensor, bool], torch.Tensor]) -> None:
        super().__init__()
        self.seen, self.count = seen, 0
        self.names: set[str] = set()  # of all functions that were called, also of those that give something else

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").strip("_")
        self.names.add(name)
        if not isinstance(result, torch.Tensor):
            return result
        self.count += 1
        same = any(result is argument for argument in args)  # written in place, or passed on as it is
        return self.seen(self.count, name, result, same)


def trace(module: nn.Module, run: Callable[[], torch.Tensor]) -> tuple[torch.Tensor, list[Place], set[str]]:
    """Runs a network; gives what it answers, the tensors of three and four dimensions on its way, in order, and the functions it calls."""
    places: list[Place] = []
    calls: Counter[str] = Counter()
    last = ""

    def seen(index: int, function: str, tensor: torch.Tensor, same: bool) -> torch.Tensor:
        if tensor.ndim not in (3, 4) or function == "get" or (same and function in _PASSED):
            return tensor
        convolved = function in _CONVOLUTIONS
        if same and places and places[-1].tensor is tensor:
            convolved = places.pop().convolved  # changed in place
        places.append(Place(f"{last}+{function}".lstrip("+"), index, tuple(tensor.shape), function, tensor, convolved=convolved))
        return tensor

    def leaving(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            nonlocal last
            last = name
            calls[name] += 1
            if places and places[-1].tensor is output and (not places[-1].of_module or places[-1].call > 1):
                places[-1].name, places[-1].of_module, places[-1].call = (
                    name,
                    True,
                    calls[name],
                )  # of one used again, what is around it tells more

        return hook

    handles = [part.register_forward_hook(leaving(name)) for name, part in module.named_modules() if name]
    try:
        with Watch(seen) as watch:
            output = run()
    finally:
        for handle in handles:
            handle.remove()
    return output, places, watch.names


@contextmanager
def editing(module: nn.Module, place: Place, edit: Edit) -> Iterator[None]:
    """While it is open, which is for one pass, the tensor at `place` is replaced by what `edit` makes of it."""
    if place.of_module:
        calls = count(1)
        handle = module.get_submodule(place.name).register_forward_hook(
            lambda _module, _inputs, output: edit(output) if next(calls) == place.call else None
        )
        try:
            yield
        finally:
            handle.remove()
        return

    def seen(index: int, _function: str, tensor: torch.Tensor, _same: bool) -> torch.Tensor:
        return edit(tensor) if index == place.index else tensor

    with Watch(seen):  # numbers are those of the trace: the network must be called once, and first of all
        yield


def last_map(places: list[Place], score: torch.Tensor) -> tuple[Place, tuple[int, int]] | None:
    """The place that Grad-CAM takes, and the height and width of its map; None in a network without convolutions.

    That is "the last convolution" of Selvaraju et al. with what belongs to it (norm, activation, a residual sum, a concatenation
    of branches), before any pooling: the last map of its size on which the score depends. The only convolution of a Vision
    Transformer cuts the picture into patches: there it is the last tokens of its width of which those in places count.
    """
    reached = _reached(places, score)
    convs = [place for place in places if place.convolved and _spatial(place) and id(place) in reached]
    if not convs:
        return None
    conv = convs[-1]
    height, width = conv.shape[2:]
    behind = [place for place in places if place.index >= conv.index and not any(word in place.function for word in _PASSED)]
    tokens = [place for place in behind if _are_tokens(place, conv.shape[1], height * width)]
    if tokens := [place for place in tokens if _touches(reached.get(id(place)), height * width)]:
        return tokens[-1], (height, width)
    maps = [place for place in behind if len(place.shape) == 4 and place.shape[2:] == conv.shape[2:] and id(place) in reached]
    return maps[-1] if maps else conv, (height, width)


def lay_out(tensor: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
    """Maps (B, C, h, w) as they are; tokens (B, L, C) as they lie in the picture, without those before them that stand for no place."""
    if tensor.ndim == 4:
        return tensor
    count = grid[0] * grid[1]
    return tensor[:, tensor.shape[1] - count :].transpose(1, 2).reshape(len(tensor), -1, *grid)  # (B, L, C) -> (B, C, h, w)


def grid_of(shape: tuple[int, ...], patches: tuple[int, int] | None = None) -> tuple[int, int] | None:
    """The height and width of a layer's output; None where it does not lie in places. Tokens lie as the patches do that they were cut into, else in a square."""
    if len(shape) == 4:
        return (shape[2], shape[3]) if shape[2] * shape[3] > 1 else None
    if len(shape) != 3:
        return None
    if patches and 0 <= shape[1] - patches[0] * patches[1] <= _MOST_PREFIX:
        return patches
    side = math.isqrt(shape[1])
    return (side, side) if side > 1 and shape[1] - side * side <= _MOST_PREFIX else None


def _are_tokens(place: Place, width: int, count: int) -> bool:
    few = len(place.shape) == 3 and 0 <= place.shape[1] - count <= _MOST_PREFIX
    return few and place.shape[2] == width and place.function != "linear"  # a linear layer's are queries, keys or values


def _spatial(place: Place) -> bool:
    return len(place.shape) == 4 and place.shape[2] * place.shape[3] > 1


def _reached(places: list[Place], score: torch.Tensor) -> dict[int, torch.Tensor]:
    """The gradient of the score at each place that it depends on."""
    inside = [place for place in places if place.tensor.requires_grad]
    if not inside or not score.requires_grad:
        return {}
    gradients = torch.autograd.grad(score, [place.tensor for place in inside], allow_unused=True)
    return {id(place): gradient for place, gradient in zip(inside, gradients, strict=True) if gradient is not None and bool(gradient.any())}


def _touches(gradient: torch.Tensor | None, count: int) -> bool:
    """Whether the score depends on the tokens that lie in places, and not on the class token alone."""
    return gradient is not None and bool(gradient[:, -count:].any())


class AttentionWatch(TorchFunctionMode):
    """While it is open, every self-attention leaves its weights in `found`, (L, L), the mean of its heads, of the first picture."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[torch.Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = dict(kwargs or {}), getattr(func, "__name__", "")
        if name == "multi_head_attention_forward":  # asked for its weights, whatever its caller wants
            wanted = kwargs.get("need_weights", True)
            output, weights = func(*args, **(kwargs | {"need_weights": True, "average_attn_weights": True}))
            self._keep(weights[None])
            return output, weights if wanted else None
        if name == "scaled_dot_product_attention":
            self._keep(_weights(*args, **kwargs))
        result = func(*args, **kwargs)
        if name == "softmax" and isinstance(result, torch.Tensor):
            self._keep(result)
        return result

    def _keep(self, weights: torch.Tensor) -> None:
        """(B, heads, L, L), if it is that."""
        if weights.ndim == 4 and weights.shape[2] == weights.shape[3] > 1:
            self.found.append(weights.detach()[0].float().mean(dim=0).cpu())


def _weights(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """What torch's scaled_dot_product_attention weighs the values with (its signature), (B, heads, L, S)."""
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(dim=-1)
