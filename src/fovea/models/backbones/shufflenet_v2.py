"""ShuffleNet V2: equal widths, few branches, and half of the channels passed by untouched (Ma et al. 2018, arXiv:1807.11164, table 5).

After each unit the channels of its two halves are shuffled, so that they meet in the next. Key names are torchvision's.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import initialise_convolutions
from fovea.types import FeatureMaps

_WIDTHS = (116, 232, 464)
_REPEATS = (4, 8, 4)
_STEM, _LAST = 24, 1024


def _conv(in_channels: int, out_channels: int, kernel: int, *, stride: int = 1, depthwise: bool = False) -> list[nn.Module]:
    groups = in_channels if depthwise else 1
    layer = nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return [layer, nn.BatchNorm2d(out_channels)]


class _Unit(nn.Module):
    """Half of the channels pass by; at stride 2 both branches read all of them, and the width doubles."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.stride = stride
        inner = in_channels if stride > 1 else half
        if stride > 1:
            self.branch1 = nn.Sequential(
                *_conv(inner, inner, 3, stride=stride, depthwise=True), *_conv(inner, half, 1), nn.ReLU(inplace=True)
            )
        self.branch2 = nn.Sequential(
            *_conv(inner, half, 1), nn.ReLU(inplace=True),
            *_conv(half, half, 3, stride=stride, depthwise=True),
            *_conv(half, half, 1), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept, used = (self.branch1(x), x) if self.stride > 1 else x.chunk(2, dim=1)
        joined = torch.stack([kept, self.branch2(used)], dim=2)  # (B, C / 2, 2, H, W): one of each half in turn
        return joined.flatten(1, 2)


class ShuffleNetV2(Backbone):
    """Maps: the first pooling, then each stage; the last after its 1x1 convolution."""

    classifier_name = "fc"
    channels = (_STEM, *_WIDTHS[:-1], _LAST)
    strides = (4, 8, 16, 32)
    num_features = _LAST

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(*_conv(3, _STEM, 3, stride=2))
        channels = _STEM
        for number, (width, repeats) in enumerate(zip(_WIDTHS, _REPEATS, strict=True), start=2):
            units = [_Unit(channels if index == 0 else width, width, 2 if index == 0 else 1) for index in range(repeats)]
            self.add_module(f"stage{number}", nn.Sequential(*units))
            channels = width
        self.conv5 = nn.Sequential(*_conv(channels, _LAST, 1))
        self.fc = nn.Linear(_LAST, num_classes) if num_classes else nn.Identity()
        initialise_convolutions(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2, 1)  # (B, 24, H/4, W/4)
        maps = [x]
        for number in (2, 3, 4):
            x = self.get_submodule(f"stage{number}")(x)  # (B, 116 to 464, H/8 to H/32, ...)
            maps.append(x)
        maps[-1] = F.relu(self.conv5(x))  # (B, 1024, H/32, W/32)
        return FeatureMaps(tuple(maps), self.strides)


@BACKBONES.add(
    BackboneInfo(
        channels=ShuffleNetV2.channels,
        strides=ShuffleNetV2.strides,
        num_parameters=2_278_604,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1807.11164",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
)
def shufflenet_v2(*, num_classes: int = 0) -> ShuffleNetV2:
    """ShuffleNet V2: made for the memory of phones rather than for few multiplications.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
    """
    return ShuffleNetV2(num_classes)
