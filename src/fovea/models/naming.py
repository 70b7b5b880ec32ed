"""Weights under other libraries' names, brought under a backbone's own: Keras's by kind and order, torchvision's by its numbers.

Nothing is guessed: a file is read so only where the network says that the library has it (`Backbone.origins`), its layers must be as many and
of the same kinds and shapes, and the order in which Keras saves layers that stand side by side is written down with the network.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fovea.errors import WeightsError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, create_backbone
from fovea.models.keras_files import Part, as_torch
from fovea.models.origins import Origin
from fovea.models.tensor_files import TensorFile
from fovea.registry import Entry

_COUNTER = "num_batches_tracked"


@dataclass(frozen=True)
class Mismatch:
    """Where a file and a network differ first."""

    got: str
    expected: str


@dataclass(frozen=True)
class Fit:
    """A backbone that a file is of, the options that it needs, and the library that named the tensors; None where that is not told."""

    name: str
    options: Mapping[str, Any]
    origin: Origin | None


@dataclass(frozen=True)
class _Layer:
    """A convolution, a dense layer or a batch norm: ours where the tensors are the network's own, else the file's."""

    name: str
    kind: str
    parts: Mapping[str, Part]


def in_our_names(path: Path, file: TensorFile, backbone: Backbone) -> TensorFile:
    """The file under the names of this backbone; as it is where these are its names, or no library's.

    Raises:
        WeightsError: A file of Keras that does not fit, or one whose network has to be made with other options.
    """
    found = translate(file, backbone)
    if isinstance(found, Mismatch):
        raise of_another(path, file, backbone, got=found.got, expected=found.expected)
    if found.origin and lacking(backbone, found.origin):
        raise _made_otherwise(path, backbone, found.origin.called, found.origin.options)
    return found


def of_another(path: Path, file: TensorFile, backbone: Backbone, *, got: str, expected: str) -> WeightsError:
    """The error for a file that does not fit: it names the backbone, or the options, that would."""
    fit = what_fits(file)
    if fit and fit.name == backbone.made_as and fit.options:
        return _made_otherwise(path, backbone, fit.origin.called if fit.origin else "another library", fit.options)
    return WeightsError(
        f"the weights are of another architecture: {str(path)!r}",
        got=got,
        expected=expected,
        fix=f"choose --backbone {fit.name}" if fit else "choose the backbone, and the options, that these weights are of",
    )


def _made_otherwise(path: Path, backbone: Backbone, library: str, options: Mapping[str, Any]) -> WeightsError:
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
    with torch.device("meta"):  # shapes without memory
        plain = create_backbone(entry.name)
    for origin in (None, *plain.origins):
        options = dict(origin.options) if origin else {}
        if options:
            with torch.device("meta"):
                module = create_backbone(entry.name, **options)
        elif origin is None:
            module = plain
        else:
            continue
        found = translate(file, module)
        if isinstance(found, Mismatch) or (found.origin and lacking(module, found.origin)):
            continue
        prefix = module.classifier_name + "."
        own, held = (
            {name: tuple(shape) for name, shape in shapes.items() if not name.startswith(prefix) and not name.endswith(_COUNTER)}
            for shapes in ({name: tensor.shape for name, tensor in module.state_dict().items()}, found.shapes)
        )
        if own == held:
            return Fit(entry.name, options, found.origin or origin)
    return None


def translate(file: TensorFile, backbone: Backbone) -> TensorFile | Mismatch:
    """The file under this backbone's names, with the library that was recognised as `origin`; unchanged where none was."""
    origins = {origin.library: origin for origin in backbone.origins}
    if file.keras is not None:
        if "keras" not in origins:
            return Mismatch("layers named and saved by Keras", "a network that Keras Applications has, which this is not")
        return _from_keras(file, backbone, origins["keras"])
    if "torchvision" not in origins:
        return file
    named = _renamed(file, origins["torchvision"], set(backbone.state_dict()))
    body = {name for name in backbone.state_dict() if not name.startswith(backbone.classifier_name + ".") and not name.endswith(_COUNTER)}
    if body <= set(named.shapes) or (layers := _numbered(named)) is None:
        return named
    return _from_numbers(named, backbone, layers, origins["torchvision"])


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


def _own_layers(backbone: Backbone, *, keras: bool) -> list[_Layer] | None:
    """The layers before the classifier in the order of the flow, or as Keras saves them; None where other tensors are among them."""

    def walk(name: str, module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            yield name, module
            return
        children = (keras and getattr(module, "keras_order", None)) or [child for child, _ in module.named_children()]
        for child in children:
            with contextlib.suppress(AttributeError):  # a shortcut without layers; that none is missed is seen below
                yield from walk(f"{name}.{child}".removeprefix("."), module.get_submodule(child))

    layers = []
    for name, module in walk("", backbone):
        if name != backbone.classifier_name:
            own = {key: tensor for key, tensor in module.state_dict().items() if key != _COUNTER}
            parts = {
                key: Part(f"{name}.{key}", tuple(tensor.shape), True, partial(torch.Tensor.clone, tensor)) for key, tensor in own.items()
            }
            alone = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
            layers.append(_Layer(name, "norms" if isinstance(module, nn.BatchNorm2d) else "depthwise" if alone else "weights", parts))
    covered = [part.source for layer in layers for part in layer.parts.values()]
    prefix = backbone.classifier_name + "."
    wanted = [name for name in backbone.state_dict() if not name.startswith(prefix) and not name.endswith(_COUNTER)]
    return layers if sorted(covered) == sorted(wanted) else None


def _from_keras(file: TensorFile, backbone: Backbone, origin: Origin) -> TensorFile | Mismatch:
    found, left, notes = (
        list[_Layer](),
        list(file.left_out),
        ["its layers are named as in Keras: they were matched by kind, order and shape"],
    )
    for layer in file.keras or ():
        if layer.kind == "normalization":
            left += [part.source for part in layer.variables]
            notes.append("the model's own normalisation of pixels stands before a backbone, and was left out")
        elif (torch_layers := as_torch(layer, gamma=origin.gamma)) is None:
            return Mismatch(f"{layer.name} with {len(layer.variables)} variables", "convolutions, dense layers and whole batch norms")
        else:
            found += [_Layer(layer.name, kind, parts) for kind, parts in torch_layers]
    own = _own_layers(backbone, keras=True)
    if own and any(layer.kind == "pointwise" for layer in found):  # a convolution of 1x1 right behind a depthwise one is its other half
        pairs = zip([None, *own], own, strict=False)
        own = [
            replace(layer, kind="pointwise") if before and before.kind == "depthwise" and _is_1x1(layer) else layer
            for before, layer in pairs
        ]
    order = {"depthwise": 0, "pointwise": 1, "norms": 2, "weights": 3}  # the dense layers last, as their class comes after conv2d
    own, found = (sorted(layers, key=lambda layer: order[layer.kind]) for layers in (own or [], found))
    if file.left_out:
        notes.append(f"{len(file.left_out)} numbers of the optimizer and of chance were left out")
    return _matched(file, backbone, own, found, origin, notes=notes, left=left)


def _is_1x1(layer: _Layer) -> bool:
    return layer.kind == "weights" and layer.parts["weight"].shape[2:] == (1, 1)


def _from_numbers(file: TensorFile, backbone: Backbone, found: list[_Layer], origin: Origin) -> TensorFile | Mismatch:
    own = [replace(layer, kind="norms" if layer.kind == "norms" else "weights") for layer in _own_layers(backbone, keras=False) or []]
    return _matched(file, backbone, own, found, origin, notes=["its layers are numbered as in torchvision"], left=list(file.left_out))


_CONTAINERS = {"conv", "block"}  # what torchvision calls a Sequential within a block
_SQUEEZE = {"fc1": 1, "fc2": 2}  # and the two convolutions of squeeze-and-excitation


def _numbered(file: TensorFile) -> list[_Layer] | None:
    """The layers in the order of their numbers, `features.3.conv.1.0`; None where other words than torchvision's are in a name."""
    modules: dict[tuple[str, ...], dict[str, Part]] = {}
    children: dict[tuple[str, ...], set[str]] = {}
    for name, shape in file.shapes.items():
        *path, key = name.split(".")
        modules.setdefault(tuple(path), {})[key] = Part(name, shape, name in file.floating, partial(file.read, name))
        for depth, word in enumerate(path):
            children.setdefault(tuple(path[:depth]), set()).add(word)
    if not children.pop((), set()) <= {"features", "classifier"}:
        return None
    if not all(
        all(word.isdigit() for word in words) or words <= set(_SQUEEZE) or (len(words) == 1 and words <= _CONTAINERS)
        for words in children.values()
    ):
        return None

    def place(path: tuple[str, ...]) -> tuple[int, ...]:
        return (path[0] == "classifier", *(int(word) if word.isdigit() else _SQUEEZE.get(word, 0) for word in path[1:]))

    return [
        _Layer(".".join(path), "norms" if "running_mean" in modules[path] else "weights", modules[path])
        for path in sorted(modules, key=place)
    ]


def _matched(
    file: TensorFile, backbone: Backbone, own: list[_Layer], found: list[_Layer], origin: Origin, *, notes: list[str], left: list[str]
) -> TensorFile | Mismatch:
    """Both lists layer by layer; the file may have a classifier more, at its end."""
    parts: dict[str, Part] = {}
    keras = origin.library == "keras"
    for ours, theirs in zip(own, found, strict=False):
        if ours.kind != theirs.kind or set(ours.parts) != set(theirs.parts) - {_COUNTER}:
            return Mismatch(_told(theirs), _told(ours))
        for key, part in theirs.parts.items():
            shape = ours.parts[key].shape if key in ours.parts else part.shape
            if (laid := _laid_out(part, shape, channels_last=keras)) is None:
                return Mismatch(f"{part.source} {part.shape}, in torch's order", f"{ours.name}.{key} {shape}")
            parts[f"{ours.name}.{key}"] = laid
    classifier = found[len(own) :]
    if len(found) < len(own):
        return Mismatch(f"{len(found)} layers with weights", f"{len(own)} of them: the file has none for {own[len(found)].name}")
    if len(classifier) > 1 or (classifier and not _ends(classifier[0], backbone)):
        return Mismatch(f"{len(found)} layers with weights, the last {_told(classifier[-1])}", f"{len(own)} of them, and a classifier")
    for layer in classifier:
        final = backbone.get_submodule(backbone.classifier_name)
        inner = tuple(final.weight.shape[1:]) if isinstance(final, nn.Linear | nn.Conv2d) else (backbone.num_features,)
        for key, part in layer.parts.items():
            shape = (part.shape[0], *inner) if key == "weight" else part.shape
            if laid := _laid_out(part, shape, channels_last=keras):
                parts[f"{backbone.classifier_name}.{key}"] = laid
    return replace(
        file,
        shapes={name: part.shape for name, part in parts.items()},
        floating=frozenset(name for name, part in parts.items() if part.floating),
        read=lambda name: parts[name].read(),
        notes=(*file.notes, *notes),
        left_out=tuple(left),
        origin=origin,
    )


def _ends(layer: _Layer, backbone: Backbone) -> bool:
    """Whether this may be the classifier: a dense layer, or a 1x1 convolution, of as many inputs as the embedding has numbers."""
    shape = layer.parts["weight"].shape
    return (
        layer.kind == "weights"
        and set(layer.parts) == {"weight", "bias"}
        and shape[1:] in ((backbone.num_features,), (backbone.num_features, 1, 1))
    )


def _told(layer: _Layer) -> str:
    return f"{layer.name} ({', '.join(f'{key} {part.shape}' for key, part in layer.parts.items() if key != _COUNTER)})"


def _laid_out(part: Part, shape: tuple[int, ...], *, channels_last: bool) -> Part | None:
    """A tensor in our shape: itself, or a dense layer as the convolution that it is, and the reverse; None where it is neither."""
    theirs = part.shape
    if theirs == shape:
        return part
    if prod(theirs) != prod(shape) or theirs[0] != shape[0] or {len(theirs), len(shape)} != {2, 4}:
        return None
    if len(theirs) == 4 and theirs[2:] != (1, 1):
        return None

    def read() -> torch.Tensor:
        values = part.read()
        if len(shape) == 4 and channels_last:  # Keras flattens a map place by place, torch channel by channel
            outs, ins, height, width = shape
            return values.reshape(outs, height, width, ins).permute(0, 3, 1, 2)
        return values.reshape(shape)

    return Part(part.source, shape, part.floating, read)
