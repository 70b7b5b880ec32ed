"""What is kept for augmentation to start from: pictures a margin larger than the model's square, so that a turn or a shift finds pixels."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.files import hash_json
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Pixels

# 256 for 224 px, as is the custom since AlexNet (Krizhevsky et al. 2012, section 4.1)
MARGIN = 1.14

# Raise it when the same pictures would give other pixels: kept ones are then made anew.
_VERSION = 1


@dataclass(frozen=True)
class Margin:
    """The way to a square as `preprocessing` goes it, but larger and uncropped.

    It shrinks by halves, each an average, and then by interpolation: three times as fast as averaging by any factor, which
    `Preprocessing` does, and as free of patterns up to the last factor below 2. Augmentation interpolates once more and
    varies far more than that; what is measured and shipped always comes from `Preprocessing` itself.

    Args:
        preprocessing: Of the model.
        margin: How much larger than its result.
    """

    preprocessing: Preprocessing
    margin: float = MARGIN

    @property
    def size_px(self) -> int:
        """Side of the square that is kept."""
        return max(self.preprocessing.resize.size_px, round(self.margin * self.preprocessing.size_px))

    @property
    def min_side_px(self) -> int:
        """The decoder may shrink a picture while it decodes, but not below this in its shorter side."""
        return self.size_px

    @property
    def key(self) -> str:
        """The same for the same pixels."""
        return hash_json(["margin", _VERSION, self.preprocessing.key, self.size_px])

    def apply(self, pixels: Pixels) -> Pixels:
        """(H, W, 3) RGB -> (S, S, 3) RGB; the input is left as it was."""
        height, width = pixels.shape[:2]
        side, rule = self.size_px, self.preprocessing.resize.rule
        if rule == "letterbox":
            scale = side / max(height, width)
            inner = _resize(pixels, max(1, round(height * scale)), max(1, round(width * scale)))
            square = np.full((side, side, 3), 128, np.uint8)
            top, left = (side - inner.shape[0]) // 2, (side - inner.shape[1]) // 2
            square[top : top + inner.shape[0], left : left + inner.shape[1]] = inner
            return square
        if rule == "short_side":
            short = min(height, width)
            top, left = (height - short) // 2, (width - short) // 2
            pixels = pixels[top : top + short, left : left + short]
        return np.ascontiguousarray(_resize(pixels, side, side))


def _resize(pixels: Pixels, height: int, width: int) -> Pixels:
    while (halves := (1 + (pixels.shape[0] >= 2 * height), 1 + (pixels.shape[1] >= 2 * width))) != (1, 1):
        rows, columns = pixels.shape[0] // halves[0], pixels.shape[1] // halves[1]
        whole = pixels[: rows * halves[0], : columns * halves[1]]  # an odd last line is left out: averaging whole pairs is quick
        pixels = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
