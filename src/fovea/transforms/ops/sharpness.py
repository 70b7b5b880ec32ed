"""Softer and crisper pictures."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, Range, Strength, pick
from fovea.types import Pixels

_TABLE = Strength("sharpness", lambda more: Sharpness(factor_range=(1 + more, 1 + more)), rand=0.9, trivial=0.99, signed=True)
_SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13  # Pillow's ImageFilter.SMOOTH


@OPS.add(OpInfo("pixels", source="Pillow ImageEnhance.Sharpness", strengths=(_TABLE,)), name="sharpness")
@dataclass(frozen=True, kw_only=True)
class Sharpness(PixelOp):
    """Moves each pixel away from, or towards, the mean of its neighbourhood; the outermost pixels stay, as with Pillow.

    Args:
        factor_range: 0 smooths, 1 leaves the picture as it is, 2 sharpens as much as 0 smooths.
    """

    num_draws = 1

    factor_range: Range = limited((0.5, 1.5), low=0, high=10)

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        factor = pick(self.factor_range, lots[0])
        smooth = cv2.filter2D(pixels, -1, _SMOOTH)
        pixels[1:-1, 1:-1] = cv2.addWeighted(pixels, factor, smooth, 1 - factor, 0)[1:-1, 1:-1]
        return pixels
