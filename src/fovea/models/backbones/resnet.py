"""ResNet: blocks whose output is added to their input (He et al. 2015, arXiv:1512.03385, table 1), and the plain networks beside them.

Where this deviates: the bottleneck halves in its 3x3 convolution, not in its first 1x1 (as torchvision, timm and all
published weights do; about half a point better). `variant="keras"` is the network of Keras Applications: it halves in the
first 1x1, its convolutions have biases beside batch norm, and eps is 1.001e-5. Key names are timm's, which are torchvision's.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, Passport
from fovea.models.layers.conv import conv2d
from fovea.models.origins import CAFFE, Origin, keras_order
from fovea.types import FeatureMaps

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_STRIDES = (4, 8, 16, 32)
_KERAS_EPS = 1.001e-5

Variant = Literal["torch", "keras"]


class _Basic(nn.Module):
    """Two 3x3 convolutions; without a shortcut where `plain`."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, *, plain: bool = False) -> None:
        super().__init__()
        self.conv1 = conv2d(in_channels, width, 3, stride=stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = conv2d(width, width, 3)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None if plain else _shortcut(in_channels, width, stride)
        self.last_norm = "bn2"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y if self.downsample is None else y + self.downsample(x))


class _Bottleneck(nn.Module):
    """1x1 down to `width` channels, 3x3 there, 1x1 up to four times as many."""

    expansion = 4

    # the shortcut is as near to the sum as the third convolution, and Keras names it first
    keras_order = keras_order(("downsample.0",), ("conv1", "conv2", "conv3")) + keras_order(("downsample.1",), ("bn1", "bn2", "bn3"))

    def __init__(self, in_channels: int, width: int, stride: int, variant: Variant) -> None:
        super().__init__()
        keras = variant == "keras"
        eps = _KERAS_EPS if keras else 1e-5
        self.conv1 = conv2d(in_channels, width, 1, stride=stride if keras else 1, bias=keras)
        self.bn1 = nn.BatchNorm2d(width, eps=eps)
        self.conv2 = conv2d(width, width, 3, stride=1 if keras else stride, bias=keras)
        self.bn2 = nn.BatchNorm2d(width, eps=eps)
        self.conv3 = conv2d(width, width * self.expansion, 1, bias=keras)
        self.bn3 = nn.BatchNorm2d(width * self.expansion, eps=eps)
        self.downsample = _shortcut(in_channels, width * self.expansion, stride, bias=keras, eps=eps)
        self.last_norm = "bn3"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _shortcut(in_channels: int, out_channels: int, stride: int, *, bias: bool = False, eps: float = 1e-5) -> nn.Module:
    """The input as it is, or projected by 1x1 where the block changes its shape (option B of the paper)."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    return nn.Sequential(conv2d(in_channels, out_channels, 1, stride=stride, bias=bias), nn.BatchNorm2d(out_channels, eps=eps))


_ORIGINS = (Origin("keras", options={"variant": "keras"}, feeding={"bgr": True}, scaling=CAFFE),)


class ResNet(Backbone):
    classifier_name = "fc"
    strides = _STRIDES

    def __init__(
        self,
        num_classes: int,
        block: type[_Basic] | type[_Bottleneck],
        depths: tuple[int, int, int, int],
        *,
        zero_init: bool,
        plain: bool = False,
        variant: Variant = "torch",
        bgr: bool = False,
    ) -> None:
        super().__init__()
        self.bgr = bgr
        if block is _Bottleneck:
            self.origins = _ORIGINS
        self.conv1 = conv2d(3, 64, 7, stride=2, bias=variant == "keras")
        self.bn1 = nn.BatchNorm2d(64, eps=_KERAS_EPS if variant == "keras" else 1e-5)
        stages, channels = [], 64
        for stage, depth in enumerate(depths):
            blocks = []
            for index in range(depth):
                width, stride = 64 * 2**stage, 2 if stage and index == 0 else 1
                blocks.append(
                    _Basic(channels, width, stride, plain=plain) if block is _Basic else _Bottleneck(channels, width, stride, variant)
                )
                channels = width * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.num_features = channels
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        self.channels = tuple(64 * 2**stage * block.expansion for stage in range(4))
        _initialise(self, zero_init)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.relu(self.bn1(self.conv1(x.flip(1) if self.bgr else x)))  # (B, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, 1)  # (B, 64, H/4, W/4)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return FeatureMaps(tuple(maps), self.strides)


def _initialise(module: nn.Module, zero_init: bool) -> None:
    """Convolutions by He's rule over outputs; the classifier as torch does; the last batch norm of a block zero where asked."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif zero_init and isinstance(layer, _Basic | _Bottleneck):
            nn.init.zeros_(layer.get_submodule(layer.last_norm).weight)  # type: ignore[arg-type]


def _a1(name: str, sha256: str, revision: str | None, num_bytes: int | None) -> Passport:
    """The passport of a `timm/NAME.a1_in1k` checkpoint (recipe A1 of "ResNet strikes back").

    Preprocessing: timm 1.0.31, `models/resnet.py`, `_rcfg`. Digest and revision: see the calls.
    """
    return Passport(
        name=f"{name}.a1_in1k",
        sha256=sha256,
        licence="Apache-2.0",
        trained_on="ImageNet-1k (1,281,167 photos, 1,000 classes)",
        image_size_px=224,
        score="not measured here; its page on the hub gives the authors' figure (recipe: arXiv:2110.00476)",
        classes="imagenet_1k",
        crop_fraction=0.95,
        interpolation="bicubic",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        repo=f"timm/{name}.a1_in1k",
        revision=revision,
        num_bytes=num_bytes,
    )


def _info(channels: tuple[int, ...], num_parameters: int, *passports: Passport) -> BackboneInfo:
    return BackboneInfo(
        channels=channels,
        strides=_STRIDES,
        num_parameters=num_parameters,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1512.03385",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
        passports=passports,
    )


# The digests were quoted alike by at least two public repositories each, but for resnet34 by one (ferrotorch-hub's
# registry, whose other digests are those that the others quote) and without a revision, which stays open.
_RESNET18 = _a1(
    "resnet18",
    "80c49dee3da4822c009c5a7fe591e9223c5a2cfcf95a4067ca4dfb5a7b89c612",
    "491b427b45c94c7fb0e78b5474cc919aff584bbf",
    46_807_446,
)
_RESNET34 = _a1("resnet34", "829a220f9529d2b1ffdc8719d3273463001e0daf411eaf1916865d9db62c0ed2", None, None)
_RESNET50 = _a1(
    "resnet50",
    "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
    "767268603ca0cb0bfe326fa87277f19c419566ef",
    102_469_840,
)


@BACKBONES.add(_info((64, 128, 256, 512), 11_689_512, _RESNET18))
def resnet18(*, num_classes: int = 0, zero_init: bool = True) -> ResNet:
    """ResNet-18: the standard small network of research, with basic blocks 2-2-2-2.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        zero_init: Each block starts as its shortcut alone, which steadies training from nothing (arXiv:1706.02677).
    """
    return ResNet(num_classes, _Basic, (2, 2, 2, 2), zero_init=zero_init)


@BACKBONES.add(_info((64, 128, 256, 512), 21_797_672, _RESNET34))
def resnet34(*, num_classes: int = 0, zero_init: bool = True) -> ResNet:
    """ResNet-34: basic blocks 3-4-6-3.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        zero_init: Each block starts as its shortcut alone, which steadies training from nothing (arXiv:1706.02677).
    """
    return ResNet(num_classes, _Basic, (3, 4, 6, 3), zero_init=zero_init)


@BACKBONES.add(_info((256, 512, 1024, 2048), 25_557_032, _RESNET50))
def resnet50(*, num_classes: int = 0, zero_init: bool = True, variant: Variant = "torch", bgr: bool = False) -> ResNet:
    """ResNet-50: bottleneck blocks 3-4-6-3, the reference against which others are compared.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        zero_init: Each block starts as its shortcut alone, which steadies training from nothing (arXiv:1706.02677).
        variant: "keras" for weights of Keras Applications.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return ResNet(num_classes, _Bottleneck, (3, 4, 6, 3), zero_init=zero_init, variant=variant, bgr=bgr)


@BACKBONES.add(_info((256, 512, 1024, 2048), 44_549_160))
def resnet101(*, num_classes: int = 0, zero_init: bool = True, variant: Variant = "torch", bgr: bool = False) -> ResNet:
    """ResNet-101: bottleneck blocks 3-4-23-3.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        zero_init: Each block starts as its shortcut alone, which steadies training from nothing (arXiv:1706.02677).
        variant: "keras" for weights of Keras Applications.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return ResNet(num_classes, _Bottleneck, (3, 4, 23, 3), zero_init=zero_init, variant=variant, bgr=bgr)


@BACKBONES.add(_info((256, 512, 1024, 2048), 60_192_808))
def resnet152(*, num_classes: int = 0, zero_init: bool = True, variant: Variant = "torch", bgr: bool = False) -> ResNet:
    """ResNet-152: bottleneck blocks 3-8-36-3, the deepest of the paper.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        zero_init: Each block starts as its shortcut alone, which steadies training from nothing (arXiv:1706.02677).
        variant: "keras" for weights of Keras Applications.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return ResNet(num_classes, _Bottleneck, (3, 8, 36, 3), zero_init=zero_init, variant=variant, bgr=bgr)


@BACKBONES.add(_info((64, 128, 256, 512), 11_515_688))
def plain18(*, num_classes: int = 0) -> ResNet:
    """Plain 18 layers: ResNet-18 without its shortcuts, to compare with.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
    """
    return ResNet(num_classes, _Basic, (2, 2, 2, 2), zero_init=False, plain=True)


@BACKBONES.add(_info((64, 128, 256, 512), 21_623_848))
def plain34(*, num_classes: int = 0) -> ResNet:
    """Plain 34 layers: ResNet-34 without its shortcuts, which learns worse than 18 (degradation, figure 4 of the paper).

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
    """
    return ResNet(num_classes, _Basic, (3, 4, 6, 3), zero_init=False, plain=True)
