"""MobileNetV3: inverted residuals found by search, with squeeze-and-excitation and hard swish (Howard et al. 2019, arXiv:1905.02244).

Tables 1 and 2 of the paper. Key names are timm's (`mobilenetv3_large_100`, `mobilenetv3_small_100`).
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import Padding, conv2d, initialise_convolutions, round_to_8
from fovea.models.origins import HALVES, Origin
from fovea.types import FeatureMaps

Activation = Callable[[torch.Tensor], torch.Tensor]
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STRIDES = (4, 8, 16, 32)


class _Row(NamedTuple):
    """A block: kernel, expanded channels, channels, squeeze-and-excitation, hard swish (else relu), stride."""

    kernel: int
    wide: int
    channels: int
    squeeze: bool
    swish: bool
    stride: int = 1


# The first stage is a depthwise separable block; the last row of each stage before a stride is a feature map
_LARGE = (
    (_Row(3, 16, 16, False, False),),
    (_Row(3, 64, 24, False, False, 2), _Row(3, 72, 24, False, False)),
    (_Row(5, 72, 40, True, False, 2), *[_Row(5, 120, 40, True, False)] * 2),
    (_Row(3, 240, 80, False, True, 2), _Row(3, 200, 80, False, True), *[_Row(3, 184, 80, False, True)] * 2),
    (_Row(3, 480, 112, True, True), _Row(3, 672, 112, True, True)),
    (_Row(5, 672, 160, True, True, 2), *[_Row(5, 960, 160, True, True)] * 2),
)
_SMALL = (
    (_Row(3, 16, 16, True, False, 2),),
    (_Row(3, 72, 24, False, False, 2), _Row(3, 88, 24, False, False)),
    (_Row(5, 96, 40, True, True, 2), *[_Row(5, 240, 40, True, True)] * 2),
    (_Row(5, 120, 48, True, True), _Row(5, 144, 48, True, True)),
    (_Row(5, 288, 96, True, True, 2), *[_Row(5, 576, 96, True, True)] * 2),
)


class _SqueezeExcite(nn.Module):
    """Each channel times a share between 0 and 1, read from the means of all channels (arXiv:1709.01507)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = round_to_8(channels / 4)
        self.conv_reduce = nn.Conv2d(channels, narrow, 1)
        self.conv_expand = nn.Conv2d(narrow, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        share = self.conv_expand(F.relu(self.conv_reduce(x.mean((2, 3), keepdim=True))))
        return x * F.hardsigmoid(share)


class _Separable(nn.Module):
    def __init__(self, in_channels: int, row: _Row, padding: Padding, eps: float) -> None:
        super().__init__()
        self.conv_dw = conv2d(in_channels, in_channels, row.kernel, stride=row.stride, groups=in_channels, padding=padding)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.se = _SqueezeExcite(in_channels) if row.squeeze else nn.Identity()
        self.conv_pw = conv2d(in_channels, row.channels, 1)
        self.bn2 = nn.BatchNorm2d(row.channels, eps=eps)
        self.residual = row.stride == 1 and in_channels == row.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv_pw(self.se(F.relu(self.bn1(self.conv_dw(x))))))
        return x + y if self.residual else y  # type: ignore[no-any-return]


class _InvertedResidual(nn.Module):
    def __init__(self, in_channels: int, row: _Row, padding: Padding, eps: float) -> None:
        super().__init__()
        self.act: Activation = F.hardswish if row.swish else F.relu
        self.conv_pw = conv2d(in_channels, row.wide, 1)
        self.bn1 = nn.BatchNorm2d(row.wide, eps=eps)
        self.conv_dw = conv2d(row.wide, row.wide, row.kernel, stride=row.stride, groups=row.wide, padding=padding)
        self.bn2 = nn.BatchNorm2d(row.wide, eps=eps)
        self.se = _SqueezeExcite(row.wide) if row.squeeze else nn.Identity()
        self.conv_pwl = conv2d(row.wide, row.channels, 1)
        self.bn3 = nn.BatchNorm2d(row.channels, eps=eps)
        self.residual = row.stride == 1 and in_channels == row.channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.act(self.bn1(self.conv_pw(x)))
        y = self.se(self.act(self.bn2(self.conv_dw(y))))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y  # type: ignore[no-any-return]


class _Last(nn.Module):
    """1x1, batch norm, hard swish: the coarsest map."""

    def __init__(self, in_channels: int, out_channels: int, eps: float) -> None:
        super().__init__()
        self.conv = conv2d(in_channels, out_channels, 1)
        self.bn1 = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.hardswish(self.bn1(self.conv(x)))


class MobileNetV3(Backbone):
    classifier_name = "classifier"
    embedding_parts = ("conv_head",)
    strides = _STRIDES
    origins = (Origin("torchvision", options={"eps": 1e-3}), Origin("keras", options={"padding": "same", "eps": 1e-3}, scaling=HALVES))

    def __init__(
        self, num_classes: int, plan: tuple[tuple[_Row, ...], ...], last: int, embedding: int, padding: Padding, eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.conv_stem = conv2d(3, 16, 3, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(16, eps=eps)
        stages, channels, stride = [], 16, 2
        before_stride: dict[int, tuple[int, int]] = {}  # stride -> the last stage that has it, and its channels
        for index, rows in enumerate(plan):
            blocks: list[nn.Module] = []
            for row in rows:
                blocks.append((_InvertedResidual if index else _Separable)(channels, row, padding, eps))
                channels, stride = row.channels, stride * row.stride
            stages.append(nn.Sequential(*blocks))
            before_stride[stride] = (index, channels)
        stages.append(nn.Sequential(_Last(channels, last, eps)))
        self.blocks = nn.Sequential(*stages)
        self.conv_head = nn.Conv2d(last, embedding, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(embedding, num_classes) if num_classes else nn.Identity()
        self.num_features = embedding
        self._taken = tuple(before_stride[s][0] for s in _STRIDES[:-1])
        self.channels = (*(before_stride[s][1] for s in _STRIDES[:-1]), last)
        initialise_convolutions(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.hardswish(self.bn1(self.conv_stem(x)))  # (B, 16, H/2, W/2)
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in self._taken:
                maps.append(x)
        return FeatureMaps((*maps, x), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, D): the mean over places, then a dense layer with hard swish, as the paper puts it last."""
        return self.dropout(F.hardswish(self.conv_head(coarsest.mean((2, 3), keepdim=True))).flatten(1))  # type: ignore[no-any-return]


def _info(channels: tuple[int, ...], num_parameters: int) -> BackboneInfo:
    return BackboneInfo(
        channels=channels,
        strides=_STRIDES,
        num_parameters=num_parameters,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1905.02244",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    )


@BACKBONES.add(_info((24, 40, 112, 960), 5_483_032))
def mobilenet_v3_large(*, num_classes: int = 0, padding: Padding = "symmetric", eps: float = 1e-5, dropout: float = 0.2) -> MobileNetV3:
    """MobileNetV3-Large: a little better than its forerunner at the same speed.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        padding: "same" for weights trained in TensorFlow.
        eps: Of batch norm; weights of TensorFlow and torchvision need 1e-3.
        dropout: Share of the embedding left out in training.
    """
    return MobileNetV3(num_classes, _LARGE, 960, 1280, padding, eps, dropout)


@BACKBONES.add(_info((16, 24, 48, 576), 2_542_856))
def mobilenet_v3_small(*, num_classes: int = 0, padding: Padding = "symmetric", eps: float = 1e-5, dropout: float = 0.2) -> MobileNetV3:
    """MobileNetV3-Small: for the slowest phones.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        padding: "same" for weights trained in TensorFlow.
        eps: Of batch norm; weights of TensorFlow and torchvision need 1e-3.
        dropout: Share of the embedding left out in training.
    """
    return MobileNetV3(num_classes, _SMALL, 576, 1024, padding, eps, dropout)
