"""What an operation has decided to do to one picture: four kinds of step, which `fuse` brings together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Pixels

SizePx = tuple[int, int]  # height, width
Matrix = npt.NDArray[np.float64]  # (3, 3), homogeneous, of points x y 1 in pixel edges
FillMode = Literal["reflect", "nearest", "constant", "wrap"]
Counts = Callable[[], Floats]  # gives (256, 3): how many pixels have each level, as they are before any curve


@dataclass(frozen=True, slots=True)
class Fill:
    """What is shown where there is no picture.

    Args:
        mode: "reflect" mirrors the picture at its edge (the outermost pixels stand twice), "nearest" goes on with its outermost
            pixels, "constant" is one grey, "wrap" repeats the picture.
        value: The grey of "constant", 0 to 255.
    """

    mode: FillMode
    value: int = 0


@dataclass(frozen=True, slots=True)
class Warp:
    """A change of geometry.

    Args:
        matrix: From a place in the result to the place in the picture that it shows.
        size_px: Of the result.
        fill: What the result shows outside the picture; None where it never looks there.
    """

    matrix: Matrix
    size_px: SizePx
    fill: Fill | None = None


@dataclass(frozen=True, slots=True)
class Recolour:
    """A curve for each channel: what a level becomes depends on that level alone.

    Args:
        curve: Takes what the 256 levels have become so far, float32 (256, 3) in 0..255, and the picture's counts; gives
            what they become. It may leave 0..255: the result is clipped after each curve.
    """

    curve: Callable[[Floats, Counts], Floats]


@dataclass(frozen=True, slots=True)
class MixChannels:
    """New channels, each a sum of the old ones: `matrix` is (3, 4), the last column is added, in levels."""

    matrix: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Paint:
    """Anything else that leaves places where they are. `paint` is handed pixels of its own and may write into them."""

    paint: Callable[[Pixels], Pixels]


Step = Warp | Recolour | MixChannels | Paint


def matrix(*rows: tuple[float, float, float]) -> Matrix:
    """A (3, 3) matrix from its first two rows (the third is 0 0 1), or from all three."""
    return np.array(rows if len(rows) == 3 else [*rows, (0.0, 0.0, 1.0)], np.float64)


def about_centre(a: float, b: float, c: float, d: float, size_px: SizePx) -> Matrix:
    """The matrix of x' = a x + b y, y' = c x + d y, measured from the picture's centre."""
    x, y = size_px[1] / 2, size_px[0] / 2
    return matrix((a, b, x - a * x - b * y), (c, d, y - c * x - d * y))


def move_points(points: Floats, forward: Matrix) -> Floats:
    """(P, 2) through a matrix from places in the picture to places in the result; what lies on or behind the horizon is NaN."""
    moved = np.concatenate([points.astype(np.float64), np.ones((len(points), 1))], axis=1) @ forward.T
    depth = moved[:, 2:]
    seen = np.divide(moved[:, :2], depth, out=np.full((len(points), 2), np.nan), where=depth > 0)
    return np.asarray(seen, np.float32)
