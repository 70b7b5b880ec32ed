"""Pictures out of focus."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, Range, pick
from fovea.types import Pixels


@OPS.add(OpInfo("pixels", source="arXiv:2002.05709, appendix A"), name="blur")
@dataclass(frozen=True, kw_only=True)
class Blur(PixelOp):
    """Blurs with a Gaussian.

    Args:
        sigma_range: Its standard deviation, in pixels.
    """

    num_draws = 1

    sigma_range: Range = limited((0.1, 2.0), low=0, high=100, unit="px")

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        sigma = pick(self.sigma_range, lots[0])
        if sigma < 0.1:  # less than one part in 10^20 reaches a neighbour
            return pixels
        return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma, borderType=cv2.BORDER_REFLECT), np.uint8)
