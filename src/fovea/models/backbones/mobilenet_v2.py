"""MobileNetV2: inverted residuals with linear bottlenecks (Sandler et al. 2018, arXiv:1801.04381, table 2).

Key names are timm's (`mobilenetv2_100`), so that hub checkpoints load without a map.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, Passport
from fovea.models.layers.conv import Padding, conv2d, round_to_8
from fovea.models.origins import HALVES, IMAGENET, Origin
from fovea.types import FeatureMaps

# expansion, channels, repeats, stride of the first: table 2 of the paper
Stages = tuple[tuple[int, int, int, int], ...]
_STAGES: Stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
_LAST_OF_STRIDE = (1, 2, 4)  # stages whose output is the last at strides 4, 8 and 16; the head's map comes behind them


class _Separable(nn.Module):
    """The first block: depthwise 3x3, then a linear 1x1."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, padding: Padding, eps: float) -> None:
        super().__init__()
        self.conv_dw = conv2d(in_channels, in_channels, 3, stride=stride, groups=in_channels, padding=padding)
        self.bn1 = nn.BatchNorm2d(in_channels, eps=eps)
        self.conv_pw = conv2d(in_channels, out_channels, 1)
        self.bn2 = nn.BatchNorm2d(out_channels, eps=eps)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu6(self.bn1(self.conv_dw(x)))
        return self.bn2(self.conv_pw(y))  # type: ignore[no-any-return]


class _InvertedResidual(nn.Module):
    """Widen by 1x1, filter each channel by 3x3, narrow by a linear 1x1; added to the input where the shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, expansion: int, stride: int, padding: Padding, eps: float) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.conv_pw = conv2d(in_channels, wide, 1)
        self.bn1 = nn.BatchNorm2d(wide, eps=eps)
        self.conv_dw = conv2d(wide, wide, 3, stride=stride, groups=wide, padding=padding)
        self.bn2 = nn.BatchNorm2d(wide, eps=eps)
        self.conv_pwl = conv2d(wide, out_channels, 1)
        self.bn3 = nn.BatchNorm2d(out_channels, eps=eps)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu6(self.bn1(self.conv_pw(x)))
        y = F.relu6(self.bn2(self.conv_dw(y)))
        y = self.bn3(self.conv_pwl(y))
        return x + y if self.residual else y  # type: ignore[no-any-return]


class MobileNetV2(Backbone):
    classifier_name = "classifier"
    origins: tuple[Origin, ...] = (
        Origin("torchvision", scaling=IMAGENET),
        Origin("keras", options={"padding": "same", "eps": 1e-3}, scaling=HALVES),
    )

    def __init__(self, num_classes: int, stages: Stages, *, stem: int, num_features: int, padding: Padding, eps: float) -> None:
        super().__init__()
        channels = stem
        self.conv_stem = conv2d(3, channels, 3, stride=2, padding=padding)
        self.bn1 = nn.BatchNorm2d(channels, eps=eps)
        parts, last, shrunk = [], dict[int, tuple[int, int]](), 2
        for index, (expansion, out, repeats, stride) in enumerate(stages):
            blocks = []
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(
                    _Separable(channels, out, step, padding, eps)
                    if expansion == 1
                    else _InvertedResidual(channels, out, expansion, step, padding, eps)
                )
                channels = out
            parts.append(nn.Sequential(*blocks))
            shrunk *= stride
            last[index] = (out, shrunk)
        self.blocks = nn.Sequential(*parts)
        self.num_features = num_features
        self.conv_head = conv2d(channels, self.num_features, 1)
        self.bn2 = nn.BatchNorm2d(self.num_features, eps=eps)
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.channels = (*(last[i][0] for i in _LAST_OF_STRIDE), self.num_features)
        self.strides = (*(last[i][1] for i in _LAST_OF_STRIDE), shrunk)
        _initialise(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.relu6(self.bn1(self.conv_stem(x)))  # (B, 32, H/2, W/2)
        maps = []
        for index, stage in enumerate(self.blocks):
            x = stage(x)
            if index in _LAST_OF_STRIDE:
                maps.append(x)
        maps.append(F.relu6(self.bn2(self.conv_head(x))))  # (B, 1280, H/32, W/32)
        return FeatureMaps(tuple(maps), self.strides)


def _initialise(module: nn.Module) -> None:
    """Convolutions by He's rule over outputs (as the authors' and timm's), dense layers small, batch norm as identity."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            fan_out = layer.kernel_size[0] * layer.kernel_size[1] * layer.out_channels // layer.groups
            nn.init.normal_(layer.weight, 0, (2 / fan_out) ** 0.5)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01)
            nn.init.zeros_(layer.bias)


# Revision, digest, size and preprocessing: D-Robotics/rdk_model_zoo, utils/tools/mobilenet/checkpoints.json (the digest
# also in ferrotorch-hub's registry).
_TIMM = Passport(
    name="mobilenetv2_100.ra_in1k",
    sha256="55ea4fb3a96010b933710ebf44fc965b070d5cd054d3f35e44f2d1320b4a714e",
    licence="Apache-2.0",
    trained_on="ImageNet-1k (1,281,167 photos, 1,000 classes)",
    image_size_px=224,
    score="not measured here; its page on the hub gives the authors' figure",
    classes="imagenet_1k",
    interpolation="bicubic",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    repo="timm/mobilenetv2_100.ra_in1k",
    revision="5afa12513b048c79b9147a5d210e9bdc50035481",
    num_bytes=14_184_144,
)

# google-coral/test_data, tf2_mobilenet_v2_1.0_224_ptq.tflite, dequantised to float16 with timm's key names: on no hub.
# With symmetric padding it loses 9 points.
_CORAL = Passport(
    name="imagenet (google-coral)",
    sha256="c18db6a8a64b5567662c38f254e9327fed04b3b424d8cd6710cf8b4d885d63db",
    licence="Apache-2.0",
    trained_on="ImageNet-1k (1,281,167 photos, 1,000 classes)",
    image_size_px=224,
    score="85.6 % top-1 on one photo of each ImageNet class (short side 256 px, n = 1,000), some of which may be training photos",
    classes="imagenet_1k",
    options={"padding": "same"},
    mean=(0.5, 0.5, 0.5),
    std=(0.5, 0.5, 0.5),
    golden=(
        0.86395,
        -0.22402,
        -0.91206,
        -0.63556,
        0.0853,
        0.01932,
        0.6804,
        -0.05129,
        0.08606,
        1.87332,
        0.78065,
        -0.20567,
        -0.73743,
        0.5357,
        0.63149,
        -0.34706,
    ),
)


@BACKBONES.add(
    BackboneInfo(
        channels=(24, 32, 96, 1280),
        strides=(4, 8, 16, 32),
        num_parameters=3_504_872,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1801.04381",
        passports=(_TIMM, _CORAL),
    )
)
def mobilenet_v2(*, num_classes: int = 0, width: float = 1.0, padding: Padding = "symmetric", eps: float = 1e-5) -> MobileNetV2:
    """MobileNetV2 for phones: small, fast on a CPU, and a strong source of embeddings.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        width: Multiplies the channels of every layer but the last.
        padding: "same" for weights trained in TensorFlow, "symmetric" for those trained in torch.
        eps: Of batch norm; weights of Keras need 1e-3.
    """
    return MobileNetV2(
        num_classes,
        tuple((expansion, round_to_8(channels * width), repeats, stride) for expansion, channels, repeats, stride in _STAGES),
        stem=round_to_8(32 * width),
        num_features=round_to_8(1280 * max(1.0, width)),  # the paper never narrows the last layer
        padding=padding,
        eps=eps,
    )
