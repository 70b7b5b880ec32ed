"""What every backbone is: pixels in, feature maps with declared channels and strides out, and a classifier that comes off."""

import difflib
import inspect
import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import nn

from fovea.errors import InputError
from fovea.models.origins import Origin
from fovea.models.passport import Passport, Triple
from fovea.registry import Entry, Registry
from fovea.types import FeatureMaps

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneInfo",
    "Passport",
    "Pooling",
    "check_pooling",
    "count_parameters",
    "create_backbone",
    "list_backbones",
    "normalisation",
    "pool_map",
    "probe_px",
    "read_backbone",
]


Pooling = Literal["avg", "max", "none"]  # over the places of the coarsest map; "none" leaves them


@dataclass(frozen=True)
class BackboneInfo:
    """The facts that a backbone states of itself, at its default options; the public exam checks them.

    Args:
        channels: Of each feature map, fine to coarse.
        strides: Of each feature map, in input pixels.
        num_parameters: Trainable, with 1,000 classes and without auxiliary heads.
        image_size_px: The side it is meant for.
        smallest_input_px: The smallest side that it accepts.
        source: The paper.
        licence: Of this code's design and of weights that it names, SPDX.
        mean, std: Per channel, of pixels scaled to 0..1: what is subtracted and divided by before the network, unless
            the weights' passport says otherwise (`normalisation`).
        passports: Weights that are known for it; the first that has a `repo` is the one that the hub gives.
        own_weights: For a model of another package: writes the weights that it comes with as a file that `load_weights`
            reads, and gives its path and what is to be known of it, in words.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    num_parameters: int
    image_size_px: int
    smallest_input_px: int
    source: str
    licence: str = "Apache-2.0"
    mean: Triple = (0.5, 0.5, 0.5)
    std: Triple = (0.5, 0.5, 0.5)
    passports: tuple[Passport, ...] = ()
    own_weights: Callable[[], tuple[Path, tuple[str, ...]]] | None = None


class Backbone(nn.Module, ABC):
    """What all backbones share. A subclass sets the facts below and a layer named `classifier_name`, and writes `forward_maps`.

    The input is float32 (B, 3, H, W), already normalised (`normalisation`). Map i has `channels[i]` channels, and one
    of its cells stands for `strides[i]` input pixels: a side grows by exactly one cell when the input grows by a stride.
    Its side is H / stride rounded up or, for a network of unpadded convolutions, (H - margins_px[i]) / stride rounded
    down.
    """

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    num_features: int
    classifier_name: str  # the state-dict prefix of the final dense layer, as in timm
    auxiliary_parts: tuple[str, ...] = ()  # more classifiers halfway, for training alone
    embedding_parts: tuple[str, ...] = ()  # layers that only the embedding needs, and no map: a VGG's dense layers
    pooling: Pooling | None = None  # None: the network's own, that its classifier learned with
    margins_px: tuple[int, ...] = ()  # one for each map where convolutions are unpadded; empty where all are padded
    # Smallest and largest side (None: no limit) that it accepts; what the registry states, unless options change it
    sizes_px: tuple[int, int | None] | None = None
    # State-dict prefixes of what only the finer maps pass, a norm of their own for example: the embedding does not depend on it.
    side_parts: tuple[str, ...] = ()
    in_windows: bool = False  # cells of one window see the same pixels (Swin): what they see moves by whole windows
    origins: tuple[Origin, ...] = ()  # other libraries' versions of it, whose weights it takes (`models/weights/naming.py`)
    made_as: str = ""  # its name in the registry, and the options that it was made with: `create_backbone` writes them
    made_with: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        """(B, 3, H, W) -> the feature maps, fine to coarse."""

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """The embedding of the coarsest map, (B, C, h, w) -> (B, D): the mean over places, unless a network does otherwise."""
        return coarsest.mean(dim=(2, 3))

    def own_embedding(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D), what the classifier reads."""
        return self.pool(self.forward_maps(x)[-1])

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D): the network's own embedding, or as `pooling` says ("none": (B, C, h, w))."""
        self.check_size(x)
        return self.own_embedding(x) if self.pooling is None else pool_map(self.forward_maps(x)[-1], self.pooling)

    def embed_auxiliary(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The embedding, and the logits of auxiliary heads by name, where it was made with any."""
        return self.embed(x), {}

    def margins_of(self, cells: int, side_px: int) -> tuple[int, int]:
        """How many pixels of a side lie under none of a map's cells, before the first and behind the last: none where convolutions are padded."""
        for stride, margin in zip(self.strides, self.margins_px, strict=False):
            if margin > 0 and (side_px - margin) // stride == cells:
                return margin // 2, side_px - margin // 2 - stride * cells
        return 0, 0

    def check_size(self, x: torch.Tensor) -> None:
        """Says in pixels of the picture what torch would say of an inner layer's.

        Raises:
            InputError: The pictures are smaller or larger than the network can take.
        """
        smallest, largest = self.sizes_px or (1, None)
        sides = int(x.shape[2]), int(x.shape[3])
        if min(sides) < smallest or (largest and max(sides) > largest):
            raise InputError(
                f"the pictures are of a size that this {type(self).__name__} cannot take",
                got=f"{sides[0]} x {sides[1]} px",
                expected=f"height and width of {'' if largest == smallest else 'at least '}{smallest} px",
                fix=f"choose --image-size {smallest}{'' if largest else ' or more'}, or another backbone: `fovea models`",
            )

    def extra_repr(self) -> str:
        """Its options, since the same numbers answer otherwise under another: the hash of the weights reads what a network says of itself."""
        options = {**self.made_with, **({"pooling": self.pooling} if self.pooling else {})}
        return ", ".join(f"{name}={value!r}" for name, value in options.items())

    def lay_out(self, output: torch.Tensor) -> torch.Tensor:
        """The output of one of its layers as a map (B, C, h, w); tokens (B, L, D) lie in rows, behind those that stand for no place."""
        if output.ndim != 3:
            return output
        side = math.isqrt(int(output.shape[1]))
        places = output[:, int(output.shape[1]) - side * side :]
        return places.transpose(1, 2).reshape(-1, int(output.shape[2]), side, side)

    def freeze_points(self) -> tuple[str, ...]:
        """State-dict prefixes of the parts in the order of the flow: freezing the first n of them leaves the rest to learn.

        These are the children that hold parameters, a `Sequential` taken apart into its own, without the classifier.
        """
        points = []
        for name, child in self.named_children():
            parts = [(f"{name}.{part}", module) for part, module in child.named_children()] if isinstance(child, nn.Sequential) else []
            points += [point for point, module in parts or [(name, child)] if any(True for _ in module.parameters())]
        return tuple(point for point in points if not f"{self.classifier_name}.".startswith(f"{point}."))

    def answers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) -> the embedding (B, D) and the logits (B, K); twice the embedding where there is no classifier."""
        embedding = self.embed(x)
        return embedding, self.get_submodule(self.classifier_name)(embedding)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> logits (B, K), or the embedding where there is no classifier."""
        return self.answers(x)[1]


def _of_a_family(name: str) -> Entry[BackboneInfo]:
    from fovea.models.family import family_entry  # it needs this module

    return family_entry(name)


BACKBONES: Registry[BackboneInfo] = Registry("backbone", "fovea.models.backbones", elsewhere=_of_a_family)


def create_backbone(
    name: str, *, num_classes: int = 0, pooling: Pooling | None = None, stage: int | None = None, **options: Any
) -> Backbone:
    """A backbone by name, with fresh random weights.

    Args:
        name: One of `list_backbones()`, or a model of another package: "timm:NAME", "transformers:FOLDER or OWNER/NAME".
        num_classes: Outputs of the classifier; 0 leaves it off, and `forward` gives the embedding.
        pooling: Without a classifier: the mean ("avg") or the largest ("max") over the places of the coarsest map, or
            the map itself ("none"). By default the embedding that the network's own classifier reads.
        stage: Without a classifier: only the network up to this feature map, 0 the finest; the embedding is the map's mean over its places.
        options: The backbone's own, for example `width=0.5` for mobilenet_v2; an unknown one is an error.

    Raises:
        UnknownName: No such backbone.
        InputError: A pooling or a stage beside a classifier, which reads the network's own embedding; or no such stage.
    """
    if stage is not None:
        from fovea.models.surgery import truncate  # it needs this module

        cut = truncate(create_backbone(name, num_classes=num_classes, **options), stage, pooling=pooling or "avg")
        cut.made_as, cut.made_with = name, {**options, "stage": stage}
        return cut
    build: Callable[..., Any] = BACKBONES[name].build
    if pooling is not None and num_classes:
        raise InputError(
            f"the classifier of {name} reads the network's own embedding",
            got=f"pooling={pooling!r} with num_classes={num_classes}",
            expected="one of the two",
            fix="leave num_classes at 0, and graft a head onto it (fovea.models.surgery.graft)",
        )
    backbone: Backbone = build(num_classes=num_classes, **options)
    backbone.sizes_px = backbone.sizes_px or (BACKBONES[name].info.smallest_input_px, None)
    defaults = {key: each.default for key, each in inspect.signature(build).parameters.items() if key != "num_classes"}
    backbone.made_as, backbone.made_with = name, defaults | options  # an option without a default is among the given ones
    return backbone if pooling is None else _pooled(backbone, pooling)


def read_backbone(text: str) -> tuple[str, dict[str, Any]]:
    """A name with options behind colons, as on the command line, and the options as `create_backbone` takes them.

    Args:
        text: "minception", "minception:batch_norm=false:dropout=0.3", "timm:resnet18".

    Raises:
        UnknownName: No such backbone.
        InputError: It has no such option; the near ones are named.

    Example:
        >>> read_backbone("minception:batch_norm=false:dropout=0.3")
        ('minception', {'batch_norm': False, 'dropout': 0.3})
    """
    parts = text.split(":")
    count = len(list(itertools.takewhile(lambda part: "=" in part, reversed(parts[1:]))))
    name, given = ":".join(parts[: len(parts) - count]), parts[len(parts) - count :]
    words = {key.strip().replace("-", "_"): value.strip() for key, _, value in (part.partition("=") for part in given)}
    known = {key: each.default for key, each in inspect.signature(BACKBONES[name].build).parameters.items() if key != "num_classes"}
    known |= {"stage": None}  # every backbone can be cut
    if unknown := sorted(set(words) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=3, cutoff=0.4)
        raise InputError(
            f"{name} has no option {unknown[0]!r}",
            got=text,
            expected=f"one of {', '.join(known)}" if known else "none: it has no options",
            fix=f"did you mean {' or '.join(near)}?" if near else "leave it out",
        )
    return name, {key: _value(word, known[key]) for key, word in words.items()}


def _value(text: str, default: object) -> bool | int | float | str:
    """What a word means for an option: text where its default is text, else a truth or a number where it can be one."""
    if isinstance(default, str):
        return text
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def pool_map(coarsest: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """(B, C, h, w) -> (B, C), or the map itself."""
    if pooling == "none":
        return coarsest
    return coarsest.mean(dim=(2, 3)) if pooling == "avg" else coarsest.amax(dim=(2, 3))


def check_pooling(pooling: str) -> None:
    """Raises InputError for a word that names no pooling."""
    if pooling not in (known := get_args(Pooling)):
        raise InputError(f"no pooling is called {pooling!r}", got=repr(pooling), expected=", ".join(known), fix="choose one of these")


def probe_px(backbone: Backbone) -> int:
    """A small side that it accepts, for looking at what depends on what."""
    smallest, largest = backbone.sizes_px or (1, None)
    return largest or max(smallest, 64, 2 * max(backbone.strides))


def _pooled(backbone: Backbone, pooling: Pooling) -> Backbone:
    """The same network, pooled otherwise: without the parts that served its own embedding."""
    check_pooling(pooling)
    backbone.pooling = pooling
    backbone.num_features = backbone.channels[-1]
    for part in backbone.embedding_parts:
        backbone.set_submodule(part, nn.Identity())
    return backbone


def normalisation(info: BackboneInfo, passport: Passport | None) -> tuple[Triple, Triple]:
    """The mean and the deviation that pixels scaled to 0..1 are normalised with: the weights' own, else the backbone's."""
    mean = passport.mean if passport and passport.mean else info.mean
    std = passport.std if passport and passport.std else info.std
    return mean, std


def list_backbones() -> list[str]:
    """The names of all backbones."""
    return BACKBONES.names()


def count_parameters(module: nn.Module) -> int:
    """Trainable numbers in a module (the statistics of batch norm are not counted, as in torch)."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
