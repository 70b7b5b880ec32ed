"""Slanted pictures."""

import math
from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FilledGeometry, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import SizePx, Warp, about_centre


def _slant(slope: float) -> float:
    """The papers give the slope; the angle of it in parts of a turn."""
    return math.atan(slope) / (2 * math.pi)


_TABLE = (
    Strength("shear_x", lambda slope: Shear(x_range=(_slant(slope), _slant(slope)), y_range=(0, 0)), rand=0.3, trivial=0.99, signed=True),
    Strength("shear_y", lambda slope: Shear(x_range=(0, 0), y_range=(_slant(slope), _slant(slope))), rand=0.3, trivial=0.99, signed=True),
)


@OPS.add(OpInfo("geometry", source="Keras ImageDataGenerator's shear_range", strengths=_TABLE), name="shear")
@dataclass(frozen=True, kw_only=True)
class Shear(FilledGeometry):
    """Slants the picture about its centre: rows slide along each other, or columns.

    Args:
        x_range: The angle by which upright lines lean, in parts of a turn: rows slide.
        y_range: The angle by which level lines lean: columns slide.
    """

    num_draws = 2

    x_range: Range = limited((-1 / 36, 1 / 36), low=-0.2, high=0.2, unit="of a turn")
    y_range: Range = limited((0.0, 0.0), low=-0.2, high=0.2, unit="of a turn")

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        across, down = (math.tan(2 * math.pi * pick(bounds, lot)) for bounds, lot in zip((self.x_range, self.y_range), lots, strict=True))
        return Warp(about_centre(1.0, across, down, 1.0, size_px), size_px, self.filling)
