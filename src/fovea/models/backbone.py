"""What every backbone is: pixels in, feature maps with declared channels and strides out, and a classifier that comes off."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from fovea.models.origins import Origin
from fovea.models.passport import Passport, Triple
from fovea.registry import Registry
from fovea.types import FeatureMaps

__all__ = [
    "BACKBONES",
    "Backbone",
    "BackboneInfo",
    "Passport",
    "count_parameters",
    "create_backbone",
    "list_backbones",
    "normalisation",
]


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
    margins_px: tuple[int, ...] = ()  # one for each map where convolutions are unpadded; empty where all are padded
    # Smallest and largest side (None: no limit) that it accepts, where options change what the registry states.
    sizes_px: tuple[int, int | None] | None = None
    origins: tuple[Origin, ...] = ()  # other libraries' versions of it, whose weights it takes (`models/naming.py`)
    made_as: str = ""  # its name in the registry, and the options that it was made with: `create_backbone` writes them
    made_with: Mapping[str, Any] = MappingProxyType({})

    @abstractmethod
    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        """(B, 3, H, W) -> the feature maps, fine to coarse."""

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """The embedding of the coarsest map, (B, C, h, w) -> (B, D): the mean over places, unless a network does otherwise."""
        return coarsest.mean(dim=(2, 3))

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> (B, D)."""
        return self.pool(self.forward_maps(x)[-1])

    def freeze_points(self) -> tuple[str, ...]:
        """State-dict prefixes of the parts in the order of the flow: freezing the first n of them leaves the rest to learn.

        These are the children that hold parameters, a `Sequential` taken apart into its own, without the classifier.
        """
        points = []
        for name, child in self.named_children():
            parts = [(f"{name}.{part}", module) for part, module in child.named_children()] if isinstance(child, nn.Sequential) else []
            points += [point for point, module in parts or [(name, child)] if any(True for _ in module.parameters())]
        return tuple(point for point in points if not f"{self.classifier_name}.".startswith(f"{point}."))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) -> logits (B, K), or the embedding where there is no classifier."""
        return self.get_submodule(self.classifier_name)(self.embed(x))  # type: ignore[no-any-return]


BACKBONES: Registry[BackboneInfo] = Registry("backbone", "fovea.models.backbones")


def create_backbone(name: str, *, num_classes: int = 0, **options: Any) -> Backbone:
    """A backbone by name, with fresh random weights.

    Args:
        name: One of `list_backbones()`.
        num_classes: Outputs of the classifier; 0 leaves it off, and `forward` gives the embedding.
        options: The backbone's own, for example `width=0.5` for mobilenet_v2; an unknown one is an error.
    """
    build: Callable[..., Any] = BACKBONES[name].build
    backbone: Backbone = build(num_classes=num_classes, **options)
    defaults = {key: each.default for key, each in inspect.signature(build).parameters.items() if key != "num_classes"}
    backbone.made_as, backbone.made_with = name, defaults | options  # an option without a default is among the given ones
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
