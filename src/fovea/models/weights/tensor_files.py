"""Files of named tensors: safetensors, read through a memory map, torch's own, read without unpickling anything, and Keras's."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from fovea.errors import WeightsError
from fovea.models.origins import Origin
from fovea.models.weights.keras_files import KERAS_SUFFIX, KerasLayer, open_keras

TORCH_SUFFIXES = (".pth", ".pt", ".bin")
_KINDS = "a .safetensors file, a state dict of tensors saved by torch (" + ", ".join(TORCH_SUFFIXES) + "), or Keras's .weights.h5"
_WRAPPERS = ("state_dict", "model", "model_state_dict")  # under which training scripts keep the weights in a checkpoint
_FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class TensorFile:
    """An open file of tensors.

    Args:
        metadata: Free text that the file carries.
        shapes: Of each tensor, by name.
        floating: Names of those that hold floating-point numbers.
        read: Gives one tensor by name.
        notes: What was done to make sense of it, in words.
        left_out: Names of what is no part of a network.
        keras: The layers of a file that Keras wrote; their tensors lie as Keras lays them out, until `naming` knows the network.
        origin: The library whose names were recognised, once they are ours.
    """

    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    floating: frozenset[str]
    read: Callable[[str], torch.Tensor]
    notes: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    keras: tuple[KerasLayer, ...] | None = None
    origin: Origin | None = None


@contextmanager
def open_tensors(path: str | Path) -> Iterator[TensorFile]:
    """Opens a file of tensors, whichever kind it is of. Reading it runs no code that the file holds.

    Raises:
        WeightsError: It is missing, a folder, empty, broken, cut short, of another kind, or would need unpickling.
    """
    path = Path(path)
    start = _start_of(path)
    if path.suffix == ".safetensors":
        try:
            file: Any = safe_open(path, framework="pt")  # its methods are written in Rust, without types
        except (SafetensorError, OSError) as error:
            raise _broken(path, start, str(error)) from error
        with file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            yield TensorFile(
                metadata=dict(file.metadata() or {}),
                shapes={name: tuple(part.get_shape()) for name, part in slices.items()},
                floating=frozenset(name for name, part in slices.items() if part.get_dtype() in _FLOATS),
                read=file.get_tensor,
            )
    elif path.suffix in TORCH_SUFFIXES:
        tensors, notes = _read_torch(path, start)
        yield TensorFile(
            metadata={},
            shapes={name: tuple(tensor.shape) for name, tensor in tensors.items()},
            floating=frozenset(name for name, tensor in tensors.items() if tensor.is_floating_point()),
            read=tensors.__getitem__,
            notes=notes,
        )
    elif path.suffix == KERAS_SUFFIX:
        with open_keras(path) as (layers, others):
            parts = {part.source: part for layer in layers for part in layer.variables}
            yield TensorFile(
                metadata={},
                shapes={name: part.shape for name, part in parts.items()},
                floating=frozenset(name for name, part in parts.items() if part.floating),
                read=lambda name: parts[name].read(),
                left_out=tuple(part.source for part in others),
                keras=tuple(layers),
            )
    else:
        raise WeightsError(
            f"{str(path)!r} is no weights file that can be read",
            got=f"a file ending in {path.suffix!r}",
            expected=_KINDS,
            fix="convert it to safetensors",
        )


def _start_of(path: Path) -> bytes:
    """The first bytes of a file that is there, is a file, may be read, and is not empty."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except FileNotFoundError as error:
        raise WeightsError(
            f"no weights file {str(path)!r}",
            got="no such file",
            expected=_KINDS,
            fix="check the path; `auto` looks for weights, `none` does without",
        ) from error
    except IsADirectoryError as error:
        raise WeightsError(
            f"{str(path)!r} is a folder, not a weights file", got="a folder", expected=_KINDS, fix="name the file in it"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"the weights file {str(path)!r} cannot be read",
            got=error.strerror or str(error),
            expected=_KINDS,
            fix="change its permissions, or copy it",
        ) from error
    if not start:
        raise WeightsError(f"the weights file {str(path)!r} is empty", got="0 bytes", expected=_KINDS, fix="fetch or save it again")
    return start


def _broken(path: Path, start: bytes, reason: str) -> WeightsError:
    """Says what a file that is no safetensors file probably is."""
    fix = "fetch or save it again"
    if start.startswith(b"version https://git-lfs"):
        got, fix = "the pointer that git keeps in place of a large file", "fetch the file itself: `git lfs pull`"
    elif start.startswith((b"\x80", b"PK")):
        got, fix = "a file that torch.save wrote (a pickle)", f"name it {path.stem}.pth, or ask its author for safetensors"
    elif start.lstrip()[:1] == b"<":
        got, fix = "a web page", "the download gave an error page: fetch it again"
    else:
        got = reason.splitlines()[0]
    return WeightsError(f"the weights file {str(path)!r} is broken or cut short", got=got, expected="a whole safetensors file", fix=fix)


def _read_torch(path: Path, start: bytes) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    """The tensors of a file that torch.save wrote, and what was unwrapped."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if start.startswith((b"\x80", b"PK")):
            raise WeightsError(
                f"the weights file {str(path)!r} holds more than tensors, and was not opened",
                got="a pickle, which can run any code when it is opened",
                expected=_KINDS,
                fix="open it where you trust it, and save its state_dict() as safetensors",
            ) from error
        raise WeightsError(
            f"{str(path)!r} is no file that torch.save wrote", got=repr(start[:8]), expected=_KINDS, fix="fetch or save it again"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise WeightsError(
            f"the weights file {str(path)!r} is broken or cut short", got=reason, expected=_KINDS, fix="fetch or save it again"
        ) from error
    notes = []
    for wrapper in _WRAPPERS:
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            notes.append(f"the weights were taken from {wrapper!r} in the checkpoint")
    if (
        not isinstance(content, dict)
        or not content
        or not all(isinstance(n, str) and isinstance(t, torch.Tensor) for n, t in content.items())
    ):
        got = (
            f"{type(content).__name__} of " + ", ".join(map(str, list(content)[:5]))
            if isinstance(content, dict)
            else type(content).__name__
        )
        raise WeightsError(
            f"the weights file {str(path)!r} holds no state dict", got=got, expected=_KINDS, fix="save the module's state_dict()"
        )
    odd = next(
        (f"{n} {t.dtype} {t.layout}" for n, t in content.items() if t.layout != torch.strided or t.is_complex() or t.is_quantized), ""
    )
    if odd:
        raise WeightsError(
            f"the weights file {str(path)!r} holds tensors of a kind that no network here has",
            got=odd,
            expected="plain (dense, real) tensors",
            fix="save them as such: tensor.to_dense(), tensor.dequantize()",
        )
    if all(name.startswith("module.") for name in content):
        content = {name.removeprefix("module."): tensor for name, tensor in content.items()}
        notes.append("the prefix 'module.' of DataParallel was taken off the names")
    return content, tuple(notes)
