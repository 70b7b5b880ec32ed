"""EfficientNet-B0: MobileNetV2's blocks with squeeze-and-excitation and swish, found by search (Tan and Le 2019, arXiv:1905.11946, table 1).

Key names are timm's (`efficientnet_b0`).
"""

from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import Padding, conv2d
from fovea.models.origins import IMAGENET, Origin
from fovea.types import FeatureMaps

_STRIDES = (4, 8, 16, 32)


class _Stage(NamedTuple):
    expansion: int
    kernel: int
    channels: int
    repeats: int
    stride: int


_STAGES = (
    _Stage(1, 3, 16, 1, 1), _Stage(6, 3, 24, 2, 2), _Stage(6, 5, 40, 2, 2), _Stage(6, 3, 80, 3, 2),
    _Stage(6, 5, 112, 3, 1), _Stage(6, 5, 192, 4, 2), _Stage(6, 3, 320, 1, 1),
)  # fmt: skip
_LAST_OF_STRIDE = (1, 2, 4)  # stages whose output is the last at strides 4, 8 and 16; the head's map is the one at 32


class _SqueezeExcite(nn.Module):
    """Each channel times a share between 0 and 1, read from the means of all channels (arXiv:1709.01507)."""

    def __init__(self, channels: int, narrow: int) -> None:
        super().__init__()
        self.conv_reduce = nn.Conv2d(channels, narrow, 1)
        self.conv_expand = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.conv_expand(F.silu(self.conv_reduce(x.mean((2, 3), keepdim=True)))).sigmoid()  # type: ignore[no-any-return]


class _Separable(nn.Module):
    """The first block: depthwise, squeeze-and-excitation, then a linear 1x1."""

    def __init__(self, in_channels: int, stage: _Stage, padding: Padding, eps: float) -> None:
        super().__init__()
        self.conv_dw = conv2d(in_channels, in_channels, stage.kernel, stride=stage.stride, groups=in_channels, padding=padding)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.se = _SqueezeExcite(in_channels, in_channels // 4)
        self.conv_pw = conv2d(in_channels, stage.channels, 1)
        self.bn2 = nn.BatchNorm2d(stage.channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn2(self.conv_pw(self.se(F.silu(self.bn1(self.conv_dw(x))))))  # type: ignore[no-any-return]


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel, squeeze and excite, narrow by a linear 1x1; added to the input where the shapes agree."""

    def __init__(self, in_channels: int, stage: _Stage, stride: int, padding: Padding, eps: float) -> None:
        super().__init__()
        wide = in_channels * stage.expansion
        self.conv_pw = conv2d(in_channels, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide, eps=eps)
        self.conv_dw = conv2d(wide, wide, stage.kernel, stride=stride, groups=wide, padding=padding)
        self.bn2 = nn.BatchNorm2d(wide, eps=eps)
        self.se = _SqueezeExcite(wide, in_channels // 4)
        self.conv_pwl = conv2d(wide, stage.channels, 1)
        self.bn3 = nn.BatchNorm2d(stage.channels, eps=eps)
        self.residual = stride == 1 and in_channels == stage.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.silu(self.bn1(self.conv_pw(x)))
        y = self.se(F.silu(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y  # type: ignore[no-any-return]


class EfficientNet(Backbone):
    classifier_name = "classifier"
    channels = (24, 40, 112, 1280)
    strides = _STRIDES
    num_features = 1280
    # Keras's model takes levels of 0..255 and normalises them itself, with statistics that its file holds
    origins = (Origin("torchvision"), Origin("keras", options={"padding": "same", "eps": 1e-3}, scaling=IMAGENET))

    def __init__(self, num_classes: int, padding: Padding, eps: float, dropout: float) -> None:
        super().__init__()
        channels = 32
        self.conv_stem = conv2d(3, channels, 3, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=eps)
        stages = []
        for index, stage in enumerate(_STAGES):
            blocks: list[nn.Module] = []
            for repeat in range(stage.repeats):
                step = stage.stride if repeat == 0 else 1
                blocks.append(
                    _InvertedResidual(channels, stage, step, padding, eps) if index else _Separable(channels, stage, padding, eps)
                )
                channels = stage.channels
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = conv2d(channels, self.num_features, 1)
        self.bn2 = nn.BatchNorm2d(self.num_features, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # He's rule over outputs, a depthwise filter counting for itself
                fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
                nn.init.normal_(layer.weight, 0, (2 / fan_out) ** 0.5)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.silu(self.bn1(self.conv_stem(x)))  # (B, 32, H/2, W/2)
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in _LAST_OF_STRIDE:
                maps.append(x)
        return FeatureMaps((*maps, F.silu(self.bn2(self.conv_head(x)))), self.strides)  # (B, 1280, H/32, W/32)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 1280, h, w) -> (B, 1280): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=EfficientNet.channels,
        strides=_STRIDES,
        num_parameters=5_288_548,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1905.11946",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
)
def efficientnet_b0(*, num_classes: int = 0, padding: Padding = "symmetric", eps: float = 1e-5, dropout: float = 0.2) -> EfficientNet:
    """EfficientNet-B0: few parameters for its accuracy; slower than they suggest.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        padding: "same" for weights trained in TensorFlow.
        eps: Of batch norm; weights of TensorFlow need 1e-3.
        dropout: Share of the embedding left out in training.
    """
    return EfficientNet(num_classes, padding, eps, dropout)
