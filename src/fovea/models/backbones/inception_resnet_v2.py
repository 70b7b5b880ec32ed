"""Inception-ResNet v2: Inception modules whose output is added to their input (Szegedy et al. 2016, arXiv:1602.07261, figures 15 to 19).

Key names are timm's (`inception_resnet_v2`). Every convolution is followed by batch norm (eps 0.001) and relu, but for the last 1x1
of a block, which is linear, scaled, and added.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import ConvReLU, Kernel, initialise_convolutions, without_scale
from fovea.models.origins import HALVES, Origin, keras_order
from fovea.types import FeatureMaps


def _chain(in_channels: int, *layers: tuple[int, Kernel], halve: bool = False) -> nn.Module:
    """Convolutions one after the other, (channels, kernel) each; the last unpadded at stride 2 where it halves."""
    convs: list[nn.Module] = []
    for index, (channels, kernel) in enumerate(layers):
        last = halve and index == len(layers) - 1
        convs.append(ConvReLU(in_channels, channels, kernel, stride=2 if last else 1, same=not last))
        in_channels = channels
    return convs[0] if len(convs) == 1 else nn.Sequential(*convs)


def _order(branches: tuple[tuple[tuple[int, Kernel], ...], ...], *after: str) -> tuple[str, ...]:
    """The layers of branches as Keras saves them, and what comes after."""
    names = [
        (f"branch{i}",) if len(layers) == 1 else tuple(f"branch{i}.{j}" for j in range(len(layers))) for i, layers in enumerate(branches)
    ]
    return (*keras_order(*names), *after)


class _Mixed(nn.Module):
    """Branches side by side, and pooling: max at stride 2, or the mean and a 1x1 to `pooled` channels."""

    def __init__(self, in_channels: int, *branches: tuple[tuple[int, Kernel], ...], pooled: int = 0) -> None:
        super().__init__()
        for index, layers in enumerate(branches):
            self.add_module(f"branch{index}", _chain(in_channels, *layers, halve=not pooled))
        pool = (
            nn.Sequential(nn.AvgPool2d(3, 1, 1, count_include_pad=False), ConvReLU(in_channels, pooled, 1))
            if pooled
            else nn.MaxPool2d(3, 2)
        )
        self.add_module(f"branch{len(branches)}", pool)
        self.keras_order = _order(branches, f"branch{len(branches)}")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([branch(x) for branch in self.children()], 1)


class _Residual(nn.Module):
    """Branches side by side, a linear 1x1 back to as many channels, times `scale`, added; relu unless it is the last block."""

    def __init__(self, channels: int, *branches: tuple[tuple[int, Kernel], ...], scale: float, relu: bool = True) -> None:
        super().__init__()
        self.count, self.scale, self.relu = len(branches), scale, relu
        for index, layers in enumerate(branches):
            self.add_module(f"branch{index}", _chain(channels, *layers))
        self.conv2d = nn.Conv2d(sum(layers[-1][0] for layers in branches), channels, 1)
        self.keras_order = _order(branches, "conv2d")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.cat([self.get_submodule(f"branch{index}")(x) for index in range(self.count)], 1)
        y = x + self.scale * self.conv2d(found)
        return F.relu(y) if self.relu else y


_A = (((32, 1),), ((32, 1), (32, 3)), ((32, 1), (48, 3), (64, 3)))
_B = (((192, 1),), ((128, 1), (160, (1, 7)), (192, (7, 1))))
_C = (((192, 1),), ((192, 1), (224, (1, 3)), (256, (3, 1))))


class InceptionResNetV2(Backbone):
    classifier_name = "classif"
    channels = (64, 192, 320, 1088, 1536)
    strides = (2, 4, 8, 16, 32)
    margins_px = (5, 15, 19, 27, 43)
    num_features = 1536
    sizes_px = (75, None)
    origins = (Origin("keras", gamma=False, scaling=HALVES),)

    def __init__(self, num_classes: int, dropout: float, norm_scale: bool) -> None:
        super().__init__()
        self.conv2d_1a = ConvReLU(3, 32, 3, stride=2, same=False)
        self.conv2d_2a = ConvReLU(32, 32, 3, same=False)
        self.conv2d_2b = ConvReLU(32, 64, 3)
        self.conv2d_3b = ConvReLU(64, 80, 1)
        self.conv2d_4a = ConvReLU(80, 192, 3, same=False)
        self.mixed_5b = _Mixed(192, ((96, 1),), ((48, 1), (64, 5)), ((64, 1), (96, 3), (96, 3)), pooled=64)
        self.repeat = nn.Sequential(*(_Residual(320, *_A, scale=0.17) for _ in range(10)))
        self.mixed_6a = _Mixed(320, ((384, 3),), ((256, 1), (256, 3), (384, 3)))
        self.repeat_1 = nn.Sequential(*(_Residual(1088, *_B, scale=0.10) for _ in range(20)))
        self.mixed_7a = _Mixed(1088, ((256, 1), (384, 3)), ((256, 1), (288, 3)), ((256, 1), (288, 3), (320, 3)))
        self.repeat_2 = nn.Sequential(*(_Residual(2080, *_C, scale=0.20) for _ in range(9)))
        self.block8 = _Residual(2080, *_C, scale=1.0, relu=False)
        self.conv2d_7b = ConvReLU(2080, 1536, 1)
        self.dropout = nn.Dropout(dropout)
        self.classif = nn.Linear(1536, num_classes) if num_classes else nn.Identity()
        initialise_convolutions(self)
        if not norm_scale:
            without_scale(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        first = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))  # (B, 64, (H - 5) / 2, ...)
        second = self.conv2d_4a(self.conv2d_3b(F.max_pool2d(first, 3, 2)))  # (B, 192, (H - 15) / 4, ...)
        third = self.repeat(self.mixed_5b(F.max_pool2d(second, 3, 2)))  # (B, 320, (H - 19) / 8, ...)
        fourth = self.repeat_1(self.mixed_6a(third))  # (B, 1088, (H - 27) / 16, ...)
        last = self.conv2d_7b(self.block8(self.repeat_2(self.mixed_7a(fourth))))  # (B, 1536, (H - 43) / 32, ...)
        return FeatureMaps((first, second, third, fourth, last), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 1536, h, w) -> (B, 1536): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=InceptionResNetV2.channels,
        strides=InceptionResNetV2.strides,
        num_parameters=55_843_464,
        image_size_px=299,
        smallest_input_px=75,
        source="arXiv:1602.07261",
    )
)
def inception_resnet_v2(*, num_classes: int = 0, dropout: float = 0.2, norm_scale: bool = True) -> InceptionResNetV2:
    """Inception-ResNet v2: large, slow and accurate.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        dropout: Share of the embedding left out in training; the paper keeps 0.8.
        norm_scale: Whether batch norm learns a scale, as in timm; without, the network is Keras's, number for number.
    """
    return InceptionResNetV2(num_classes, dropout, norm_scale)
