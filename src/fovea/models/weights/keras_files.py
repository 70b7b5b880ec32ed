"""Weights that Keras 3 wrote (`model.save_weights("x.weights.h5")`): their layers, laid out as torch lays them out.

The file names a layer by its class and a number, `layers/conv2d_12/vars/0`, and lists the names alphabetically (_1, _10, _2): the number
counts the layers of a class in the order of `model.layers`.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from fovea.errors import WeightsError, missing_extra

KERAS_SUFFIX = ".h5"
_EXPECTED = "a file that Keras 3 wrote with model.save_weights('NAME.weights.h5')"
_NAME = re.compile(r"(?P<kind>.+?)(?:_(?P<number>[1-9]\d*))?")


@dataclass(frozen=True)
class Part:
    """One tensor of a layer, in torch's layout. `source` is its name in the file."""

    source: str
    shape: tuple[int, ...]
    floating: bool
    read: Callable[[], torch.Tensor]


@dataclass(frozen=True)
class KerasLayer:
    """A layer as it is saved: its class in snake case, its name in the file, and its variables as Keras lays them out."""

    kind: str
    name: str
    variables: tuple[Part, ...]


@contextmanager
def open_keras(path: Path) -> Iterator[tuple[list[KerasLayer], list[Part]]]:
    """The layers that have variables, those of each class in order, and the variables that are no layer's (of the optimizer).

    Raises:
        MissingExtra: h5py is not installed.
        WeightsError: The file is broken, or not of this kind.
    """
    try:
        import h5py
    except ImportError as error:
        raise missing_extra("h5py", "keras", "reading weights that Keras wrote") from error
    try:
        file: Any = h5py.File(path, "r")
    except OSError as error:
        raise WeightsError(
            f"the weights file {str(path)!r} is broken or cut short",
            got=str(error).splitlines()[0],
            expected=_EXPECTED,
            fix="fetch or save it again",
        ) from error
    with file:
        found: dict[str, Part] = {}

        def note(name: str, item: object) -> None:
            if isinstance(item, h5py.Dataset):
                found[name] = Part(name, tuple(item.shape), item.dtype.kind == "f", partial(_read, item, path))

        try:
            file.visititems(note)
        except (OSError, RuntimeError, KeyError) as error:
            raise _unlike(path, str(error).splitlines()[0]) from error
        yield _layers(path, found)


def _read(dataset: Any, path: Path) -> torch.Tensor:
    try:
        return torch.from_numpy(dataset[()].reshape(dataset.shape))
    except OSError as error:
        raise WeightsError(
            f"the weights file {str(path)!r} is broken or cut short",
            got=str(error).splitlines()[0],
            expected=_EXPECTED,
            fix="fetch it again",
        ) from error


def _layers(path: Path, found: dict[str, Part]) -> tuple[list[KerasLayer], list[Part]]:
    """Sorts variables into layers by their names."""
    layers: dict[tuple[str, int], dict[int, Part]] = {}
    others = []
    for name, part in found.items():
        match name.split("/"):
            case ["layers", layer, "vars", index] if index.isdecimal() and str(int(index)) == index and (named := _NAME.fullmatch(layer)):
                layers.setdefault((named["kind"], int(named["number"] or 0)), {})[int(index)] = part
            case ["optimizer", *_] | ["layers", _, "seed_generator", *_]:
                others.append(part)
            case _:
                raise _unlike(path, f"a variable named {name!r}")
    if not layers:
        raise _unlike(path, "no variables of layers")
    numbers: dict[str, list[int]] = {}
    for (kind, number), variables in sorted(layers.items()):
        numbers.setdefault(kind, []).append(number)
        if sorted(variables) != list(range(len(variables))):
            raise _unlike(path, f"only the variables {sorted(variables)} of {kind} {number}")
    if gaps := [kind for kind, found_ in numbers.items() if found_ != list(range(len(found_)))]:
        raise _unlike(path, f"some layers of the class {gaps[0]}, and not all")
    ordered = [
        KerasLayer(kind, kind if number == 0 else f"{kind}_{number}", tuple(variables[index] for index in sorted(variables)))
        for (kind, number), variables in sorted(layers.items())
    ]
    return ordered, others


def _unlike(path: Path, got: str) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} is no weights file that can be read",
        got=got,
        expected=_EXPECTED + ", of a model whose layers stand side by side in it (no model within a model)",
        fix="load it in Keras 3, and save the network itself with save_weights",
    )


_Turn = Callable[[torch.Tensor], torch.Tensor]


def _convolution(kernel: torch.Tensor) -> torch.Tensor:  # (h, w, I, O) -> (O, I, h, w)
    return kernel.permute(3, 2, 0, 1)


def _depthwise(kernel: torch.Tensor) -> torch.Tensor:  # (h, w, C, M) -> (C * M, 1, h, w)
    return kernel.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1)


def _dense(kernel: torch.Tensor) -> torch.Tensor:  # (I, O) -> (O, I)
    return kernel.T


def _as_it_is(values: torch.Tensor) -> torch.Tensor:
    return values


_BATCH_NORM = ("weight", "bias", "running_mean", "running_var")
# How many axes the kernel has, how it is turned, and which of our kinds it becomes
_KERNELS: dict[str, tuple[int, tuple[tuple[str, _Turn], ...]]] = {
    "conv2d": (4, (("weights", _convolution),)),
    "depthwise_conv2d": (4, (("depthwise", _depthwise),)),
    "separable_conv2d": (4, (("depthwise", _depthwise), ("pointwise", _convolution))),
    "dense": (2, (("weights", _dense),)),
}


def as_torch(layer: KerasLayer, *, gamma: bool) -> list[tuple[str, dict[str, Part]]] | None:
    """The layers of torch that a layer of Keras stands for: kind ("weights", "depthwise", "pointwise", "norms"), and tensors by name.

    Args:
        layer: As it was read.
        gamma: Whether a batch norm of three variables lacks beta, and not gamma: the file does not say.

    Returns:
        None where a layer of this class, or with so many variables, is not known.
    """
    parts = layer.variables
    if layer.kind == "batch_normalization" and len(parts) == 4:
        return [("norms", dict(zip(_BATCH_NORM, parts, strict=True)))]
    if layer.kind == "batch_normalization" and len(parts) == 3 and not gamma:
        ones = Part(f"{layer.name} (no gamma)", parts[0].shape, True, partial(torch.ones, parts[0].shape))
        return [("norms", dict(zip(_BATCH_NORM, (ones, *parts), strict=True)))]
    if layer.kind not in _KERNELS:
        return None
    axes, kernels = _KERNELS[layer.kind]
    if len(parts) not in (len(kernels), len(kernels) + 1) or any(len(part.shape) != axes for part in parts[: len(kernels)]):
        return None
    found = [(kind, {"weight": _turned(part, turn)}) for part, (kind, turn) in zip(parts, kernels, strict=False)]
    if len(parts) > len(kernels):
        found[-1][1]["bias"] = parts[-1]
    return found


def _turned(part: Part, turn: _Turn) -> Part:
    with torch.device("meta"):
        shape = tuple(turn(torch.empty(part.shape)).shape)
    return Part(part.source, shape, part.floating, lambda: turn(part.read()))
