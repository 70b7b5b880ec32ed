"""Pictures with other colours of the same brightness."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Channels, Lots, OpInfo, Range, pick
from fovea.transforms.ops._luma import LUMA, without_offset

_YIQ = np.array([LUMA, [0.595716, -0.274453, -0.321263], [0.211456, -0.522591, 0.311135]])  # FCC NTSC, 1953
_FROM_YIQ = np.linalg.inv(_YIQ)


@OPS.add(OpInfo("channels", source="TensorFlow tfa.image.adjust_hsv_in_yiq"), name="hue")
@dataclass(frozen=True, kw_only=True)
class Hue(Channels):
    """Turns all colours about grey, in the YIQ space: brightness and greys stay.

    A turn about grey is one matrix; the hue of HSV, which others change, is not, and changes brightness too.

    Args:
        turn_range: In parts of the full circle of colours.
    """

    num_draws = 1

    turn_range: Range = limited((-0.05, 0.05), low=-1, high=1, unit="of a turn")

    def mix(self, lots: Lots) -> npt.NDArray[np.float64]:
        angle = 2 * math.pi * pick(self.turn_range, lots[0])
        cos, sin = math.cos(angle), math.sin(angle)
        return without_offset(_FROM_YIQ @ np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) @ _YIQ)
