"""Pictures with lighter or darker middle tones."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, pick
from fovea.transforms.steps import Counts
from fovea.types import Floats


@OPS.add(OpInfo("curve", source="the texts' Tiny-ImageNet recipe"), name="gamma")
@dataclass(frozen=True, kw_only=True)
class Gamma(Curve):
    """Raises levels, as parts of 255, to a power: black and white stay.

    Args:
        gamma_range: Below 1 the middle tones become lighter, above 1 darker.
    """

    num_draws = 1

    gamma_range: Range = limited((0.8, 1.25), low=0.05, high=20)

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return np.float32(255) * (values / np.float32(255)) ** np.float32(pick(self.gamma_range, lots[0]))
