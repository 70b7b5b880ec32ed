"""Lighter and darker pictures."""

from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import Counts
from fovea.types import Floats

_TABLE = Strength("brightness", lambda more: Brightness(factor_range=(1 + more, 1 + more)), rand=0.9, trivial=0.99, signed=True)


@OPS.add(OpInfo("curve", source="Keras ImageDataGenerator's brightness_range", strengths=(_TABLE,)), name="brightness")
@dataclass(frozen=True, kw_only=True)
class Brightness(Curve):
    """Multiplies all levels by one factor.

    Args:
        factor_range: 0 is black, 1 leaves the picture as it is.
    """

    num_draws = 1

    factor_range: Range = limited((0.8, 1.2), low=0, high=10)

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return values * pick(self.factor_range, lots[0])
