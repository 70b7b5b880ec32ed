"""Parts of a picture, pixel for pixel."""

from dataclasses import dataclass

from fovea.errors import InputError
from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Geometry, Lots, OpInfo, pick_whole
from fovea.transforms.steps import SizePx, Warp, matrix


@OPS.add(OpInfo("geometry", source="arXiv:1409.1556", example=lambda: RandomCrop(crop_px=128)), name="random_crop")
@dataclass(frozen=True, kw_only=True)
class RandomCrop(Geometry):
    """Cuts a square out of the picture, wherever it falls.

    Args:
        crop_px: Its side; no more than the picture's shorter side.
    """

    num_draws = 2

    crop_px: int = limited(low=1, high=4096, unit="px", whole=True)

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        check_fits(self.name, self.crop_px, size_px)
        top, left = (pick_whole(0, side - self.crop_px, lot) for side, lot in zip(size_px, lots, strict=True))
        return Warp(matrix((1.0, 0.0, left), (0.0, 1.0, top)), (self.crop_px, self.crop_px))


@OPS.add(OpInfo("geometry", source="arXiv:1409.1556", example=lambda: CentreCrop(crop_px=128)), name="centre_crop")
@dataclass(frozen=True, kw_only=True)
class CentreCrop(Geometry):
    """Cuts the square in the middle out of the picture.

    Args:
        crop_px: Its side; no more than the picture's shorter side.
    """

    crop_px: int = limited(low=1, high=4096, unit="px", whole=True)

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        check_fits(self.name, self.crop_px, size_px)
        top, left = ((side - self.crop_px) // 2 for side in size_px)
        return Warp(matrix((1.0, 0.0, left), (0.0, 1.0, top)), (self.crop_px, self.crop_px))


def check_fits(name: str, crop_px: int, size_px: SizePx) -> None:
    """Whether a square of this side lies within a picture.

    Raises:
        InputError: It is larger than the picture.
    """
    if crop_px > min(size_px):
        raise InputError(
            f"{name}: a crop of {crop_px} px is larger than the picture",
            got=f"crop_px={crop_px} for a picture of {size_px[1]} x {size_px[0]} px",
            expected=f"at most {min(size_px)} px, the picture's shorter side",
            fix=f"set crop_px to {min(size_px)} or less, or use larger pictures",
        )
