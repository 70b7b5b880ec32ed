"""What several tasks paint alike."""

import cv2
import numpy as np

from fovea.types import Pixels


def with_caption(pixels: Pixels, text: str) -> Pixels:
    """The picture, (H, W, 3), with a white strip under it on which the text stands, as large as fits."""
    height = max(24, pixels.shape[0] // 12)
    canvas = np.vstack([pixels, np.full((height, pixels.shape[1], 3), 255, np.uint8)])
    (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1)
    scale = min(height / 40, (pixels.shape[1] - 8) / max(wide, 1))
    cv2.putText(canvas, text, (4, canvas.shape[0] - height // 3), cv2.FONT_HERSHEY_SIMPLEX, scale, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas
