"""Pictures with a tint."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, pick
from fovea.transforms.steps import Counts
from fovea.types import Floats


@OPS.add(OpInfo("curve", source="Keras ImageDataGenerator's channel_shift_range"), name="channel_shift")
@dataclass(frozen=True, kw_only=True)
class ChannelShift(Curve):
    """Adds to each channel an amount of its own. (Keras adds one amount to all three, which is brightness.)

    Args:
        shift_range: In parts of the full range.
    """

    num_draws = 3

    shift_range: Range = limited((-0.1, 0.1), low=-1, high=1, unit="of the full range")

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return values + np.array([255 * pick(self.shift_range, lot) for lot in lots], np.float32)
