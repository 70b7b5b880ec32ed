"""Pictures of explanations: one sheet a photo, many on a contact sheet, and heat in motion.

The colour maps are perceptually uniform (equal steps of heat look equally large) and keep their order for colour-blind people and in grey:
viridis, cividis and inferno of matplotlib (Nuñez, Anderton and Renslow 2018, doi:10.1371/journal.pone.0199239, for the middle one).
"""

import io
from collections.abc import Sequence
from typing import Literal, get_args

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from fovea.errors import InputError
from fovea.files import printable
from fovea.types import Floats, Pixels

ColourMap = Literal["viridis", "cividis", "inferno"]

_SIDE_PX, _GAP_PX, _TEXT_PX, _BARS_PX, _LEGEND_PX = 256, 16, 14, 260, 12
_SMALL_TEXT_PX = 12
_TILE_PX, _COLUMNS, _TILE_TEXT_PX = 180, 5, 12
_WHITE, _INK, _FAINT, _BAR, _TRACK = (255, 255, 255), (30, 30, 30), (95, 95, 95), (0, 90, 150), (228, 228, 228)
_MOST_ANSWERS = 5
_PALETTE_FRAMES = 8
_VEIL = (0.15, 0.75)  # how much of the overlay is heat, where it is coldest and hottest: the photo shows through where nothing is
_CODES = {"viridis": cv2.COLORMAP_VIRIDIS, "cividis": cv2.COLORMAP_CIVIDIS, "inferno": cv2.COLORMAP_INFERNO}


def colour(heat: Floats, *, colours: ColourMap = "viridis") -> Pixels:
    """Heat (H, W) in 0..1 -> its colours, uint8 (H, W, 3).

    Raises:
        InputError: No such colour map.
    """
    if colours not in _CODES:
        raise InputError(
            f"no colour map is called {colours!r}", got=repr(colours), expected=", ".join(get_args(ColourMap)), fix="choose one of these"
        )
    levels = np.rint(np.clip(np.nan_to_num(heat), 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(cv2.applyColorMap(levels, _CODES[colours])[:, :, ::-1])


def overlay(photo: Pixels, heat: Floats, *, colours: ColourMap = "viridis") -> Pixels:
    """The photo in grey under its heat, uint8 (H, W, 3): the hotter, the less of the photo is left.

    Raises:
        InputError: Photo and heat are of different sizes.
    """
    _check(photo, heat)
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)[:, :, None].astype(np.float32)
    low, high = _VEIL
    veil = (low + (high - low) * np.clip(heat, 0, 1))[:, :, None]
    return np.rint((1 - veil) * grey + veil * colour(heat, colours=colours)).astype(np.uint8)


def sheet(
    photo: Pixels,
    heat: Floats,
    answers: Sequence[tuple[str, float]],
    title: str,
    *,
    colours: ColourMap = "viridis",
    scale: tuple[str, str] = ("0 (nothing)", "1 (most)"),
) -> Pixels:
    """Photo, heat and overlay side by side, what the model answered with bars, and the scale of the colours.

    Args:
        photo: uint8 (H, W, 3).
        heat: float32 (H, W) in 0..1.
        answers: (name, probability), the most probable first; the first five are shown. None leaves the bars out.
        title: Above all.
        colours: The colour map.
        scale: What the coldest and the hottest colour mean.

    Raises:
        InputError: Photo and heat are of different sizes, or no such colour map.
    """
    _check(photo, heat)
    pictures = [_fitted(each) for each in (photo, colour(heat, colours=colours), overlay(photo, heat, colours=colours))]
    height, width = pictures[0].shape[:2]
    top, shown = 2 * _GAP_PX + _TEXT_PX + 2, answers[:_MOST_ANSWERS]
    total_width = _GAP_PX + 3 * (width + _GAP_PX) + (_BARS_PX + _GAP_PX if shown else 0)
    below = top + height + 4 + _SMALL_TEXT_PX + 8
    canvas = Image.new("RGB", (total_width, max(below + _LEGEND_PX + _SMALL_TEXT_PX + 14, top + _bars_height(shown) + _GAP_PX)), _WHITE)
    pen = ImageDraw.Draw(canvas)
    _text(pen, (_GAP_PX, _GAP_PX), title, total_width - 2 * _GAP_PX)
    for index, (picture, word) in enumerate(zip(pictures, ("the picture, as the model sees it", "heat", "both"), strict=True)):
        x = _GAP_PX + index * (width + _GAP_PX)
        canvas.paste(Image.fromarray(picture), (x, top))
        _text(pen, (x, top + height + 4), word, width, size_px=_SMALL_TEXT_PX, fill=_FAINT)
    x = 2 * _GAP_PX + width
    _legend(canvas, (x, below), 2 * width + _GAP_PX, colours, scale)
    if shown:
        _bars(pen, (_GAP_PX + 3 * (width + _GAP_PX), top), shown)
    return np.asarray(canvas)


def contact_sheet(tiles: Sequence[tuple[str, Pixels]], *, title: str, columns: int = _COLUMNS) -> Pixels:
    """Many pictures in rows, each with a word below it: uint8 (H, W, 3).

    Args:
        tiles: (word, uint8 (h, w, 3)), in order; sizes may differ.
        title: Above all.
        columns: Tiles a row.
    """
    if not tiles:
        raise InputError("there is nothing to put on a contact sheet", got="no pictures", expected="at least one", fix="name some pictures")
    columns = min(columns, len(tiles))
    step_x, step_y = _TILE_PX + _GAP_PX, _TILE_PX + _TILE_TEXT_PX + 10 + _GAP_PX // 2
    rows, top = -(-len(tiles) // columns), 2 * _GAP_PX + _TEXT_PX
    width = max(_GAP_PX + columns * step_x, 2 * _GAP_PX + round(_font(_TEXT_PX).getlength(printable(title))))
    canvas = Image.new("RGB", (min(width, _GAP_PX + max(columns, _COLUMNS) * step_x), top + rows * step_y + _GAP_PX // 2), _WHITE)
    pen = ImageDraw.Draw(canvas)
    _text(pen, (_GAP_PX, _GAP_PX), title, canvas.width - 2 * _GAP_PX)
    for index, (word, pixels) in enumerate(tiles):
        x, y = _GAP_PX + index % columns * step_x, top + index // columns * step_y
        small = _fitted(pixels, _TILE_PX)
        canvas.paste(Image.fromarray(small), (x, y))
        _text(pen, (x, y + _TILE_PX + 3), word, _TILE_PX, size_px=_TILE_TEXT_PX)
    return np.asarray(canvas)


def animation(frames: Sequence[Pixels], *, kind: Literal["gif", "webp"] = "gif", seconds: float = 4.0) -> bytes:
    """Frames, uint8 (H, W, 3) of one size, as a file that runs by itself, for ever; the last frame stands a second longer.

    Args:
        frames: Two or more.
        kind: Animated WebP is smaller and has all colours; GIF is shown everywhere.
        seconds: For all frames but that last second.
    """
    if len(frames) < 2:
        raise InputError("nothing moves in one picture", got=f"{len(frames)} frames", expected="two or more", fix="give more frames")
    each_ms = max(20, round(1000 * seconds / len(frames)))
    images = [Image.fromarray(frame) for frame in frames]
    if kind == "gif":  # the colours of the whole path, so that none changes its meaning on the way
        some = [*frames[:: max(1, len(frames) // _PALETTE_FRAMES)], frames[-1]]
        palette = Image.fromarray(np.concatenate(some)).quantize(256)
        images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    buffer = io.BytesIO()
    durations = [each_ms] * (len(images) - 1) + [each_ms + 1000]
    images[0].save(buffer, format=kind.upper(), save_all=True, append_images=images[1:], duration=durations, loop=0)
    return buffer.getvalue()


def png(pixels: Pixels) -> bytes:
    """uint8 (H, W, 3) as the bytes of a PNG file."""
    done, encoded = cv2.imencode(".png", np.ascontiguousarray(pixels[:, :, ::-1]))
    if not done:
        raise ValueError(f"a picture of shape {pixels.shape} could not be encoded")
    return encoded.tobytes()


def _check(photo: Pixels, heat: npt.NDArray[np.floating]) -> None:
    if photo.shape[:2] != heat.shape:
        raise InputError(
            "heat and photo are of different sizes",
            got=f"heat {heat.shape}, photo {photo.shape[:2]}",
            expected="one height and width",
            fix="draw the heat over the picture that was explained",
        )


def _fitted(pixels: Pixels, side_px: int = _SIDE_PX) -> Pixels:
    """The longer side at `side_px`; small pictures by whole numbers, so that each pixel can be seen."""
    height, width = pixels.shape[:2]
    factor = side_px / max(height, width)
    if factor >= 2:
        factor = int(factor)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST if factor == int(factor) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=how), np.uint8)


def _legend(canvas: Image.Image, place: tuple[int, int], width: int, colours: ColourMap, scale: tuple[str, str]) -> None:
    ramp = np.tile(np.linspace(0, 1, width, dtype=np.float32), (_LEGEND_PX, 1))
    canvas.paste(Image.fromarray(colour(ramp, colours=colours)), place)
    pen, (x, y) = ImageDraw.Draw(canvas), place
    font = _font(_SMALL_TEXT_PX)
    for word, share in ((scale[0], 0.0), ("0.5", 0.5), (scale[1], 1.0)):
        text = printable(word)
        left = x + share * (width - font.getlength(text))
        pen.text((left, y + _LEGEND_PX + 2), text, fill=_FAINT, font=font)


def _bars_height(answers: Sequence[tuple[str, float]]) -> int:
    return len(answers) * (_SMALL_TEXT_PX + 24)


def _bars(pen: ImageDraw.ImageDraw, place: tuple[int, int], answers: Sequence[tuple[str, float]]) -> None:
    x, y = place
    font = _font(_SMALL_TEXT_PX)
    for index, (name, probability) in enumerate(answers):
        upper = y + index * (_SMALL_TEXT_PX + 24)
        number = f"{100 * probability:.1f} %"
        _text(pen, (x, upper), name, _BARS_PX - round(font.getlength(number)) - 8, size_px=_SMALL_TEXT_PX)
        pen.text((x + _BARS_PX - font.getlength(number), upper), number, fill=_INK, font=font)
        lower = upper + _SMALL_TEXT_PX + 5
        pen.rectangle((x, lower, x + _BARS_PX, lower + 8), fill=_TRACK)
        if (filled := round(_BARS_PX * min(max(probability, 0.0), 1.0))) > 0:
            pen.rectangle((x, lower, x + filled, lower + 8), fill=_BAR)


def _text(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    text: str,
    width: int,
    *,
    size_px: int = _TEXT_PX,
    fill: tuple[int, int, int] = _INK,
) -> None:
    """A line that ends in dots where it does not fit."""
    font, line = _font(size_px), printable(text).replace("\n", " ")
    if font.getlength(line) > width:
        while line and font.getlength(line + "...") > width:
            line = line[:-1]
        line += "..."
    pen.text(place, line, fill=fill, font=font)


def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size_px)
