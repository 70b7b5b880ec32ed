"""Convolution with either of the two paddings that published weights were trained with."""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

Padding = Literal["symmetric", "same"]


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
