"""What several networks share of their convolutions: paddings, batch norm and relu behind them, widths, first weights."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

Padding = Literal["symmetric", "same"]
Kernel = int | tuple[int, int]  # height and width


class Conv2dSame(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": the odd pixel goes to the right and bottom.

    Weights trained there lose accuracy under symmetric padding at stride 2, since every map is shifted by a pixel.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # int(): an exported graph has a fixed height and width, and pads known beforehand fold into the convolution;
        # computed at run time they cost a factor of two to three.
        pads = []
        for n, k, s, d in zip(
            (int(x.shape[3]), int(x.shape[2])), self.kernel_size[::-1], self.stride[::-1], self.dilation[::-1], strict=True
        ):
            total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    bias: bool = False,
    padding: Padding = "symmetric",
) -> nn.Conv2d:
    """A square convolution whose output is the input divided by the stride, rounded up."""
    if padding == "same" and stride > 1:  # at stride 1 the two paddings are one
        return Conv2dSame(in_channels, out_channels, kernel, stride, groups=groups, bias=bias)
    return nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2, groups=groups, bias=bias)


class ConvReLU(nn.Module):
    """A convolution, batch norm where there is any, relu: the brick of the Inception family, under its key names.

    Args:
        in_channels, out_channels: Of the convolution.
        kernel: A side, or height and width.
        stride: 1 or more.
        same: Padded, so that the output is the input divided by the stride, rounded up; else unpadded.
        batch_norm: Else the convolution has a bias.
        eps: Of batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: Kernel,
        *,
        stride: int = 1,
        same: bool = True,
        batch_norm: bool = True,
        eps: float = 0.001,
    ) -> None:
        super().__init__()
        sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (sides[0] // 2, sides[1] // 2) if same else (0, 0)
        self.conv = nn.Conv2d(in_channels, out_channels, sides, stride, padding, bias=not batch_norm)
        self.bn = nn.BatchNorm2d(out_channels, eps=eps) if batch_norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)))


def round_to_8(channels: float) -> int:
    """The nearest multiple of 8 that is at least 90 % of `channels` (the rule of MobileNet's authors for widths)."""
    rounded = max(8, int(channels + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * channels else rounded


def initialise_convolutions(module: nn.Module) -> None:
    """He's rule over outputs (arXiv:1502.01852), and no bias."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def without_scale(module: nn.Module) -> None:
    """Batch norm that shifts and does not scale: its weight is a fixed one, no parameter, and keeps its name among the tensors."""
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            del layer.weight
            layer.register_buffer("weight", torch.ones(layer.num_features))
