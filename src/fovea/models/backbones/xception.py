"""Xception: Inception taken to its end, every convolution separable (Chollet 2016, arXiv:1610.02357, figure 5).

Key names are timm's (`legacy_xception`). As in the paper's own code (Keras): no relu between the two halves of a separable
convolution, batch norm with eps 0.001, and the two convolutions of the stem unpadded. `padding="same"` pads as TensorFlow
does where a stride halves the map, which weights that were trained there need; timm's port has eps 1e-5.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import Padding, conv2d, initialise_convolutions
from fovea.models.origins import HALVES, Origin
from fovea.types import FeatureMaps

_EPS = 0.001


class _Separable(nn.Module):
    """Depthwise 3x3, then 1x1: nothing between."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = conv2d(in_channels, in_channels, 3, groups=in_channels)
        self.pointwise = conv2d(in_channels, out_channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.pointwise(self.conv1(x))  # type: ignore[no-any-return]


class _Block(nn.Module):
    """Separable convolutions with relu before each, halved by max pooling where asked, added to the (projected) input."""

    def __init__(self, in_channels: int, widths: tuple[int, ...], *, halve: bool, relu_first: bool, padding: Padding, eps: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for index, width in enumerate(widths):
            layers += [nn.ReLU()] if index or relu_first else []
            layers += [_Separable(channels, width), nn.BatchNorm2d(width, eps=eps)]
            channels = width
        self.rep = nn.Sequential(*layers)
        self.halve, self.padding = halve, padding
        if halve:
            self.skip: nn.Module = conv2d(in_channels, channels, 1, stride=2)
            self.skipbn: nn.Module = nn.BatchNorm2d(channels, eps=eps)
        else:
            self.skip = self.skipbn = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.rep(x)
        if self.halve:
            y = _halved(y, self.padding)
        return y + self.skipbn(self.skip(x))  # type: ignore[no-any-return]


def _halved(x: torch.Tensor, padding: Padding) -> torch.Tensor:
    """Max pooling 3x3 at stride 2, a side rounded up; "same" puts the odd pixel to the right and bottom."""
    if padding == "symmetric":
        return F.max_pool2d(x, 3, 2, 1)
    pads = []
    for n in (int(x.shape[3]), int(x.shape[2])):
        total = max((-(-n // 2) - 1) * 2 + 3 - n, 0)
        pads += [total // 2, total - total // 2]
    return F.max_pool2d(F.pad(x, pads, value=float("-inf")), 3, 2)


class Xception(Backbone):
    classifier_name = "fc"
    channels = (64, 128, 256, 728, 2048)
    strides = (2, 4, 8, 16, 32)
    margins_px = (5, 3, -1, -9, -25)  # an unpadded stem, then halvings that round up
    num_features = 2048
    origins = (Origin("keras", options={"padding": "same", "eps": _EPS}, scaling=HALVES), Origin("timm", options={"eps": 1e-5}))

    def __init__(self, num_classes: int, padding: Padding, eps: float, dropout: float) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 32, 3, 2, bias=False), nn.BatchNorm2d(32, eps=eps)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, bias=False), nn.BatchNorm2d(64, eps=eps)
        self.block1 = _Block(64, (128, 128), halve=True, relu_first=False, padding=padding, eps=eps)
        self.block2 = _Block(128, (256, 256), halve=True, relu_first=True, padding=padding, eps=eps)
        self.block3 = _Block(256, (728, 728), halve=True, relu_first=True, padding=padding, eps=eps)
        for number in range(4, 12):
            self.add_module(f"block{number}", _Block(728, (728, 728, 728), halve=False, relu_first=True, padding=padding, eps=eps))
        self.block12 = _Block(728, (728, 1024), halve=True, relu_first=True, padding=padding, eps=eps)
        self.conv3, self.bn3 = _Separable(1024, 1536), nn.BatchNorm2d(1536, eps=eps)
        self.conv4, self.bn4 = _Separable(1536, 2048), nn.BatchNorm2d(2048, eps=eps)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes) if num_classes else nn.Identity()
        initialise_convolutions(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = F.relu(self.bn1(self.conv1(x)))
        first = F.relu(self.bn2(self.conv2(x)))  # (B, 64, (H - 5) / 2, ...)
        second = self.block1(first)
        third = self.block2(second)
        x = self.block3(third)
        for number in range(4, 12):
            x = self.get_submodule(f"block{number}")(x)
        last = F.relu(self.bn3(self.conv3(self.block12(x))))
        last = F.relu(self.bn4(self.conv4(last)))
        return FeatureMaps((first, second, third, x, last), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 2048, h, w) -> (B, 2048): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=Xception.channels,
        strides=Xception.strides,
        num_parameters=22_855_952,
        image_size_px=299,
        smallest_input_px=71,
        source="arXiv:1610.02357",
    )
)
def xception(*, num_classes: int = 0, padding: Padding = "symmetric", eps: float = _EPS, dropout: float = 0.0) -> Xception:
    """Xception: the texts' backbone for transfer from ImageNet.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        padding: "same" for weights trained in TensorFlow.
        eps: Of batch norm; weights of timm need 1e-5.
        dropout: Share of the embedding left out in training; the paper has 0.5.
    """
    return Xception(num_classes, padding, eps, dropout)
