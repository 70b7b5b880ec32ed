"""What a decoded picture says of itself: measured once, in a quarter of a millisecond, so that nothing need look at it again."""

from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from fovea.data.decode import Decoded
from fovea.data.jpeg import scale_for
from fovea.types import Floats, PictureFacts, Pixels

# Raise it when anything here is measured in another way: kept facts are then measured anew.
FACTS_VERSION = 1

THUMBNAIL_PX = 64
_LARGE_PX = 2 * THUMBNAIL_PX
_NUM_BITS = 63  # three bands of 21 bits, in which near ones are looked for
# Parts of a picture, along each axis, from where to where: all of it, and what is left when 5 or 10 % are cut off
_ALL, _CUT_5, _CUT_10 = ((0.0, 1.0),), ((0.0, 0.95), (0.025, 0.975), (0.05, 1.0)), ((0.0, 0.9), (0.05, 0.95), (0.1, 1.0))
_SPANS = _ALL + _CUT_5 + _CUT_10
_PARTS = [  # both axes cut by as much, or one of them by 5 %; first the whole
    (down, across)
    for down in range(len(_SPANS))
    for across in range(len(_SPANS))
    if (down < 4 and across < 4) or (down >= 4 and across >= 4)
]
NUM_HASHES = len(_PARTS)  # 25
_SOFT, _SOFT_SCALE = 1.3, 1.6  # where sharpness is measured once more, and what brings the two measures to one scale


def picture_facts(decoded: Decoded, *, min_side_px: int | None) -> PictureFacts:
    """The facts of a picture.

    Args:
        decoded: The right way up.
        min_side_px: As it was given to `decode`: pictures that were shrunk otherwise are measured otherwise.
    """
    height, width = decoded.pixels.shape[:2]
    large = _shrunk(decoded.pixels)
    small = _resized(large, THUMBNAIL_PX, cv2.INTER_AREA)
    # What is smaller than the large copy is judged as it is: enlarged, it would look blurred.
    sharp = large if min(height, width) >= _LARGE_PX else decoded.pixels
    thumbnail = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
    red, green, blue = cv2.split(small)
    _, spread = cv2.meanStdDev(small)
    frame = np.concatenate([small[:4].reshape(-1, 3), small[-4:].reshape(-1, 3), small[:, :4].reshape(-1, 3), small[:, -4:].reshape(-1, 3)])
    return PictureFacts(
        width_px=decoded.width_px,
        height_px=decoded.height_px,
        format=decoded.format,
        mode=decoded.mode,
        orientation=decoded.orientation,
        scale=facts_scale(decoded.format, min(decoded.width_px, decoded.height_px), min_side_px),
        camera=decoded.camera,
        sharpness=round(_sharpness(cv2.cvtColor(sharp, cv2.COLOR_RGB2GRAY)), 4),
        colour_spread=round(float(np.sqrt((spread**2).sum())), 3),
        colourfulness=_high(cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue))),
        border=tuple(int(v) for v in frame.mean(axis=0).round()),  # type: ignore[arg-type]
        hashes=perceptual_hashes(thumbnail).tobytes(),
        thumbnail=thumbnail,
    )


def facts_scale(kind: str, short_side_px: int, min_side_px: int | None) -> int:
    """By what a picture of this kind ("jpeg", ...) is shrunk while it is decoded with this `min_side_px`."""
    return scale_for(short_side_px, min_side_px) if kind == "jpeg" else 1


def perceptual_hashes(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint64]:
    """Hashes (25,) of a grey thumbnail (64, 64): of the whole first, then of what is left when its borders are cut off.

    Each bit is the sign of one of the 63 lowest frequencies of the cosine transform (but for the mean), after Zauner's
    "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010), whose bits compare with the median instead:
    with signs, the hash of the mirrored picture is this one with fixed bits turned. A picture that was resized or compressed
    anew keeps all but 1 or 2 bits; one that was cropped by 5 % loses 8 of them, but only 2 against the nearest of the parts.
    """
    basis, down, across, frequency = _bases()
    waves = basis @ (thumbnail.astype(np.float32) - 128) @ basis.T  # (spans x frequencies, spans x frequencies)
    bits = waves[down[:, None] + frequency[None, :, 0], across[:, None] + frequency[None, :, 1]] > 0  # (25, 63)
    return np.packbits(bits, axis=1, bitorder="little").view("<u8")[:, 0].astype(np.uint64)


@cache
def mirror_mask() -> np.uint64:
    """The bits that a mirror turns: those of waves that are odd from left to right."""
    odd = _frequencies()[:, 1] % 2 == 1
    return np.uint64(np.packbits(np.append(odd, False), bitorder="little").view("<u8")[0])


def _frequencies() -> npt.NDArray[np.int64]:
    """(63, 2): the lowest frequencies down and across, dealt in turn to the three bands of bits, so that none is made of fine ones."""
    order = sorted(((down, across) for down in range(11) for across in range(11) if down + across), key=lambda f: (f[0] + f[1], f))
    lowest = order[:_NUM_BITS]
    return np.array([lowest[place] for band in range(3) for place in range(band, _NUM_BITS, 3)])


@cache
def _bases() -> tuple[Floats, npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The cosine waves over each span as weights of the thumbnail's 64 pixels, and where each part and frequency is in the product."""
    frequency = _frequencies()
    num_waves = int(frequency.max()) + 1
    num_points = THUMBNAIL_PX // 2
    points = (np.arange(num_points) + 0.5) / num_points
    waves = np.cos(np.pi * np.arange(num_waves)[:, None] * points)  # (waves, points)
    rows = []
    for start, end in _SPANS:
        place = (start + points * (end - start)) * THUMBNAIL_PX - 0.5
        left = np.clip(np.floor(place).astype(int), 0, THUMBNAIL_PX - 2)
        weights = np.zeros((num_points, THUMBNAIL_PX))
        weights[np.arange(num_points), left] = 1 - (place - left)
        weights[np.arange(num_points), left + 1] = place - left
        rows.append(waves @ weights)
    parts = np.array(_PARTS) * num_waves
    return np.concatenate(rows).astype(np.float32), parts[:, 0], parts[:, 1], frequency


def _shrunk(pixels: Pixels) -> Pixels:
    """To 128 x 128, stretched: halved while that leaves enough, and the rest by interpolation, which is quick and good enough below 2."""
    while min(pixels.shape[:2]) >= 2 * _LARGE_PX:
        height, width = pixels.shape[0] // 2 * 2, pixels.shape[1] // 2 * 2
        pixels = np.asarray(cv2.resize(pixels[:height, :width], (width // 2, height // 2), interpolation=cv2.INTER_AREA), np.uint8)
    if max(pixels.shape[:2]) >= 4 * _LARGE_PX:  # a long strip
        return _resized(pixels, _LARGE_PX, cv2.INTER_AREA)
    return _resized(pixels, _LARGE_PX, cv2.INTER_LINEAR)


def _resized(pixels: Pixels, side_px: int, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (side_px, side_px), interpolation=interpolation), np.uint8)


def _sharpness(grey: cv2.typing.MatLike) -> float:
    """The second derivative over the first, each as a hundredth of the pixels exceed it.

    An edge that is blurred by s pixels has about 1 / s, whatever its contrast. In what is very soft, the steps between the 256
    values of a pixel look like edges: there it is measured once more, on smoothed values, and the smaller counts.
    """
    curve = cv2.convertScaleAbs(cv2.Laplacian(grey, cv2.CV_16S))
    slope = cv2.max(*(cv2.convertScaleAbs(cv2.Sobel(grey, cv2.CV_16S, x, 1 - x), alpha=1 / 8) for x in (0, 1)))
    sharpness = _high(curve) / (_high(slope) + 0.5)
    if sharpness >= _SOFT:
        return sharpness
    smooth = cv2.GaussianBlur(np.asarray(grey, np.float32), (0, 0), 1.0)
    steep = cv2.magnitude(*(cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (0, 1)))
    again = np.quantile(np.abs(cv2.Laplacian(smooth, cv2.CV_32F)), 0.99) / (np.quantile(steep, 0.99) + 0.1)
    return min(sharpness, _SOFT_SCALE * float(again))


def _high(values: cv2.typing.MatLike) -> int:
    """The value that a hundredth of uint8 values exceed."""
    counts = cv2.calcHist([values], [0], None, [256], [0, 256]).ravel()
    return int(np.searchsorted(counts.cumsum(), 0.99 * values.size))
