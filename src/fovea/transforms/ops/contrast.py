"""Flatter and harder pictures."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import Counts
from fovea.types import Floats

_TABLE = Strength("contrast", lambda more: Contrast(factor_range=(1 + more, 1 + more)), rand=0.9, trivial=0.99, signed=True)


@OPS.add(OpInfo("curve", source="Keras RandomContrast", strengths=(_TABLE,)), name="contrast")
@dataclass(frozen=True, kw_only=True)
class Contrast(Curve):
    """Moves each level away from, or towards, the mean of its channel in this picture.

    Args:
        factor_range: 0 leaves the mean alone, 1 the picture as it is. The default is that of the texts' Minception.
    """

    num_draws = 1

    factor_range: Range = limited((0.7, 1.3), low=0, high=10)

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        found = counts()
        mean = (values * found).sum(axis=0) / found.sum(axis=0)
        return np.asarray((values - mean) * pick(self.factor_range, lots[0]) + mean, np.float32)
