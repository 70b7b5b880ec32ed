"""Brings the steps of one draw together: neighbouring geometry into one warp, curves into one table, channel mixes into one matrix.

One interpolation instead of several keeps edges sharp, and one pass over the pixels is quicker than many. A change of
colour treats every place alike, so that geometry may be done before it: between two steps that paint (blur, noise,
occlusion, ...) all geometry comes first, and then all colour. (Those that count the picture's levels first, contrast and
equalize, then count what the geometry leaves of it: another draw of the same kind, and not the same levels.) A constant fill is the exception, since a colour step before
it would not change that grey: it keeps its place.

Within one warp, what a step would have cut off can come back: shifted right and then left, nothing is lost, and a picture
that is turned after a crop shows in its corners what was beside the crop instead of a fill. Levels are rounded once for all curves,
and clipped once for all mixes of channels.

Nothing here starts a thread or sets OpenCV's number of threads, which is one for the whole process. OpenCV spreads one call
at a time over its own threads; what other threads ask for meanwhile runs in those threads (`flagNestedParallelFor` in its
modules/core/src/parallel.cpp). So several loader threads keep as many cores busy, and never as many times its own.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import cast

import cv2
import numpy as np

from fovea.transforms.preprocessing import Preprocessing, square
from fovea.transforms.steps import Counts, Fill, Matrix, MixChannels, Paint, Recolour, SizePx, Step, Warp, matrix
from fovea.types import Floats, Pixels

_BORDERS = {"reflect": cv2.BORDER_REFLECT, "nearest": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT, "wrap": cv2.BORDER_WRAP}
_FLIPS = {(True, False): 1, (False, True): 0, (True, True): -1}  # mirrored in x, in y: OpenCV's code
_NO_FILL = Fill("nearest")
_EXACT = 1e-9  # in pixels: rounding of float64
_SAME = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)  # (256, 3)
_SAME.setflags(write=False)
_FROM_CENTRES, _INTO_CENTRES = matrix((1.0, 0.0, 0.5), (0.0, 1.0, 0.5)), matrix((1.0, 0.0, -0.5), (0.0, 1.0, -0.5))
_Curve = Callable[[Floats, Counts], Floats]


def fuse(steps: Sequence[Step], size_px: SizePx, result_px: SizePx | None = None) -> list[Step]:
    """The same change in as few steps as can be.

    Args:
        steps: One draw's, in order.
        size_px: Height and width of the picture that they start from.
        result_px: What the result is stretched to, as a part of the last warp; None leaves it as large as the steps make it.

    Returns:
        Steps again: no two warps, two curves or two channel mixes stand side by side.
    """
    fused: list[Step] = []
    warp: Warp | None = None
    colours: list[Step] = []
    for step in steps:
        if isinstance(step, Warp):
            joins = _share_fill(warp, step) and not (colours and step.fill and step.fill.mode == "constant")
            if not joins:
                _close(fused, warp, colours)
                warp, colours = None, []
            warp = step if warp is None else Warp(warp.matrix @ step.matrix, step.size_px, warp.fill or step.fill)
        elif isinstance(step, Paint):
            _close(fused, warp, colours)
            warp, colours = None, []
            fused.append(step)
        else:
            colours.append(step)
    _close(fused, warp, colours)
    return fused if result_px is None else _with_stretch(fused, size_px, result_px)


def carry_out(steps: Sequence[Step], pixels: Pixels) -> Pixels:
    """Does the steps, one after the other, to uint8 (H, W, 3); the input is left as it was, and the result is never the input."""
    own, pixels = False, np.ascontiguousarray(pixels)
    for step in steps:
        if isinstance(step, Warp):
            pixels, own = warp_pixels(pixels, step), True
        elif isinstance(step, Recolour):
            pixels, own = _recolour(pixels, step), True
        elif isinstance(step, MixChannels):
            pixels, own = cast(Pixels, cv2.transform(pixels, step.matrix.astype(np.float32))), True
        else:
            pixels, own = np.ascontiguousarray(step.paint(pixels if own else pixels.copy())), True
    return pixels if own else pixels.copy()


def warp_pixels(pixels: Pixels, warp: Warp) -> Pixels:
    """uint8 (H, W, 3) through a warp: bilinear, and averaged first over whole pixels where it shrinks by two or more.

    Whole rows and columns are taken as they are, and stretched to a square by the preprocessing that validation knows.
    """
    if upright := _upright(warp, pixels.shape):
        rows, columns, mirrored = upright
        part = pixels[rows, columns]
        if part.shape[:2] != warp.size_px and warp.size_px[0] == warp.size_px[1]:
            part = _square(warp.size_px[0]).apply(np.ascontiguousarray(part))
        if part.shape[:2] == warp.size_px:
            return cast(Pixels, cv2.flip(part, _FLIPS[mirrored])) if any(mirrored) else part.copy()
    pixels, backward = _shrunk(pixels, warp)
    fill = warp.fill or _NO_FILL
    return _warped(pixels, backward, warp.size_px, fill, cv2.INTER_LINEAR)


def warp_mask(mask: Pixels, warp: Warp) -> Pixels:
    """uint8 (H, W) through a warp: each place takes the value that it shows, none are mixed; a constant fill is 0."""
    mode = (warp.fill or _NO_FILL).mode
    return _warped(np.ascontiguousarray(mask), warp.matrix, warp.size_px, Fill(mode, 0), cv2.INTER_NEAREST)


def _share_fill(first: Warp | None, second: Warp) -> bool:
    return first is None or first.fill is None or second.fill is None or first.fill == second.fill


def _close(fused: list[Step], warp: Warp | None, colours: Sequence[Step]) -> None:
    """Adds a warp and the colour steps that follow it, neighbours of one kind as one."""
    if warp is not None:
        fused.append(warp)
    for step in colours:
        last = fused[-1] if fused else None
        if isinstance(step, Recolour) and isinstance(last, Recolour):
            fused[-1] = Recolour(partial(_chained, last.curve, step.curve))
        elif isinstance(step, MixChannels) and isinstance(last, MixChannels):
            combined = step.matrix[:, :3] @ last.matrix
            combined[:, 3] += step.matrix[:, 3]
            fused[-1] = MixChannels(combined)
        else:
            fused.append(step)


def _with_stretch(fused: list[Step], size_px: SizePx, result_px: SizePx) -> list[Step]:
    """The steps with a stretch to `result_px` as part of the last warp, or before all else where there is none."""
    place = next((index for index in reversed(range(len(fused))) if isinstance(fused[index], Warp)), None)
    warp = fused[place] if place is not None else None
    if not isinstance(warp, Warp) or place is None:
        return fused if size_px == result_px else [Warp(_stretch(size_px, result_px), result_px), *fused]
    if warp.size_px != result_px:
        fused[place] = Warp(warp.matrix @ _stretch(warp.size_px, result_px), result_px, warp.fill)
    return fused


def _stretch(size_px: SizePx, result_px: SizePx) -> Matrix:
    return matrix((size_px[1] / result_px[1], 0.0, 0.0), (0.0, size_px[0] / result_px[0], 0.0))


def _chained(first: _Curve, second: _Curve, values: Floats, counts: Counts) -> Floats:
    return second(_clipped(first(values, counts)), counts)


def _clipped(values: Floats) -> Floats:
    return np.minimum(np.maximum(values, np.float32(0)), np.float32(255))


def _recolour(pixels: Pixels, step: Recolour) -> Pixels:
    counted: list[Floats] = []

    def counts() -> Floats:
        if not counted:
            found = [cv2.calcHist([pixels], [channel], None, [256], [0, 256]) for channel in range(3)]
            counted.append(np.stack([np.asarray(levels, np.float32).reshape(256) for levels in found], axis=1))
        return counted[0]

    table = np.rint(_clipped(step.curve(_SAME, counts))).astype(np.uint8)  # rounded once, whatever the number of curves
    alike = np.array_equal(table[:, 0], table[:, 1]) and np.array_equal(table[:, 0], table[:, 2])  # then OpenCV is twice as quick
    return cast(Pixels, cv2.LUT(pixels, np.ascontiguousarray(table[:, 0]) if alike else table[None]))


def _upright(warp: Warp, size_px: tuple[int, ...]) -> tuple[slice, slice, tuple[bool, bool]] | None:
    """The rows and columns that the warp shows whole and straight, and whether mirrored in x and y; None where it does more."""
    (a, b, x), (c, d, y), (g, h, _) = warp.matrix.tolist()
    if b or c or g or h:
        return None
    spans = []
    for scale, start, count, limit in ((d, y, warp.size_px[0], size_px[0]), (a, x, warp.size_px[1], size_px[1])):
        low, high = sorted((start, start + scale * count))
        first, end = round(low), round(high)
        if abs(low - first) > _EXACT or abs(high - end) > _EXACT or first < 0 or end > limit or first == end:
            return None
        spans.append(slice(first, end))
    return spans[0], spans[1], (a < 0, d < 0)


@lru_cache(maxsize=64)
def _square(size_px: int) -> Preprocessing:
    """What validation and production do to the same picture."""
    return square(size_px)


def _shrunk(pixels: Pixels, warp: Warp) -> tuple[Pixels, Matrix]:
    """Pixels averaged by a whole number in each direction, so that less than a halving is left to the warp, and its matrix for them."""
    backward = warp.matrix
    across, down = _steps_px(backward, warp.size_px)
    if across < 2 and down < 2:
        return pixels, backward
    pixels, backward = _seen(pixels, backward, warp.size_px, margin_px=2 * int(max(across, down)) + 2)
    height, width = pixels.shape[:2]
    smaller = (max(1, width // max(1, int(across))), max(1, height // max(1, int(down))))
    shrunk = cast(Pixels, cv2.resize(pixels, smaller, interpolation=cv2.INTER_AREA))
    return shrunk, matrix((smaller[0] / width, 0.0, 0.0), (0.0, smaller[1] / height, 0.0)) @ backward


def _steps_px(backward: Matrix, size_px: SizePx) -> tuple[float, float]:
    """How many of the picture's columns, and rows, lie between neighbours of the result, measured at its centre."""
    (a, b, x), (c, d, y), (g, h, w) = backward.tolist()
    if g or h:
        centre_x, centre_y = size_px[1] / 2, size_px[0] / 2
        depth = g * centre_x + h * centre_y + w
        at_x, at_y = (a * centre_x + b * centre_y + x) / depth, (c * centre_x + d * centre_y + y) / depth
        a, b, c, d = (a - g * at_x) / depth, (b - h * at_x) / depth, (c - g * at_y) / depth, (d - h * at_y) / depth
    return float((a * a + b * b) ** 0.5), float((c * c + d * d) ** 0.5)


def _seen(pixels: Pixels, backward: Matrix, size_px: SizePx, *, margin_px: int) -> tuple[Pixels, Matrix]:
    """The part of the picture that the warp looks at, so that no more is averaged; all of it where the warp looks outside."""
    height, width = size_px
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]]) @ backward.T
    if (corners[:, 2] <= 0).any():
        return pixels, backward
    places = corners[:, :2] / corners[:, 2:]
    left, top = (np.floor(places.min(axis=0)) - margin_px).astype(int).tolist()
    right, bottom = (np.ceil(places.max(axis=0)) + margin_px).astype(int).tolist()
    if left < 0 or top < 0 or right > pixels.shape[1] or bottom > pixels.shape[0]:
        return pixels, backward
    return np.ascontiguousarray(pixels[top:bottom, left:right]), matrix((1.0, 0.0, -left), (0.0, 1.0, -top)) @ backward


def _warped(pixels: Pixels, backward: Matrix, size_px: SizePx, fill: Fill, interpolation: int) -> Pixels:
    """(H, W[, 3]) -> `size_px`. OpenCV counts from the centre of the first pixel, half a pixel inside its edge.

    Three channels go through as four, and what is filled is laid around the picture first: both together halve the time,
    since OpenCV's inner loop takes four channels at once, and no pixel needs its slow path for the outside.
    """
    colour = pixels.ndim == 3
    border, value = _BORDERS[fill.mode], (fill.value,) * 4
    if colour:
        pixels = cast(Pixels, cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA))
    backward = backward @ _FROM_CENTRES
    if fill.mode != "constant" and (margins := _outside(backward, size_px, pixels.shape)):
        left, top, right, bottom = margins
        pixels = cast(Pixels, cv2.copyMakeBorder(pixels, top, bottom, left, right, border))
        backward = matrix((1.0, 0.0, left), (0.0, 1.0, top)) @ backward
    backward = _INTO_CENTRES @ backward
    size, flags = (size_px[1], size_px[0]), interpolation | cv2.WARP_INVERSE_MAP
    if backward[2, 0] or backward[2, 1]:
        warped = cv2.warpPerspective(pixels, backward, size, flags=flags, borderMode=border, borderValue=value)
    else:
        warped = cv2.warpAffine(pixels, backward[:2], size, flags=flags, borderMode=border, borderValue=value)
    return cast(Pixels, cv2.cvtColor(warped, cv2.COLOR_RGBA2RGB) if colour else warped)


def _outside(backward: Matrix, size_px: SizePx, shape: tuple[int, ...]) -> tuple[int, int, int, int] | None:
    """How many pixels the warp looks beyond the left, top, right and bottom edge; None where nothing is to be laid there.

    That is where it looks at none, or (for a tiny picture, or one seen from far away) at more than the picture's own side.
    """
    height, width = size_px
    (a, b, x), (c, d, y), (g, h, w) = backward.tolist()
    places = []
    for column, row in ((0, 0), (width, 0), (0, height), (width, height)):
        depth = g * column + h * row + w
        if depth <= 0:
            return None
        places.append(((a * column + b * row + x) / depth, (c * column + d * row + y) / depth))
    columns, rows = zip(*places, strict=True)
    margins = (
        max(0, 2 - math.floor(min(columns))),
        max(0, 2 - math.floor(min(rows))),
        max(0, math.ceil(max(columns)) + 2 - shape[1]),
        max(0, math.ceil(max(rows)) + 2 - shape[0]),
    )
    return margins if 0 < max(margins) <= min(shape[0], shape[1]) else None
