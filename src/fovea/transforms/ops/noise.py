"""Pictures as a poor sensor sees them."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, Range, generator, pick
from fovea.types import Pixels


@OPS.add(OpInfo("pixels", source="Keras GaussianNoise"), name="noise")
@dataclass(frozen=True, kw_only=True)
class Noise(PixelOp):
    """Adds to each channel of each pixel a normal number of its own.

    Args:
        deviation_range: Its standard deviation, in parts of the full range.
    """

    num_draws = 2

    deviation_range: Range = limited((0.0, 0.05), low=0, high=1, unit="of the full range")

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        noisy = generator(lots[1]).standard_normal(pixels.shape, np.float32)
        noisy *= np.float32(255 * pick(self.deviation_range, lots[0]))
        noisy += pixels
        return np.rint(np.clip(noisy, 0, 255, out=noisy), out=noisy).astype(np.uint8)
