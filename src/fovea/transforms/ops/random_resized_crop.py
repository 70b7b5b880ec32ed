"""Parts of a picture, of any size and proportions, brought back to the whole picture's size."""

import math
from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Geometry, Lots, OpInfo, Range, pick
from fovea.transforms.steps import SizePx, Warp, matrix


@OPS.add(OpInfo("geometry", source="arXiv:1409.4842, section 6"), name="random_resized_crop")
@dataclass(frozen=True, kw_only=True)
class RandomResizedCrop(Geometry):
    """Cuts out a part of a drawn area and drawn proportions, and enlarges it to the picture's size.

    As in GoogLeNet's training. Where the drawn proportions do not fit into the picture, the nearest that do are taken;
    others draw again, up to ten times, and then take the centre.

    Args:
        area_range: In parts of the picture's area, each area as likely.
        ratio_range: Width to height, each ratio as likely as its inverse.
    """

    num_draws = 4

    area_range: Range = limited((0.08, 1.0), low=0.001, high=1, unit="of the area")
    ratio_range: Range = limited((3 / 4, 4 / 3), low=0.05, high=20)

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        height, width = size_px
        area = height * width * pick(self.area_range, lots[0])
        ratio = math.exp(pick((math.log(self.ratio_range[0]), math.log(self.ratio_range[1])), lots[1]))
        ratio = min(max(ratio, area / height**2), width**2 / area)
        across, down = min(width, math.sqrt(area * ratio)), min(height, math.sqrt(area / ratio))
        left, top = (width - across) * lots[2], (height - down) * lots[3]
        return Warp(matrix((across / width, 0.0, left), (0.0, down / height, top)), size_px)
