"""Pictures inside the page: small JPEGs as data URIs, so that the file stands alone."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np
from markupsafe import Markup

from fovea.types import Pixels

LONGEST_PX = 160
_TINY_PX = 64  # below this a browser's smoothing blurs the pixels that are all there is to see
_QUALITY = 82  # of JPEG: no visible blocks at this size, about 5 KB a photo, 26 KB for pure noise


@dataclass(frozen=True)
class Embedded:
    """A picture ready for an <img>: its data URI, its size, and whether its pixels should stay sharp when enlarged."""

    uri: Markup
    width_px: int
    height_px: int
    tiny: bool


def shrunk(pixels: Pixels, longest_px: int = LONGEST_PX) -> Pixels:
    """uint8 (H, W, 3), its longer side at most so long, by averaging; a smaller one is given as it is."""
    height, width = pixels.shape[:2]
    factor = longest_px / max(height, width)
    if factor >= 1:
        return pixels
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def embed(pixels: Pixels, *, longest_px: int = LONGEST_PX, quality: int = _QUALITY) -> Embedded:
    """Shrinks uint8 (H, W, 3) RGB to at most 160 px (or another longest side) and encodes it; small pictures keep their size."""
    pixels = shrunk(pixels, longest_px)
    height, width = pixels.shape[:2]
    tiny = max(height, width) < _TINY_PX
    # JPEG halves the resolution of colour, which eats a picture of 8 px: those are kept exactly, as PNG.
    kind, options = (".png", []) if tiny else (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
    done, encoded = cv2.imencode(kind, np.ascontiguousarray(pixels[:, :, ::-1]), options)
    if not done:
        raise ValueError(f"a picture of shape {pixels.shape} and type {pixels.dtype} could not be encoded")
    mime = "image/png" if tiny else "image/jpeg"
    return Embedded(Markup(f"data:{mime};base64,{base64.b64encode(encoded.tobytes()).decode()}"), width, height, tiny)


def png_uri(content: bytes) -> Markup:
    """The data URI of a PNG file."""
    return Markup(f"data:image/png;base64,{base64.b64encode(content).decode()}")
