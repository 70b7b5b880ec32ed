"""Minception: a small Inception-ResNet for Tiny-ImageNet's pictures of 64 px, of which it sees 56.

After Thushan Ganegedara, "TensorFlow in Action" (2022), chapter 7, and the paper it shrinks (arXiv:1602.07261). Every convolution is
followed by batch norm and relu; all are padded.

Two points in which the listing and the paper differ are options: the second convolution of block A's second branch (3x3 in the
paper, 1x1 in the listing), and what is multiplied by 0.1 (the residual in the paper, the input in the listing).
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import ConvReLU, Kernel
from fovea.types import FeatureMaps

Scaled = Literal["residual", "input"]
_SCALE = 0.1
_EPS = 1e-5  # of batch norm


def _chain(in_channels: int, *layers: tuple[int, Kernel], stride: int = 1, batch_norm: bool) -> nn.Sequential:
    """Convolutions one after the other, (channels, kernel) each; the last at `stride`."""
    convs = []
    for index, (channels, kernel) in enumerate(layers):
        convs.append(
            ConvReLU(in_channels, channels, kernel, stride=stride if index == len(layers) - 1 else 1, batch_norm=batch_norm, eps=_EPS)
        )
        in_channels = channels
    return nn.Sequential(*convs)


class _Stem(nn.Module):
    """(B, 3, H, W) -> (B, 384, H/8, W/8)."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()

        def chain(in_channels: int, *layers: tuple[int, Kernel], stride: int = 1) -> nn.Sequential:
            return _chain(in_channels, *layers, stride=stride, batch_norm=batch_norm)

        self.first = chain(3, (32, 3), stride=2)
        self.second = chain(32, (32, 3), (64, 3))
        self.third = chain(64, (96, 3), stride=2)
        self.short, self.long = chain(160, (64, 1), (96, 3)), chain(160, (64, 1), (64, (7, 1)), (64, (1, 7)), (96, 3))
        self.last = chain(192, (192, 3), stride=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        half = self.second(self.first(x))  # (B, 64, H/2, W/2)
        y = torch.cat([F.max_pool2d(half, 3, 2, 1), self.third(half)], 1)
        quarter = torch.cat([self.short(y), self.long(y)], 1)  # (B, 192, H/4, W/4)
        return half, quarter, torch.cat([F.max_pool2d(quarter, 3, 2, 1), self.last(quarter)], 1)


class _Residual(nn.Module):
    """Branches side by side, a linear 1x1 back to as many channels, added to the input."""

    def __init__(self, channels: int, *branches: tuple[tuple[int, Kernel], ...], scaled: Scaled, batch_norm: bool) -> None:
        super().__init__()
        self.scaled = scaled
        self.branches = nn.ModuleList(_chain(channels, *layers, batch_norm=batch_norm) for layers in branches)
        width = sum(layers[-1][0] for layers in branches)
        self.conv = nn.Conv2d(width, channels, 1, bias=not batch_norm)
        self.bn = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn(self.conv(torch.cat([branch(x) for branch in self.branches], 1)))
        return F.relu(x + _SCALE * y if self.scaled == "residual" else _SCALE * x + y)


class _Reduction(nn.Module):
    """(B, 384, h, w) -> (B, 1152, h/2, w/2)."""

    def __init__(self, batch_norm: bool) -> None:
        super().__init__()
        self.long = nn.Sequential(
            ConvReLU(384, 256, 3, stride=2, batch_norm=batch_norm, eps=_EPS), *_chain(256, (256, 3), (384, 3), batch_norm=batch_norm)
        )
        self.short = _chain(384, (384, 3), stride=2, batch_norm=batch_norm)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.long(x), self.short(x), F.max_pool2d(x, 3, 2, 1)], 1)


class Minception(Backbone):
    classifier_name = "classifier"
    channels = (64, 192, 384, 1152)
    strides = (2, 4, 8, 16)
    num_features = 1152

    def __init__(self, num_classes: int, *, second_kernel: int, scaled: Scaled, batch_norm: bool, dropout: float) -> None:
        super().__init__()
        a = (((32, 1),), ((32, 1), (32, second_kernel)), ((32, 1), (48, 3), (64, 3), (384, 1)))
        b = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
        self.stem = _Stem(batch_norm)
        self.block_a = _Residual(384, *a, scaled=scaled, batch_norm=batch_norm)
        self.reduction = _Reduction(batch_norm)
        self.blocks_b = nn.Sequential(*(_Residual(1152, *b, scaled=scaled, batch_norm=batch_norm) for _ in range(2)))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(1152, num_classes) if num_classes else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # Glorot's rule, as the listing (Keras' default)
                nn.init.xavier_uniform_(layer.weight)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        half, quarter, eighth = self.stem(x)
        last = self.blocks_b(self.reduction(eighth := self.block_a(eighth)))  # (B, 1152, H/16, W/16)
        return FeatureMaps((half, quarter, eighth, last), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 1152, h, w) -> (B, 1152): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=Minception.channels,
        strides=Minception.strides,
        num_parameters=8_079_976,
        image_size_px=56,
        smallest_input_px=16,
        source="Ganegedara, TensorFlow in Action (2022), chapter 7; arXiv:1602.07261",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
)
def minception(
    *, num_classes: int = 0, second_kernel: int = 3, scaled: Scaled = "residual", batch_norm: bool = True, dropout: float = 0.5
) -> Minception:
    """Minception: for many classes of small pictures, learned from nothing.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        second_kernel: Of the second convolution of block A's second branch: 3 in the paper, 1 in the listing.
        scaled: What is multiplied by 0.1 in a block: the "residual" (the paper), or the "input" (the listing).
        batch_norm: After every convolution.
        dropout: Share of the embedding left out in training; the listing defines it and does not connect it.
    """
    return Minception(num_classes, second_kernel=second_kernel, scaled=scaled, batch_norm=batch_norm, dropout=dropout)
