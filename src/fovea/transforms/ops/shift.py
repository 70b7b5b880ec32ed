"""Moved pictures."""

from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FilledGeometry, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import SizePx, Warp, matrix

# RandAugment moves by at most 150 of 331 px, TrivialAugment by 32 px of ImageNet's usual 224.
_TABLE = (
    Strength("translate_x", lambda part: Shift(x_range=(part, part), y_range=(0, 0)), rand=150 / 331, trivial=32 / 224, signed=True),
    Strength("translate_y", lambda part: Shift(x_range=(0, 0), y_range=(part, part)), rand=150 / 331, trivial=32 / 224, signed=True),
)


@OPS.add(OpInfo("geometry", source="Keras RandomTranslation", strengths=_TABLE), name="shift")
@dataclass(frozen=True, kw_only=True)
class Shift(FilledGeometry):
    """Moves the picture.

    Args:
        x_range: To the right, in parts of the width.
        y_range: Downwards, in parts of the height.
    """

    num_draws = 2

    x_range: Range = limited((-0.1, 0.1), low=-1, high=1, unit="of the width")
    y_range: Range = limited((-0.1, 0.1), low=-1, high=1, unit="of the height")

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        x, y = size_px[1] * pick(self.x_range, lots[0]), size_px[0] * pick(self.y_range, lots[1])
        return Warp(matrix((1.0, 0.0, -x), (0.0, 1.0, -y)), size_px, self.filling)
