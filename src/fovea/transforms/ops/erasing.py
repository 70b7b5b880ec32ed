"""Pictures of which a part is lost."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fovea.transforms.limits import limited, one_of
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, Range, generator, pick
from fovea.types import Pixels


@OPS.add(OpInfo("pixels", source="arXiv:1708.04896"), name="erasing")
@dataclass(frozen=True, kw_only=True)
class Erasing(PixelOp):
    """Covers a rectangle of drawn area and proportions; boxes, masks and points stay.

    Where the drawn proportions do not fit into the picture, the nearest that do are taken; the paper draws again.

    Args:
        area_range: In parts of the picture's area.
        ratio_range: Height to width, each ratio as likely as its inverse (the paper: each ratio as likely).
        content: "noise" is the paper's random levels, "grey" the middle grey, "black" nothing.
    """

    num_draws = 5

    chance: float = limited(0.5, low=0, high=1)
    area_range: Range = limited((0.02, 0.4), low=0, high=1, unit="of the area")
    ratio_range: Range = limited((0.3, 1 / 0.3), low=0.05, high=20)
    content: Literal["noise", "grey", "black"] = one_of("noise", "noise", "grey", "black")

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        height, width = pixels.shape[:2]
        area = height * width * pick(self.area_range, lots[0])
        if area < 1:
            return pixels
        ratio = math.exp(pick((math.log(self.ratio_range[0]), math.log(self.ratio_range[1])), lots[1]))
        ratio = min(max(ratio, area / width**2), height**2 / area)
        down, across = min(height, max(1, round(math.sqrt(area * ratio)))), min(width, max(1, round(math.sqrt(area / ratio))))
        top, left = int((height - down + 1) * lots[2]), int((width - across + 1) * lots[3])
        hole = pixels[top : top + down, left : left + across]
        if self.content == "noise":
            hole[:] = generator(lots[4]).integers(0, 256, hole.shape, np.uint8)
        else:
            hole[:] = 128 if self.content == "grey" else 0
        return pixels
