"""DenseNet: every layer sees the outputs of all before it (Huang et al. 2016, arXiv:1608.06993, table 1).

Key names are torchvision's, which are timm's.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.origins import IMAGENET, Origin
from fovea.types import FeatureMaps

_GROWTH, _NARROW = 32, 4  # channels that a layer adds, and how many times as many its 1x1 convolution has
_DEPTHS = (6, 12, 24, 16)


class _Layer(nn.Module):
    """Batch norm, relu, 1x1 to 128 channels, batch norm, relu, 3x3 to 32: added to what was there."""

    def __init__(self, in_channels: int, eps: float) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, _NARROW * _GROWTH, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(_NARROW * _GROWTH, eps=eps)
        self.conv2 = nn.Conv2d(_NARROW * _GROWTH, _GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.relu(self.norm1(x)))
        return torch.cat([x, self.conv2(F.relu(self.norm2(y)))], 1)


class _Transition(nn.Module):
    """Half the channels, half the side: batch norm, relu, 1x1, mean of 2x2."""

    def __init__(self, in_channels: int, eps: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(Backbone):
    """Each map is a dense block's output; the last after its batch norm and relu."""

    classifier_name = "classifier"
    strides = (4, 8, 16, 32)
    margins_px = (-3, -3, -3, -3)  # the stem rounds up twice, the transitions down
    origins = (
        Origin("torchvision", renames=((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),)),  # its files of 2017: norm.1
        Origin("keras", options={"eps": 1.001e-5}, scaling=IMAGENET),
    )

    def __init__(self, num_classes: int, eps: float) -> None:
        super().__init__()
        self.features = nn.Sequential()
        self.features.add_module("conv0", nn.Conv2d(3, 2 * _GROWTH, 7, 2, 3, bias=False))
        self.features.add_module("norm0", nn.BatchNorm2d(2 * _GROWTH, eps=eps))
        channels, widths = 2 * _GROWTH, []
        for number, depth in enumerate(_DEPTHS, start=1):
            block = nn.Sequential()
            for index in range(depth):
                block.add_module(f"denselayer{index + 1}", _Layer(channels, eps))
                channels += _GROWTH
            self.features.add_module(f"denseblock{number}", block)
            widths.append(channels)
            if number < len(_DEPTHS):
                self.features.add_module(f"transition{number}", _Transition(channels, eps))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels, eps=eps))
        self.channels = tuple(widths)
        self.num_features = channels
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        maps = []
        for name, part in self.features.named_children():
            x = part(x)
            if name == "norm0":
                x = F.max_pool2d(F.relu(x), 3, 2, 1)  # (B, 64, H/4, W/4)
            elif name == "norm5":
                x = F.relu(x)
            if name.startswith("denseblock") or name == "norm5":
                maps.append(x)
        return FeatureMaps((*maps[:-2], maps[-1]), self.strides)


@BACKBONES.add(
    BackboneInfo(
        channels=(256, 512, 1024, 1024),
        strides=(4, 8, 16, 32),
        num_parameters=7_978_856,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1608.06993",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
)
def densenet121(*, num_classes: int = 0, eps: float = 1e-5) -> DenseNet:
    """DenseNet-121: few parameters for its accuracy, many intermediate maps for its memory.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        eps: Of batch norm; weights of Keras need 1.001e-5.
    """
    return DenseNet(num_classes, eps)
