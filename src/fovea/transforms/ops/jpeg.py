"""Pictures that were saved too small."""

from dataclasses import dataclass

import numpy as np
import simplejpeg

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, Range, pick_whole
from fovea.types import Pixels


@OPS.add(OpInfo("pixels", source="torchvision JPEG"), name="jpeg")
@dataclass(frozen=True, kw_only=True)
class Jpeg(PixelOp):
    """Encodes the picture as JPEG and decodes it again.

    Args:
        quality_range: JPEG's quality, 1 (blocks) to 100.
    """

    num_draws = 1

    quality_range: Range = limited((40, 95), low=1, high=100, whole=True)

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        quality = pick_whole(int(self.quality_range[0]), int(self.quality_range[1]), lots[0])
        encoded = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality=quality, colorspace="RGB", colorsubsampling="420")
        return np.asarray(simplejpeg.decode_jpeg(encoded, colorspace="RGB"), np.uint8)
