"""Inception v3: large windows factored into small and thin ones (Szegedy et al. 2015, arXiv:1512.00567, table 1, figures 5 to 7).

Key names are torchvision's, which are timm's. Every convolution is followed by batch norm (eps 0.001) and relu.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import ConvReLU, initialise_convolutions, without_scale
from fovea.models.origins import HALVES, Origin, keras_order
from fovea.types import FeatureMaps


def _cat(*maps: torch.Tensor) -> torch.Tensor:
    return torch.cat(maps, 1)


class _Pooled(nn.Module):
    """The mean of 3x3 neighbours. At the rim torch counts what lies outside as zeros, TensorFlow not at all."""

    def __init__(self, count_outside: bool) -> None:
        super().__init__()
        self.count_outside = count_outside

    def extra_repr(self) -> str:
        """Said, since the hash of the weights reads what a layer says of itself."""
        return f"count_outside={self.count_outside}"

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, 3, 1, 1, count_include_pad=self.count_outside)


class _MixedA(nn.Module):
    """35 x 35 cells: 1x1 | 5x5 | two 3x3 | pooled."""

    keras_order = keras_order(
        ("branch1x1",), ("branch5x5_1", "branch5x5_2"), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"), ("branch_pool",)
    )

    def __init__(self, in_channels: int, pooled: int, count_outside: bool) -> None:
        super().__init__()
        self.branch1x1 = ConvReLU(in_channels, 64, 1)
        self.branch5x5_1, self.branch5x5_2 = ConvReLU(in_channels, 48, 1), ConvReLU(48, 64, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2, self.branch3x3dbl_3 = (
            ConvReLU(in_channels, 64, 1),
            ConvReLU(64, 96, 3),
            ConvReLU(96, 96, 3),
        )
        self.pool, self.branch_pool = _Pooled(count_outside), ConvReLU(in_channels, pooled, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return _cat(self.branch1x1(x), self.branch5x5_2(self.branch5x5_1(x)), double, self.branch_pool(self.pool(x)))


class _ReductionA(nn.Module):
    """35 to 17 cells: 3x3 | two 3x3 | max."""

    keras_order = keras_order(("branch3x3",), ("branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"))

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.branch3x3 = ConvReLU(in_channels, 384, 3, stride=2, same=False)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvReLU(in_channels, 64, 1), ConvReLU(64, 96, 3)
        self.branch3x3dbl_3 = ConvReLU(96, 96, 3, stride=2, same=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _cat(self.branch3x3(x), self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))), F.max_pool2d(x, 3, 2))


class _MixedB(nn.Module):
    """17 x 17 cells: 1x1 | 1x7, 7x1 | twice that | pooled."""

    keras_order = keras_order(
        ("branch1x1",),
        ("branch7x7_1", "branch7x7_2", "branch7x7_3"),
        tuple(f"branch7x7dbl_{number}" for number in range(1, 6)),
        ("branch_pool",),
    )

    def __init__(self, width: int, count_outside: bool) -> None:
        super().__init__()
        self.branch1x1 = ConvReLU(768, 192, 1)
        self.branch7x7_1, self.branch7x7_2, self.branch7x7_3 = (
            ConvReLU(768, width, 1),
            ConvReLU(width, width, (1, 7)),
            ConvReLU(width, 192, (7, 1)),
        )
        self.branch7x7dbl_1, self.branch7x7dbl_2 = ConvReLU(768, width, 1), ConvReLU(width, width, (7, 1))
        self.branch7x7dbl_3, self.branch7x7dbl_4 = ConvReLU(width, width, (1, 7)), ConvReLU(width, width, (7, 1))
        self.branch7x7dbl_5 = ConvReLU(width, 192, (1, 7))
        self.pool, self.branch_pool = _Pooled(count_outside), ConvReLU(768, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))))
        return _cat(self.branch1x1(x), once, twice, self.branch_pool(self.pool(x)))


class _ReductionB(nn.Module):
    """17 to 8 cells: 3x3 | 1x7, 7x1, 3x3 | max."""

    keras_order = keras_order(("branch3x3_1", "branch3x3_2"), tuple(f"branch7x7x3_{number}" for number in range(1, 5)))

    def __init__(self) -> None:
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = ConvReLU(768, 192, 1), ConvReLU(192, 320, 3, stride=2, same=False)
        self.branch7x7x3_1, self.branch7x7x3_2, self.branch7x7x3_3 = (
            ConvReLU(768, 192, 1),
            ConvReLU(192, 192, (1, 7)),
            ConvReLU(192, 192, (7, 1)),
        )
        self.branch7x7x3_4 = ConvReLU(192, 192, 3, stride=2, same=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return _cat(self.branch3x3_2(self.branch3x3_1(x)), long, F.max_pool2d(x, 3, 2))


class _MixedC(nn.Module):
    """8 x 8 cells: 1x1 | 1x3 beside 3x1 | 3x3, then 1x3 beside 3x1 | pooled."""

    # the forks meet before the branches do
    keras_order = (
        *keras_order(("branch3x3_1",), ("branch3x3dbl_1", "branch3x3dbl_2")),
        *("branch3x3_2a", "branch3x3_2b", "branch3x3dbl_3a", "branch3x3dbl_3b", "branch1x1", "branch_pool"),
    )

    def __init__(self, in_channels: int, count_outside: bool) -> None:
        super().__init__()
        self.branch1x1 = ConvReLU(in_channels, 320, 1)
        self.branch3x3_1 = ConvReLU(in_channels, 384, 1)
        self.branch3x3_2a, self.branch3x3_2b = ConvReLU(384, 384, (1, 3)), ConvReLU(384, 384, (3, 1))
        self.branch3x3dbl_1, self.branch3x3dbl_2 = ConvReLU(in_channels, 448, 1), ConvReLU(448, 384, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = ConvReLU(384, 384, (1, 3)), ConvReLU(384, 384, (3, 1))
        self.pool, self.branch_pool = _Pooled(count_outside), ConvReLU(in_channels, 192, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.branch3x3_1(x)
        z = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        forked = (self.branch3x3_2a(y), self.branch3x3_2b(y), self.branch3x3dbl_3a(z), self.branch3x3dbl_3b(z))
        return _cat(self.branch1x1(x), *forked, self.branch_pool(self.pool(x)))


class InceptionV3(Backbone):
    classifier_name = "fc"
    channels = (64, 192, 288, 768, 2048)
    strides = (2, 4, 8, 16, 32)
    margins_px = (5, 15, 19, 27, 43)
    num_features = 2048
    sizes_px = (75, None)
    origins = (
        Origin("torchvision", auxiliary=("AuxLogits.",)),
        Origin("keras", options={"count_outside": False}, gamma=False, scaling=HALVES),
    )

    def __init__(self, num_classes: int, dropout: float, count_outside: bool, norm_scale: bool) -> None:
        super().__init__()
        self.Conv2d_1a_3x3 = ConvReLU(3, 32, 3, stride=2, same=False)
        self.Conv2d_2a_3x3 = ConvReLU(32, 32, 3, same=False)
        self.Conv2d_2b_3x3 = ConvReLU(32, 64, 3)
        self.Conv2d_3b_1x1 = ConvReLU(64, 80, 1)
        self.Conv2d_4a_3x3 = ConvReLU(80, 192, 3, same=False)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = (_MixedA(n, p, count_outside) for n, p in ((192, 32), (256, 64), (288, 64)))
        self.Mixed_6a = _ReductionA(288)
        self.Mixed_6b, self.Mixed_6c, self.Mixed_6d, self.Mixed_6e = (_MixedB(width, count_outside) for width in (128, 160, 160, 192))
        self.Mixed_7a = _ReductionB()
        self.Mixed_7b, self.Mixed_7c = (_MixedC(channels, count_outside) for channels in (1280, 2048))
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(2048, num_classes) if num_classes else nn.Identity()
        initialise_convolutions(self)
        if not norm_scale:
            without_scale(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        first = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))  # (B, 64, (H - 5) / 2, ...)
        second = self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(F.max_pool2d(first, 3, 2)))  # (B, 192, (H - 15) / 4, ...)
        third = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(F.max_pool2d(second, 3, 2))))  # (B, 288, (H - 19) / 8, ...)
        fourth = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(third)))))  # (B, 768, (H - 27) / 16, ...)
        last = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(fourth)))  # (B, 2048, (H - 43) / 32, ...)
        return FeatureMaps((first, second, third, fourth, last), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 2048, h, w) -> (B, 2048): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=InceptionV3.channels,
        strides=InceptionV3.strides,
        num_parameters=23_834_568,
        image_size_px=299,
        smallest_input_px=75,
        source="arXiv:1512.00567",
    )
)
def inception_v3(*, num_classes: int = 0, dropout: float = 0.5, count_outside: bool = True, norm_scale: bool = True) -> InceptionV3:
    """Inception v3: windows of many sizes and shapes side by side; made for 299 px.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        dropout: Share of the embedding left out in training.
        count_outside: Whether poolings count what lies outside as zeros, as torch does; False for weights of TensorFlow.
        norm_scale: Whether batch norm learns a scale, as in torch; without, the network is Keras's, number for number.
    """
    return InceptionV3(num_classes, dropout, count_outside, norm_scale)
