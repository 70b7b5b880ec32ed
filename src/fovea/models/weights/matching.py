"""Layers of a file and of a network, matched one by one: as many, of the same kinds and shapes, in an order that is known."""

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from math import prod

import torch
from torch import nn

from fovea.models.backbone import Backbone
from fovea.models.origins import Origin
from fovea.models.weights.keras_files import Part, as_torch
from fovea.models.weights.tensor_files import TensorFile

COUNTER = "num_batches_tracked"  # of batch norm: old files lack it, and Keras has none


@dataclass(frozen=True)
class Mismatch:
    """Where a file and a network differ first."""

    got: str
    expected: str


@dataclass(frozen=True)
class Layer:
    """A convolution, a dense layer or a batch norm: ours where the tensors are the network's own, else the file's."""

    name: str
    kind: str
    parts: Mapping[str, Part]


def own_layers(backbone: Backbone, *, keras: bool) -> list[Layer] | None:
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
            own = {key: tensor for key, tensor in module.state_dict().items() if key != COUNTER}
            parts = {
                key: Part(f"{name}.{key}", tuple(tensor.shape), True, partial(torch.Tensor.clone, tensor)) for key, tensor in own.items()
            }
            alone = isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
            layers.append(Layer(name, "norms" if isinstance(module, nn.BatchNorm2d) else "depthwise" if alone else "weights", parts))
    covered = [part.source for layer in layers for part in layer.parts.values()]
    prefix = backbone.classifier_name + "."
    wanted = [name for name in backbone.state_dict() if not name.startswith(prefix) and not name.endswith(COUNTER)]
    return layers if sorted(covered) == sorted(wanted) else None


def from_keras(file: TensorFile, backbone: Backbone, origin: Origin) -> TensorFile | Mismatch:
    found, left, notes = (
        list[Layer](),
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
            found += [Layer(layer.name, kind, parts) for kind, parts in torch_layers]
    own = own_layers(backbone, keras=True)
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


def _is_1x1(layer: Layer) -> bool:
    return layer.kind == "weights" and layer.parts["weight"].shape[2:] == (1, 1)


def from_numbers(file: TensorFile, backbone: Backbone, found: list[Layer], origin: Origin) -> TensorFile | Mismatch:
    own = [replace(layer, kind="norms" if layer.kind == "norms" else "weights") for layer in own_layers(backbone, keras=False) or []]
    return _matched(file, backbone, own, found, origin, notes=["its layers are numbered as in torchvision"], left=list(file.left_out))


_CONTAINERS = {"conv", "block"}  # what torchvision calls a Sequential within a block
_SQUEEZE = {"fc1": 1, "fc2": 2}  # and the two convolutions of squeeze-and-excitation


def numbered(file: TensorFile) -> list[Layer] | None:
    """The layers in the order of their numbers, `features.3.conv.1.0`; None where other words than torchvision's are in a name."""
    modules: dict[tuple[str, ...], dict[str, Part]] = {}
    children: dict[tuple[str, ...], set[str]] = {}
    for name, shape in file.shapes.items():
        *path, key = name.split(".")
        modules.setdefault(tuple(path), {})[key] = Part(name, shape, name in file.floating, partial(file.read, name))
        for depth, word in enumerate(path):
            children.setdefault(tuple(path[:depth]), set()).add(word)
    if () in modules or not children.pop((), set()) <= {"features", "classifier"}:
        return None
    if not all(
        all(word.isdecimal() and str(int(word)) == word for word in words)
        or words <= set(_SQUEEZE)
        or (len(words) == 1 and words <= _CONTAINERS)
        for words in children.values()
    ):
        return None

    def place(path: tuple[str, ...]) -> tuple[int, ...]:
        return (path[0] == "classifier", *(int(word) if word.isdigit() else _SQUEEZE.get(word, 0) for word in path[1:]))

    return [
        Layer(".".join(path), "norms" if "running_mean" in modules[path] else "weights", modules[path])
        for path in sorted(modules, key=place)
    ]


def _matched(
    file: TensorFile, backbone: Backbone, own: list[Layer], found: list[Layer], origin: Origin, *, notes: list[str], left: list[str]
) -> TensorFile | Mismatch:
    """Both lists layer by layer; the file may have a classifier more, at its end."""
    parts: dict[str, Part] = {}
    keras = origin.library == "keras"
    for ours, theirs in zip(own, found, strict=False):
        if ours.kind != theirs.kind or set(ours.parts) != set(theirs.parts) - {COUNTER}:
            return Mismatch(_told(theirs), _told(ours))
        for key, part in theirs.parts.items():
            shape = ours.parts[key].shape if key in ours.parts else part.shape
            if (laid := laid_out(part, shape, channels_last=keras)) is None:
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
            if laid := laid_out(part, shape, channels_last=keras):
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


def _ends(layer: Layer, backbone: Backbone) -> bool:
    """Whether this may be the classifier: a dense layer, or a 1x1 convolution, of as many inputs as the embedding has numbers."""
    shape = layer.parts["weight"].shape
    return (
        layer.kind == "weights"
        and set(layer.parts) == {"weight", "bias"}
        and shape[1:] in ((backbone.num_features,), (backbone.num_features, 1, 1))
    )


def _told(layer: Layer) -> str:
    return f"{layer.name} ({', '.join(f'{key} {part.shape}' for key, part in layer.parts.items() if key != COUNTER)})"


def laid_out(part: Part, shape: tuple[int, ...], *, channels_last: bool) -> Part | None:
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
