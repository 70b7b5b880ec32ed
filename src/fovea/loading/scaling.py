"""From bytes to the floats that a network works with, in the threads that load."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from fovea.types import Floats, Pixels


@dataclass(frozen=True)
class Scaling:
    """(value - shift) * scale for each channel: to the last bit what `PixelBackbone.normalise` makes of the same pixels.

    A network can do it itself. Here it costs a quarter of that: each picture is still in the processor's cache, and no thread of
    torch has to wait for another while the loading threads keep the cores busy. One table look-up, since each step in which a
    thread gives up Python's lock and takes it again may have to wait for the other threads.

    Args:
        shift, scale: Of red, green and blue, for values of 0 to 255.
    """

    shift: tuple[float, float, float]
    scale: tuple[float, float, float]

    @classmethod
    def of(cls, shift: Sequence[float], scale: Sequence[float]) -> "Scaling":
        """From any three numbers each."""
        (a, b, c), (x, y, z) = map(float, shift), map(float, scale)
        return cls((a, b, c), (x, y, z))

    @cached_property
    def table(self) -> Floats:
        """What each level becomes: (1, 256, 3), or (1, 256, 1) where all channels are treated alike, which is twice as quick."""
        shift, scale = np.array(self.shift, np.float32), np.array(self.scale, np.float32)
        table = ((np.arange(256, dtype=np.float32)[:, None] - shift) * scale)[None]
        alike = len({*zip(self.shift, self.scale, strict=True)}) == 1
        return np.ascontiguousarray(table[:, :, :1] if alike else table)

    def into(self, out: Floats, pixels: Pixels) -> None:
        """uint8 (H, W, 3) -> `out`, float32 (H, W, 3), contiguous."""
        cv2.LUT(pixels, self.table, dst=out)
