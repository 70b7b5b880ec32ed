"""Negatives."""

from dataclasses import dataclass

from fovea.transforms.op import OPS, Curve, Lots, OpInfo
from fovea.transforms.steps import Counts
from fovea.types import Floats


@OPS.add(OpInfo("curve", source="Pillow ImageOps.invert"), name="invert")
@dataclass(frozen=True, kw_only=True)
class Invert(Curve):
    """Makes the picture's negative."""

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return 255 - values
