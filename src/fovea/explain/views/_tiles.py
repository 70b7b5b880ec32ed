"""Many small pictures as one."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from fovea.types import Pixels

_GAP_PX = 2
_BACKGROUND = 255


def tiled(tiles: Sequence[Pixels], *, columns: int, side_px: int) -> Pixels:
    """Tiles uint8 (h, w, 3) of one size, enlarged by whole numbers to about `side_px`, in rows: uint8 (H, W, 3)."""
    height, width = tiles[0].shape[:2]
    factor = max(1, side_px // max(height, width))
    step_y, step_x = height * factor + _GAP_PX, width * factor + _GAP_PX
    rows = -(-len(tiles) // columns)
    canvas = np.full((rows * step_y + _GAP_PX, min(columns, len(tiles)) * step_x + _GAP_PX, 3), _BACKGROUND, np.uint8)
    for index, tile in enumerate(tiles):
        y, x = _GAP_PX + index // columns * step_y, _GAP_PX + index % columns * step_x
        large = cv2.resize(tile, (width * factor, height * factor), interpolation=cv2.INTER_NEAREST)
        canvas[y : y + large.shape[0], x : x + large.shape[1]] = large
    return canvas


def about_grey(values: npt.NDArray[np.floating], *, whole: float = 1.0) -> Pixels:
    """Signed values -> uint8 of the same shape: 0 is mid-grey, and the farthest from 0 is black or white.

    Args:
        values: Of any shape.
        whole: The share of the values that keep their order; the few beyond are cut off, so that they do not leave the rest grey.
    """
    largest = float(np.quantile(np.abs(values), whole)) or float(np.abs(values).max(initial=0)) or 1.0
    shown: Pixels = np.rint(127.5 + 127.5 * np.clip(values / largest, -1, 1)).astype(np.uint8)
    return shown
