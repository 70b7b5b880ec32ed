"""Pictures whose lightest tones are turned dark."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import Counts
from fovea.types import Floats

_TABLE = Strength("solarize", lambda level: Solarize(threshold_range=(level, level)), rand=0.0, trivial=0.0, weakest=1.0)


@OPS.add(OpInfo("curve", source="Pillow ImageOps.solarize", strengths=(_TABLE,)), name="solarize")
@dataclass(frozen=True, kw_only=True)
class Solarize(Curve):
    """Makes the negative of all levels from a threshold on.

    Args:
        threshold_range: In parts of the full range.
    """

    num_draws = 1

    threshold_range: Range = limited((0.5, 1.0), low=0, high=1, unit="of the full range")

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return np.where(values >= 255 * pick(self.threshold_range, lots[0]), 255 - values, values)
