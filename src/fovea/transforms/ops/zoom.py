"""Pictures seen from nearer or farther."""

from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FilledGeometry, Lots, OpInfo, Range, pick
from fovea.transforms.steps import SizePx, Warp, about_centre


@OPS.add(OpInfo("geometry", source="Keras RandomZoom, ImageDataGenerator's zoom_range"), name="zoom")
@dataclass(frozen=True, kw_only=True)
class Zoom(FilledGeometry):
    """Shows a smaller part of the picture, or more than the picture, about its centre.

    Args:
        part_range: The part of each side that is seen: at 0.8 things grow by a quarter, at 1.2 a sixth of each side is fill.
        keep_proportions: Whether both sides have the same part (Keras's layer), or each its own (its ImageDataGenerator).
    """

    num_draws = 2

    part_range: Range = limited((0.8, 1.2), low=0.05, high=20, unit="of each side")
    keep_proportions: bool = True

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        across = pick(self.part_range, lots[0])
        down = across if self.keep_proportions else pick(self.part_range, lots[1])
        return Warp(about_centre(across, 0.0, 0.0, down, size_px), size_px, self.filling)
