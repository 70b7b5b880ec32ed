"""Pictures that are painted by a seed and look like photos to a perceptual hash: light and shade, shapes and texture, no two alike."""

import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from fovea.data.decode import Decoded
from fovea.data.facts import picture_facts
from fovea.types import PictureFacts

Pixels = npt.NDArray[np.uint8]


def photo(seed: int, *, width: int = 160, height: int = 120) -> Pixels:
    """Coarse light and shade, finer patches, and a few shapes with sharp edges; uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    pixels = cv2.resize(rng.uniform(40, 215, (5, 7, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    pixels += cv2.resize(rng.normal(0, 18, (20, 26, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(6):
        colour = tuple(float(v) for v in rng.uniform(0, 255, 3))
        x, y = int(rng.integers(0, width)), int(rng.integers(0, height))
        if rng.random() < 0.5:
            cv2.circle(pixels, (x, y), int(rng.integers(6, height // 4)), colour, -1)
        else:
            cv2.rectangle(pixels, (x, y), (x + int(rng.integers(8, width // 3)), y + int(rng.integers(8, height // 3))), colour, -1)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def jpeg(pixels: Pixels, quality: int = 90, *, exif: bytes = b"") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality, **({"exif": exif} if exif else {}))
    return file.getvalue()


def facts_of(pixels: Pixels, **changed: object) -> PictureFacts:
    """The facts of pixels, as if they came from a JPEG of that size."""
    height, width = pixels.shape[:2]
    plain: dict[str, object] = {"width_px": width, "height_px": height, "format": "jpeg", "mode": "rgb", "orientation": 1, "camera": ""}
    return picture_facts(Decoded(np.ascontiguousarray(pixels), **(plain | changed)), min_side_px=None)  # type: ignore[arg-type]


def anew(pixels: Pixels, quality: int) -> Pixels:
    """Compressed and decoded once more."""
    return np.array(Image.open(io.BytesIO(jpeg(np.ascontiguousarray(pixels), quality))))


CHANGES: dict[str, Callable[[Pixels], Pixels]] = {
    "compressed anew": lambda pixels: anew(pixels, 25),
    "half the size": lambda pixels: anew(cv2.resize(pixels, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), 90),
    "larger": lambda pixels: anew(cv2.resize(pixels, None, fx=1.7, fy=1.7, interpolation=cv2.INTER_CUBIC), 90),
    "squeezed to a square": lambda pixels: cv2.resize(pixels, (100, 100), interpolation=cv2.INTER_AREA),
    "5 % cut off at the left and below": lambda pixels: pixels[: int(0.95 * len(pixels)), int(0.05 * pixels.shape[1]) :],
    "5 % cut off all around": lambda pixels: pixels[6:-6, 8:-8],
    "mirrored": lambda pixels: pixels[:, ::-1],
    "mirrored, 5 % cut off, compressed anew": lambda pixels: anew(pixels[6:, ::-1][:, 8:], 50),
    "grey": lambda pixels: np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2),
    "brighter": lambda pixels: np.clip(pixels * 1.2 + 10, 0, 255).astype(np.uint8),
}
