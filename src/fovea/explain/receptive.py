"""What a cell of a feature map sees of the picture, measured by gradients: how far at all, and how far with weight."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from fovea.models.backbone import Backbone


@dataclass(frozen=True)
class Field:
    """What the middle cell of one map sees, along the rows; the mean over columns is taken where they differ.

    Args:
        stride: Of the map.
        support_px: From the first to the last pixel whose gradient is not zero: the theoretical receptive field.
        effective_px: Two standard deviations of the mass of squared gradients to each side of its middle, in all four: where
            95 % of it would lie if it were a Gaussian (Luo et al. 2016, arXiv:1701.04128).
        kurtosis: Of that mass: 3 for a Gaussian, 1.8 for a window that looks everywhere alike.
        whole: Whether the field ends within the picture; else the true one is larger.
        cell: Which one along a side was looked from.
        mass: (H, W) float64, squared gradients added up over channels and pictures.
    """

    stride: int
    support_px: int
    effective_px: float
    kurtosis: float
    whole: bool
    cell: int
    mass: npt.NDArray[np.float64] = field(repr=False, compare=False)


def measure_fields(backbone: Backbone, *, side_px: int, num_pictures: int = 2, seed: int = 0) -> list[Field]:
    """For each map, from the gradients of its middle cell over pictures of noise; the backbone is left as it was found.

    Double precision: at the rim of a deep network's field gradients are smaller than what single precision can tell from zero.

    Args:
        backbone: With any weights; the effective width is theirs.
        side_px: Of the pictures, larger than the largest field.
        num_pictures: Over which what is seen is added up, since relu and maxima hide some of it in each.
        seed: Of the pictures.
    """
    modes = [(part, part.training) for part in backbone.modules()]
    kind = next(backbone.parameters()).dtype
    generator = torch.Generator().manual_seed(seed)
    backbone.eval().double()
    try:
        x = torch.randn(num_pictures, 3, side_px, side_px, generator=generator, dtype=torch.float64)
        x = x.to(memory_format=torch.channels_last).requires_grad_()
        maps = backbone.forward_maps(x)
        fields = []
        for feature, stride in zip(maps.maps, maps.strides, strict=True):
            middle = feature[:, :, feature.shape[2] // 2, feature.shape[3] // 2]
            # a direction by chance: the sum over channels alone is zero behind a layer norm
            direction = torch.randn(middle.shape, generator=generator, dtype=torch.float64)
            (gradient,) = torch.autograd.grad((middle * direction).sum(), x, retain_graph=True)
            fields.append(_field(gradient.square().sum(dim=(0, 1)).numpy(), stride, feature.shape[2] // 2))
        return fields
    finally:
        backbone.to(kind)
        for part, training in modes:
            part.training = training


def _field(mass: npt.NDArray[np.float64], stride: int, cell: int) -> Field:
    """From squared gradients (H, W)."""
    rows = mass.sum(axis=1)
    seen = np.flatnonzero(rows)
    places = np.arange(len(rows))
    share = rows / rows.sum()
    middle = (share * places).sum()
    variance = (share * (places - middle) ** 2).sum()
    fourth = (share * (places - middle) ** 4).sum()
    return Field(
        stride=stride,
        support_px=int(seen[-1] - seen[0] + 1),
        effective_px=float(4 * np.sqrt(variance)),
        kurtosis=float(fourth / variance**2) if variance else 1.0,
        whole=bool(seen[0] > 0 and seen[-1] < len(rows) - 1),
        cell=cell,
        mass=mass,
    )
