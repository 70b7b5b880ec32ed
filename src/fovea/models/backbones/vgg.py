"""VGG: nothing but 3x3 convolutions and halvings, then three dense layers (Simonyan and Zisserman 2014, arXiv:1409.1556, table 1).

The dense layers stand here as what they are: a 7x7 and two 1x1 convolutions over the last map (section 3.2 of the paper). On
a picture of 224 px both readings give the same numbers; on a larger one `dense_map` gives a map of answers, whose mean is the
multi-crop answer of the paper. The tensors of the first two are those of timm (`pre_logits`), a dense layer's weights reshaped.

Where this deviates: the 16-layer configuration C, with 1x1 convolutions, is `vgg16_1x1`; A-LRN, which the paper found no better
than A, is left out.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.origins import CAFFE, Origin
from fovea.types import FeatureMaps

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_WIDTHS = (64, 128, 256, 512, 512)
_STRIDES = (2, 4, 8, 16, 32)
# The kernels of each of the five widths: table 1 of the paper, columns A to E
_A = ((3,), (3,), (3, 3), (3, 3), (3, 3))
_B = ((3, 3), (3, 3), (3, 3), (3, 3), (3, 3))
_C = ((3, 3), (3, 3), (3, 3, 1), (3, 3, 1), (3, 3, 1))
_D = ((3, 3), (3, 3), (3, 3, 3), (3, 3, 3), (3, 3, 3))
_E = ((3, 3), (3, 3), (3,) * 4, (3,) * 4, (3,) * 4)
_DENSE = 4096
_SIDE = 7  # of the last map at 224 px, for which the dense layers are made


class _Dense(nn.Module):
    """The first two dense layers, as convolutions: (B, 512, h, w) -> (B, 4096, h - 6, w - 6)."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(_WIDTHS[-1], _DENSE, _SIDE)
        self.fc2 = nn.Conv2d(_DENSE, _DENSE, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(F.relu(self.fc2(self.dropout(F.relu(self.fc1(x))))))  # type: ignore[no-any-return]


class _Head(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(_DENSE, num_classes) if num_classes else nn.Identity()


class VGG(Backbone):
    """Convolutions and halvings as a plan tells, then the dense layers as convolutions.

    Each map is taken after a halving. Smaller pictures are brought to the 7 x 7 cells of 224 px by averaging, larger ones too
    unless `dense_map` is asked.
    """

    classifier_name = "head.fc"
    embedding_parts = ("pre_logits",)
    channels = _WIDTHS
    strides = _STRIDES
    margins_px = (0,) * len(_STRIDES)  # halving rounds down
    num_features = _DENSE
    sizes_px = (32, None)
    origins = (Origin("torchvision"), Origin("keras", feeding={"bgr": True}, scaling=CAFFE))

    def __init__(self, num_classes: int, plan: tuple[tuple[int, ...], ...], *, batch_norm: bool, dropout: float, bgr: bool = False) -> None:
        super().__init__()
        self.bgr = bgr
        layers: list[nn.Module] = []
        channels = 3
        for width, kernels in zip(_WIDTHS, plan, strict=True):
            for kernel in kernels:
                layers.append(nn.Conv2d(channels, width, kernel, padding=kernel // 2))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU(inplace=True))
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pre_logits = _Dense(dropout)
        self.head = _Head(num_classes)
        _initialise(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        maps = []
        x = x.flip(1) if self.bgr else x
        for layer in self.features:
            x = layer(x)
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)  # (B, 64 to 512, H/2 to H/32, ...)
        return FeatureMaps(tuple(maps), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 512, h, w) -> (B, 4096), through the dense layers."""
        if tuple(coarsest.shape[2:]) != (_SIDE, _SIDE):
            coarsest = F.adaptive_avg_pool2d(coarsest, _SIDE)
        return self.pre_logits(coarsest).flatten(1)  # type: ignore[no-any-return]

    def dense_map(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W), 224 px or more -> logits at every place, (B, K, H/32 - 6, W/32 - 6): the network without a fixed size."""
        deep = self.pre_logits(self.forward_maps(x)[-1])
        return self.head.fc(deep.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """He's rule over outputs; the paper's own began with the weights of smaller configurations."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0, 0.01)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _info(num_parameters: int) -> BackboneInfo:
    return BackboneInfo(
        channels=_WIDTHS,
        strides=_STRIDES,
        num_parameters=num_parameters,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1409.1556",
        mean=_IMAGENET_MEAN,
        std=_IMAGENET_STD,
    )


@BACKBONES.add(_info(132_863_336))
def vgg11(*, num_classes: int = 0, batch_norm: bool = False, dropout: float = 0.5, bgr: bool = False) -> VGG:
    """VGG-11: configuration A, the shallowest.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        batch_norm: After every convolution; the paper, older than it, has none.
        dropout: Share of the dense layers' outputs left out in training.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return VGG(num_classes, _A, batch_norm=batch_norm, dropout=dropout, bgr=bgr)


@BACKBONES.add(_info(133_047_848))
def vgg13(*, num_classes: int = 0, batch_norm: bool = False, dropout: float = 0.5, bgr: bool = False) -> VGG:
    """VGG-13: configuration B.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        batch_norm: After every convolution; the paper, older than it, has none.
        dropout: Share of the dense layers' outputs left out in training.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return VGG(num_classes, _B, batch_norm=batch_norm, dropout=dropout, bgr=bgr)


@BACKBONES.add(_info(133_638_952))
def vgg16_1x1(*, num_classes: int = 0, batch_norm: bool = False, dropout: float = 0.5, bgr: bool = False) -> VGG:
    """VGG-16 with 1x1 convolutions: configuration C, which more nonlinearity alone tells from B.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        batch_norm: After every convolution; the paper, older than it, has none.
        dropout: Share of the dense layers' outputs left out in training.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return VGG(num_classes, _C, batch_norm=batch_norm, dropout=dropout, bgr=bgr)


@BACKBONES.add(_info(138_357_544))
def vgg16(*, num_classes: int = 0, batch_norm: bool = False, dropout: float = 0.5, bgr: bool = False) -> VGG:
    """VGG-16: configuration D, the one that people mean by VGG.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        batch_norm: After every convolution; the paper, older than it, has none.
        dropout: Share of the dense layers' outputs left out in training.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return VGG(num_classes, _D, batch_norm=batch_norm, dropout=dropout, bgr=bgr)


@BACKBONES.add(_info(143_667_240))
def vgg19(*, num_classes: int = 0, batch_norm: bool = False, dropout: float = 0.5, bgr: bool = False) -> VGG:
    """VGG-19: configuration E, the deepest.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        batch_norm: After every convolution; the paper, older than it, has none.
        dropout: Share of the dense layers' outputs left out in training.
        bgr: Blue comes first, as Keras Applications feeds its own weights.
    """
    return VGG(num_classes, _E, batch_norm=batch_norm, dropout=dropout, bgr=bgr)
