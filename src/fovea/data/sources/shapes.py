"""Generated scenes: a triangle or a rectangle on white, under circles and lines; with class, box and mask.

After the simple-object-detection example of TensorFlow.js (Cai et al., Deep Learning with JavaScript, chapter 10), whose sizes
these are: 224 px, 10 circles of radius 5 to 20, 10 lines, sides of 40 (triangle 50) to 100. There half of the circles
and lines lie under the shape; here all lie over it.
"""

from typing import NamedTuple

import cv2
import numpy as np

from fovea.data.source import SOURCES, Source, SourceInfo
from fovea.data.sources._png import write_png
from fovea.errors import UnreadableImage
from fovea.types import Ints, Item, Pixels, Targets

SIDE_PX = 224
NUM_SCENES = 1000
_NUM_CIRCLES, _NUM_LINES = 10, 10
_RADIUS_RANGE_PX, _RECTANGLE_RANGE_PX, _TRIANGLE_RANGE_PX = (5, 20), (40, 100), (50, 100)
_DARKEST_TO_LIGHTEST = (0, 200)  # of each channel: a shape that is nearly white could not be seen


class _Scene(NamedTuple):
    corners: Ints  # (3 or 4, 2) x y
    colour: tuple[int, int, int]
    circles: Ints  # (10, 6) x y radius r g b
    lines: Ints  # (10, 7) x0 y0 x1 y1 r g b


class _Shapes(Source):
    def __init__(self, seed: int, count: int) -> None:
        names = ("rectangle", "triangle")  # in turn, so that the classes are equal
        super().__init__("shapes", "shapes", [Item(f"{index:06d}_{names[index % 2]}.png", names[index % 2]) for index in range(count)])
        self._seed = seed % 2**63  # a generator takes no negative seed

    def read(self, item: Item) -> bytes:
        return write_png(_paint(self._scene(item)))

    def targets(self, item: Item) -> Targets:
        """The shape's box, label and mask.

        All three are of the full shape, whether or not circles and lines lie over parts of it. The box is the tight
        pixel-edge box of the mask.
        """
        mask = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        cv2.fillConvexPoly(mask, self._scene(item).corners.astype(np.int32), 1)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        box = np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float32)
        return Targets(boxes=box, box_labels=(str(item.label),), masks=mask[None])

    def _scene(self, item: Item) -> _Scene:
        number = item.path.partition("_")[0]
        if not number.isdecimal() or item.label not in self.class_names:
            raise UnreadableImage(
                f"{item.path!r} does not exist", got="no such scene in 'shapes'", expected=self.items[0].path, fix="take an item of `items`"
            )
        return _draw_lots(np.random.default_rng((self._seed, int(number))), is_triangle=item.label == "triangle")


@SOURCES.add(SourceInfo("generated scenes of 224 pixels: a triangle or a rectangle, under circles and lines"))
def shapes(*, seed: int = 0, max_items: int | None = None) -> Source:
    """`max_items` scenes (1,000), each drawn when it is read; scene i of a seed is the same however many there are."""
    return _Shapes(seed, max_items or NUM_SCENES)


def _draw_lots(rng: np.random.Generator, *, is_triangle: bool) -> _Scene:
    """All that is random in one scene."""
    turn = rng.uniform(0, 2 * np.pi)
    if is_triangle:
        radius = rng.uniform(*_TRIANGLE_RANGE_PX) / np.sqrt(3)  # of the circle through the corners of an equilateral one
        angles = turn + np.arange(3) * (2 * np.pi / 3)
        corners = radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        half = rng.uniform(*_RECTANGLE_RANGE_PX, size=2) / 2
        upright = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        corners = upright @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    centre = rng.uniform(-corners.min(axis=0), SIDE_PX - 1 - corners.max(axis=0))  # anywhere, wholly inside
    colours = rng.integers(*_DARKEST_TO_LIGHTEST, size=(1 + _NUM_CIRCLES + _NUM_LINES, 3))
    places = rng.integers(0, SIDE_PX, size=(_NUM_CIRCLES, 2))
    radii = rng.integers(_RADIUS_RANGE_PX[0], _RADIUS_RANGE_PX[1] + 1, size=(_NUM_CIRCLES, 1))
    ends = rng.integers(0, SIDE_PX, size=(_NUM_LINES, 4))
    return _Scene(
        corners=np.rint(corners + centre).astype(np.int64),
        colour=(int(colours[0, 0]), int(colours[0, 1]), int(colours[0, 2])),
        circles=np.hstack([places, radii, colours[1 : 1 + _NUM_CIRCLES]]),
        lines=np.hstack([ends, colours[1 + _NUM_CIRCLES :]]),
    )


def _paint(scene: _Scene) -> Pixels:
    """(224, 224, 3) RGB, without smoothing: the shape covers exactly the pixels of its mask."""
    canvas = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    cv2.fillConvexPoly(canvas, scene.corners.astype(np.int32), scene.colour)
    for x, y, radius, *colour in scene.circles.tolist():
        cv2.circle(canvas, (x, y), radius, colour, thickness=cv2.FILLED)
    for x0, y0, x1, y1, *colour in scene.lines.tolist():
        cv2.line(canvas, (x0, y0), (x1, y1), colour)
    return canvas
