"""MobileNet: depthwise separable convolutions, thinned by a width multiplier (Howard et al. 2017, arXiv:1704.04861, table 1).

Each block filters every channel by its own 3x3 and mixes the channels by 1x1; both are followed by batch norm and relu6.
Key names are timm's (`mobilenetv1_100`), whose eps is 1e-5.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import Padding, conv2d, initialise_convolutions
from fovea.models.origins import HALVES, Origin
from fovea.types import FeatureMaps

# channels and stride of each block, by stage: table 1
_STAGES = (((64, 1),), ((128, 2), (128, 1)), ((256, 2), (256, 1)), ((512, 2), *((512, 1),) * 5), ((1024, 2), (1024, 1)))
_STRIDES = (2, 4, 8, 16, 32)
_EPS = 0.001  # of Keras, whose weights are those that are published


class _Separable(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int, padding: Padding, eps: float) -> None:
        super().__init__()
        self.conv_dw = conv2d(in_channels, in_channels, 3, stride=stride, groups=in_channels, padding=padding)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv_pw = conv2d(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu6(self.bn2(self.conv_pw(F.relu6(self.bn1(self.conv_dw(x))))))


class MobileNetV1(Backbone):
    classifier_name = "classifier"
    strides = _STRIDES
    origins = (Origin("keras", options={"padding": "same", "eps": _EPS}, scaling=HALVES), Origin("timm", options={"eps": 1e-5}))

    def __init__(self, num_classes: int, width: float, padding: Padding, eps: float, dropout: float) -> None:
        super().__init__()
        channels = int(32 * width)
        self.conv_stem = conv2d(3, channels, 3, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=eps)
        stages, widths = [], []
        for plan in _STAGES:
            blocks = []
            for plain, stride in plan:
                blocks.append(_Separable(channels, int(plain * width), stride, padding, eps))
                channels = int(plain * width)
            stages.append(nn.Sequential(*blocks))
            widths.append(channels)
        self.blocks = nn.Sequential(*stages)
        self.channels = tuple(widths)
        self.num_features = channels
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        initialise_convolutions(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.relu6(self.bn1(self.conv_stem(x)))  # (B, 32, H/2, W/2)
        maps = []
        for stage in self.blocks:
            x = stage(x)
            maps.append(x)
        return FeatureMaps(tuple(maps), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=(64, 128, 256, 512, 1024),
        strides=_STRIDES,
        num_parameters=4_231_976,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1704.04861",
    )
)
def mobilenet_v1(
    *, num_classes: int = 0, width: float = 1.0, padding: Padding = "symmetric", eps: float = _EPS, dropout: float = 0.0
) -> MobileNetV1:
    """MobileNet, the first of its line: what phones and browsers began with (there as `width=0.25`).

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        width: Multiplies the channels of every layer: the paper's alpha.
        padding: "same" for weights trained in TensorFlow, "symmetric" for those trained in torch.
        eps: Of batch norm; weights of timm need 1e-5.
        dropout: Share of the embedding left out in training.
    """
    return MobileNetV1(num_classes, width, padding, eps, dropout)
