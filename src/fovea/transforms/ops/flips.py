"""Mirrored pictures."""

from dataclasses import dataclass

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, Geometry, Lots, OpInfo
from fovea.transforms.steps import SizePx, Warp, matrix


@OPS.add(OpInfo("geometry", source="Keras RandomFlip"), name="horizontal_flip")
@dataclass(frozen=True, kw_only=True)
class HorizontalFlip(Geometry):
    """Mirrors left and right.

    Points keep their order: a left eye stays the left eye's point, and lies where the right one was.
    """

    chance: float = limited(0.5, low=0, high=1)

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        return Warp(matrix((-1.0, 0.0, size_px[1]), (0.0, 1.0, 0.0)), size_px)


@OPS.add(OpInfo("geometry", source="Keras RandomFlip"), name="vertical_flip")
@dataclass(frozen=True, kw_only=True)
class VerticalFlip(Geometry):
    """Mirrors top and bottom."""

    chance: float = limited(0.5, low=0, high=1)

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        return Warp(matrix((1.0, 0.0, 0.0), (0.0, -1.0, size_px[0])), size_px)
