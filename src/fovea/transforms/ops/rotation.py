"""Turned pictures."""

import math
from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FilledGeometry, Lots, OpInfo, Range, Strength, pick
from fovea.transforms.steps import SizePx, Warp, about_centre

_TABLE = Strength("rotate", lambda turn: Rotation(turn_range=(turn, turn)), rand=30 / 360, trivial=135 / 360, signed=True)


@OPS.add(OpInfo("geometry", source="Keras RandomRotation", strengths=(_TABLE,)), name="rotation")
@dataclass(frozen=True, kw_only=True)
class Rotation(FilledGeometry):
    """Turns the picture about its centre.

    Args:
        turn_range: In parts of a full turn; above 0 it is anticlockwise. The default is that of the texts' cats and dogs.
    """

    num_draws = 1

    turn_range: Range = limited((-0.1, 0.1), low=-1, high=1, unit="of a turn")

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        angle = 2 * math.pi * pick(self.turn_range, lots[0])
        cos, sin = math.cos(angle), math.sin(angle)
        return Warp(about_centre(cos, -sin, sin, cos, size_px), size_px, self.filling)
