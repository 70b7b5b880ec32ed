"""Weights under other libraries' names, brought under a backbone's own: Keras's by kind and order, torchvision's by its numbers.

Nothing is guessed: a file is read so only where the network says that the library has it (`Backbone.origins`), its layers must be as many and
of the same kinds and shapes, and the order in which Keras saves layers that stand side by side is written down with the network.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from fovea.errors import WeightsError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, create_backbone
from fovea.models.origins import Origin
from fovea.models.weights.matching import COUNTER, Mismatch, from_keras, from_numbers, numbered
from fovea.models.weights.tensor_files import TensorFile
from fovea.registry import Entry


@dataclass(frozen=True)
class Fit:
    """A backbone that a file is of, the options that it needs, and the library that named the tensors; None where that is not told."""

    name: str
    options: Mapping[str, Any]
    origin: Origin | None


def in_our_names(path: Path, file: TensorFile, backbone: Backbone) -> TensorFile:
    """The file under the names of this backbone; as it is where these are its names, or no library's.

    Raises:
        WeightsError: A file of Keras that does not fit, or one whose network has to be made with other options.
    """
    found = translate(file, backbone)
    if isinstance(found, Mismatch):
        raise of_another(path, file, backbone, got=found.got, expected=found.expected)
    if found.origin and lacking(backbone, found.origin):
        raise made_otherwise(path, backbone, found.origin.called, found.origin.options)
    return found


def of_another(path: Path, file: TensorFile, backbone: Backbone, *, got: str, expected: str) -> WeightsError:
    """The error for a file that does not fit: it names the backbone, or the options, that would."""
    fit = what_fits(file)
    if fit and fit.name == backbone.made_as and fit.options:
        return made_otherwise(path, backbone, fit.origin.called if fit.origin else "another library", fit.options)
    return WeightsError(
        f"the weights are of another architecture: {str(path)!r}",
        got=got,
        expected=expected,
        fix=f"choose --backbone {fit.name}" if fit else "choose the backbone, and the options, that these weights are of",
    )


def made_otherwise(path: Path, backbone: Backbone, library: str, options: Mapping[str, Any]) -> WeightsError:
    """The error for weights of a network of the same shapes and other options."""

    def told(values: Mapping[str, Any]) -> str:
        return ", ".join(f"{name}={value!r}" for name, value in values.items())

    return WeightsError(
        f"the weights are of {library}'s network, and this one was made otherwise: {str(path)!r}",
        got=told({name: backbone.made_with[name] for name in options if name in backbone.made_with}) or "a network of unknown options",
        expected=told(options),
        fix=f"create_backbone({backbone.made_as or 'NAME'!r}, {told(options)}, ...), or the options of resolve_weights(...).passport",
    )


def lacking(backbone: Backbone, origin: Origin) -> bool:
    """Whether a backbone was made without an option that the library's weights need."""
    return any(name not in backbone.made_with or backbone.made_with[name] != value for name, value in origin.options.items())


def what_fits(file: TensorFile) -> Fit | None:
    """The one registered backbone that has just these tensors, at its default options or at those of a library; classifier aside."""
    fits = [fit for entry in BACKBONES if (fit := fit_of(entry, file))]
    return fits[0] if len(fits) == 1 else None


def fit_of(entry: Entry[BackboneInfo], file: TensorFile) -> Fit | None:
    """How this backbone has to be made for a file of it; None where the file is of another."""
    plain = sketch(entry.name)
    for origin in (None, *plain.origins):
        options = dict(origin.options) if origin else {}
        if origin and not options:
            continue
        module = sketch(entry.name, **options) if options else plain
        found = translate(file, module)
        if isinstance(found, Mismatch) or (found.origin and lacking(module, found.origin)):
            continue
        prefix = module.classifier_name + "."
        own, held = (
            {name: tuple(shape) for name, shape in shapes.items() if not name.startswith(prefix) and not name.endswith(COUNTER)}
            for shapes in ({name: tensor.shape for name, tensor in module.state_dict().items()}, found.shapes)
        )
        if own == held:
            return Fit(entry.name, options, found.origin or origin)
    return None


class _Unfilled(TorchFunctionMode):
    """No first weights are drawn: of a network without memory that would be most of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init" or getattr(func, "__name__", "") in ("normal_", "uniform_"):
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def sketch(name: str, **options: Any) -> Backbone:
    """A backbone of shapes alone, without memory, and without a classifier: to look at, not to change."""
    return _sketched(BACKBONES[name].build, name, tuple(options.items()))


@lru_cache(maxsize=128)  # to make all of them takes seconds, and a file that does not fit is held against each
def _sketched(_build: object, name: str, options: tuple[tuple[str, Any], ...]) -> Backbone:
    with torch.device("meta"), _Unfilled():
        return create_backbone(name, **dict(options))


def translate(file: TensorFile, backbone: Backbone) -> TensorFile | Mismatch:
    """The file under this backbone's names, with the library that was recognised as `origin`; unchanged where none was."""
    origins = {origin.library: origin for origin in backbone.origins}
    if file.keras is not None:
        if "keras" not in origins:
            return Mismatch("layers named and saved by Keras", "a network that Keras Applications has, which this is not")
        return from_keras(file, backbone, origins["keras"])
    if "torchvision" not in origins:
        return file
    named = _renamed(file, origins["torchvision"], set(backbone.state_dict()))
    body = {name for name in backbone.state_dict() if not name.startswith(backbone.classifier_name + ".") and not name.endswith(COUNTER)}
    if body <= set(named.shapes) or (layers := numbered(named)) is None:
        return named
    return from_numbers(named, backbone, layers, origins["torchvision"])


def _renamed(file: TensorFile, origin: Origin, own: set[str]) -> TensorFile:
    """Leaves torchvision's second classifiers out where the network has none, and gives layers that it calls otherwise our names."""
    left = tuple(name for name in file.shapes if origin.auxiliary and name.startswith(origin.auxiliary) and name not in own)
    names = {}
    for theirs in file.shapes:
        ours = theirs
        for pattern, replacement in origin.renames:
            ours = re.sub(pattern, replacement, ours)
        if theirs not in left and ours not in names:
            names[ours] = theirs
    if not left and all(ours == theirs for ours, theirs in names.items()):
        return file
    if len(names) + len(left) != len(file.shapes):  # two names became one
        return file
    notes = ["its layers are named as in torchvision" if not left else "torchvision's second classifiers were left out"]
    return replace(
        file,
        shapes={ours: file.shapes[theirs] for ours, theirs in names.items()},
        floating=frozenset(ours for ours, theirs in names.items() if theirs in file.floating),
        read=lambda name: file.read(names[name]),
        notes=(*file.notes, *notes),
        left_out=(*file.left_out, *left),
        origin=origin,
    )
