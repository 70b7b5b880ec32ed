"""Paler and more colourful pictures."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Channels, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.ops._luma import TO_LUMA, without_offset

_TABLE = Strength("color", lambda more: Saturation(factor_range=(1 + more, 1 + more)), rand=0.9, trivial=0.99, signed=True)


@OPS.add(OpInfo("channels", source="Pillow ImageEnhance.Color", strengths=(_TABLE,)), name="saturation")
@dataclass(frozen=True, kw_only=True)
class Saturation(Channels):
    """Moves each colour away from, or towards, its grey.

    Args:
        factor_range: 0 leaves the grey alone, 1 the picture as it is.
    """

    num_draws = 1

    factor_range: Range = limited((0.7, 1.3), low=0, high=10)

    def mix(self, lots: Lots) -> npt.NDArray[np.float64]:
        factor = pick(self.factor_range, lots[0])
        return without_offset((1 - factor) * TO_LUMA + factor * np.eye(3))
