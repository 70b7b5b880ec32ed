"""Crops of one size from pictures of many sizes."""

from dataclasses import dataclass

from fovea.errors import InputError
from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Geometry, Lots, OpInfo, Range, pick
from fovea.transforms.steps import SizePx, Warp, matrix


@OPS.add(OpInfo("geometry", source="arXiv:1409.1556, section 3.1"), name="scale_jitter")
@dataclass(frozen=True, kw_only=True)
class ScaleJitter(Geometry):
    """Resizes the picture to a drawn shorter side, then cuts a square of one size out of it, wherever it falls.

    As in VGG's training: shorter side 256 to 512, crop 224.

    Args:
        short_side_range: What the shorter side is brought to, in pixels.
        crop_px: The square's side; no more than the smallest shorter side.
    """

    num_draws = 3

    short_side_range: Range = limited((256, 512), low=1, high=16384, unit="px")
    crop_px: int = limited(224, low=1, high=4096, unit="px", whole=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop_px > self.short_side_range[0]:
            raise InputError(
                f"{self.name}: a crop of {self.crop_px} px is larger than the smallest picture",
                got=f"crop_px={self.crop_px}, short_side_range={self.short_side_range}",
                expected=f"crop_px of at most {self.short_side_range[0]:g}",
                fix=f"set crop_px to {int(self.short_side_range[0])} or less, or raise short_side_range",
            )

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        scale = min(size_px) / pick(self.short_side_range, lots[0])  # the picture's pixels for one of the resized
        left, top = ((side - self.crop_px * scale) * lot for side, lot in zip((size_px[1], size_px[0]), lots[1:], strict=True))
        return Warp(matrix((scale, 0.0, left), (0.0, scale, top)), (self.crop_px, self.crop_px))
