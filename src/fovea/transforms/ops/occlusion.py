"""Pictures with a patch stuck on."""

from dataclasses import dataclass

from fovea.errors import InputError
from fovea.transforms.limits import is_number, limited
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, pick_whole
from fovea.types import Pixels


@OPS.add(OpInfo("pixels", source="the texts' Tiny-ImageNet recipe"), name="occlusion")
@dataclass(frozen=True, kw_only=True)
class Occlusion(PixelOp):
    """Covers a small square of the picture with one grey; boxes, masks and points stay, since what is covered is still there.

    Args:
        patch_px: Its side.
        greys: The levels to choose from: black, grey or white.
    """

    num_draws = 3

    patch_px: int = limited(10, low=1, high=4096, unit="px", whole=True)
    greys: tuple[int, ...] = (0, 128, 255)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.greys or not all(is_number(grey) and 0 <= grey <= 255 and grey == int(grey) for grey in self.greys):
            raise InputError(
                f"{self.name}: greys must be levels",
                got=repr(self.greys),
                expected="whole numbers from 0 to 255",
                fix="greys=(0, 128, 255)",
            )

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        if self.patch_px > min(pixels.shape[:2]):
            raise InputError(
                f"{self.name}: a patch of {self.patch_px} px is larger than the picture",
                got=f"patch_px={self.patch_px} for a picture of {pixels.shape[1]} x {pixels.shape[0]} px",
                expected=f"at most {min(pixels.shape[:2])} px",
                fix="set patch_px to a smaller number, or use larger pictures",
            )
        top, left = (pick_whole(0, side - self.patch_px, lot) for side, lot in zip(pixels.shape[:2], lots[:2], strict=True))
        grey = self.greys[pick_whole(0, len(self.greys) - 1, lots[2])]
        pixels[top : top + self.patch_px, left : left + self.patch_px] = grey
        return pixels
