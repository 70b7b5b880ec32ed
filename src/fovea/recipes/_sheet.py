"""Pictures side by side on one sheet, each with a word below it and its boxes, masks and points on it."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from fovea.files import printable
from fovea.types import Pixels, Sample

_GAP_PX, _TEXT_PX, _SMALLEST_PX, _COLUMNS = 12, 14, 160, 3
_WHITE, _INK = (255, 255, 255), (40, 40, 40)
# Okabe and Ito's colours, which most colour-blind people can tell apart
_COLOURS = ((213, 94, 0), (0, 114, 178), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))


@dataclass(frozen=True)
class Tile:
    """One picture and the word below it."""

    word: str
    sample: Sample


def draw_sheet(tiles: Sequence[Tile], *, title: str, lines: Sequence[str]) -> bytes:
    """A PNG: the first two tiles in a column of their own, the others in rows of three beside it.

    Args:
        tiles: The second one's size is that of all but the first, which is brought to it.
        title: Above all.
        lines: Below all.
    """
    side = tiles[1].sample.pixels.shape[0]
    side *= -(-_SMALLEST_PX // side)  # small pictures are enlarged by whole numbers, so that each pixel can be seen
    step, below = side + _GAP_PX, side + _GAP_PX + _TEXT_PX + 6
    rows = max(2, -(-(len(tiles) - 2) // _COLUMNS))
    wrapped = [part for line in lines for part in _wrapped(printable(line), (1 + _COLUMNS) * step)]
    top = 2 * _GAP_PX + _TEXT_PX
    width = 3 * _GAP_PX + (1 + _COLUMNS) * step
    canvas = Image.new("RGB", (width, top + rows * below + len(wrapped) * (_TEXT_PX + 4) + _GAP_PX), _WHITE)
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(_TEXT_PX)
    pen.text((_GAP_PX, _GAP_PX), printable(title), fill=_INK, font=font)
    for index, tile in enumerate(tiles):
        column, row = (0, index) if index < 2 else (1 + (index - 2) % _COLUMNS, (index - 2) // _COLUMNS)
        x, y = _GAP_PX + column * step + (_GAP_PX if column else 0), top + row * below
        canvas.paste(Image.fromarray(_shown(tile.sample, side)), (x, y))
        pen.text((x, y + side + 2), tile.word, fill=_INK, font=font)
    for index, line in enumerate(wrapped):
        pen.text((_GAP_PX, top + rows * below + index * (_TEXT_PX + 4)), line, fill=_INK, font=font)
    done, encoded = cv2.imencode(".png", np.asarray(canvas)[:, :, ::-1])
    if not done:
        raise ValueError(f"a sheet of {canvas.size} could not be encoded")
    return encoded.tobytes()


def _shown(sample: Sample, side: int) -> Pixels:
    """(side, side, 3): the picture with its targets, fitted in; grey where it does not reach."""
    height, width = sample.pixels.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST if scale == int(scale) else cv2.INTER_LINEAR
    pixels = np.asarray(cv2.resize(sample.pixels, size, interpolation=how), np.uint8)
    targets = sample.targets
    for index, mask in enumerate([] if targets.masks is None else targets.masks):
        shown, colour = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST), _COLOURS[index % len(_COLOURS)]
        pixels[shown > 0] = (0.6 * pixels[shown > 0] + 0.4 * np.array(colour)).astype(np.uint8)
        cv2.drawContours(pixels, cv2.findContours(shown, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0], -1, colour)
    for index, box in enumerate(targets.boxes * scale):
        x0, y0, x1, y1 = np.rint(box).astype(int).tolist()
        cv2.rectangle(pixels, (x0, y0), (max(x0, x1 - 1), max(y0, y1 - 1)), _COLOURS[index % len(_COLOURS)], 2)
    for index, (x, y) in enumerate(np.nan_to_num(targets.points * scale, nan=-9).astype(int).tolist()):
        cv2.circle(pixels, (x, y), 3, _COLOURS[index % len(_COLOURS)], cv2.FILLED)
    canvas = np.full((side, side, 3), 238, np.uint8)
    canvas[: size[1], : size[0]] = pixels
    return canvas


def _wrapped(line: str, width_px: int) -> list[str]:
    """The line in pieces that fit, broken at spaces."""
    font, pieces = ImageFont.load_default(_TEXT_PX), [""]
    for word in line.split(" "):
        longer = f"{pieces[-1]} {word}".strip()
        if font.getlength(longer) > width_px and pieces[-1]:
            pieces.append("    " + word)
        else:
            pieces[-1] = longer
    return pieces
