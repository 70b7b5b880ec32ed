"""Pictures of few levels."""

from dataclasses import dataclass

import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Curve, Lots, OpInfo, Range, Strength, pick_whole
from fovea.transforms.steps import Counts
from fovea.types import Floats

_TABLE = Strength("posterize", lambda bits: Posterize(bits_range=(round(bits), round(bits))), rand=4, trivial=2, weakest=8)


@OPS.add(OpInfo("curve", source="Pillow ImageOps.posterize", strengths=(_TABLE,)), name="posterize")
@dataclass(frozen=True, kw_only=True)
class Posterize(Curve):
    """Keeps the first bits of each level, and sets the others to 0.

    Args:
        bits_range: How many are kept: 8 leaves the picture as it is, 1 leaves two levels a channel.
    """

    num_draws = 1

    bits_range: Range = limited((4, 8), low=1, high=8, whole=True)

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        bits = pick_whole(int(self.bits_range[0]), int(self.bits_range[1]), lots[0])
        step = 2 ** (8 - bits)
        return np.asarray(np.floor(np.rint(values) / step) * step, np.float32)
