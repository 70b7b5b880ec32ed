"""Preprocessing: from a decoded picture of any size to the model's own square, the same in training, tests and production.

One value, saved in the run, shipped in the bundle. Scaling to floats is inside the model, so that nothing but this file
and the decoder decides which bytes a model sees.
"""

from typing import Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fovea.files import hash_json
from fovea.types import Floats, Pixels

# Raise it when the same bytes would give other pixels: stored embeddings are then computed anew.
_VERSION = 1
_IN_VIEW_PX = 0.5  # of a box that the crop cuts through: less is nothing that could be seen

Rule = Literal["stretch", "short_side", "letterbox"]


class Resize(BaseModel):
    """How the sides are brought to `size_px`.

    Args:
        rule: "stretch" brings both sides to size_px (nothing is cut off, the proportions change); "short_side" brings the
            shorter side to size_px and keeps the proportions (the crop then cuts the rest off); "letterbox" brings the
            longer side to size_px, keeps the proportions, and fills the rest with grey.
        size_px: The side.
        interpolation: Between pixels when enlarging.
        antialias: When shrinking, average over the pixels that fall into one (OpenCV's INTER_AREA), so that fine
            patterns do not turn into noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule = "stretch"
    size_px: int = Field(ge=8, le=4096)
    interpolation: Literal["bilinear"] = "bilinear"
    antialias: bool = True


class Preprocessing(BaseModel):
    """Decoded RGB picture -> uint8 (size, size, 3). The `preprocessing` of a bundle.

    Args:
        resize: The first step.
        crop_px: Side of the central square that is kept after it, or None to keep everything.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    resize: Resize
    crop_px: int | None = Field(default=None, ge=8, le=4096, alias="crop")
    channels: Literal["RGB"] = "RGB"
    dtype: Literal["uint8"] = "uint8"

    @property
    def size_px(self) -> int:
        """Side of the square that the model receives."""
        return self.crop_px or self.resize.size_px

    @property
    def min_side_px(self) -> int:
        """The decoder may shrink a picture while it decodes, but not below this in its shorter side."""
        return self.resize.size_px

    @property
    def key(self) -> str:
        """The same for the same pixels: part of the key of a stored embedding."""
        return hash_json([_VERSION, self.model_dump(by_alias=True)])

    def apply(self, pixels: Pixels) -> Pixels:
        """(H, W, 3) RGB -> (size, size, 3) RGB; the input is left as it was."""
        (height, width), (frame_height, frame_width) = self._sizes(*pixels.shape[:2])
        resized = _resize(pixels, height, width, self.resize.antialias)
        if (frame_height, frame_width) != (height, width):
            inner, resized = resized, np.full((frame_height, frame_width, 3), 128, np.uint8)
            top, left = (frame_height - height) // 2, (frame_width - width) // 2
            resized[top : top + height, left : left + width] = inner
        side = self.size_px
        top, left = (frame_height - side) // 2, (frame_width - side) // 2
        return np.ascontiguousarray(resized[top : top + side, left : left + side])

    def move_boxes(self, boxes: Floats, *, width_px: int, height_px: int) -> Floats:
        """Boxes x0 y0 x1 y1 in a picture's pixels, (N, 4) -> in those that the model sees, (M, 4): cut at the rim, and left out where nothing is in view."""
        (height, width), (frame_height, frame_width) = self._sizes(height_px, width_px)
        side = self.size_px
        left, top = (frame_width - width) // 2 - (frame_width - side) // 2, (frame_height - height) // 2 - (frame_height - side) // 2
        moved = boxes.reshape(-1, 4) * np.tile([width / width_px, height / height_px], 2) + [left, top, left, top]
        moved = moved.clip(0, side).astype(np.float32)
        return moved[(moved[:, 2:] - moved[:, :2] >= _IN_VIEW_PX).all(axis=1)]  # type: ignore[no-any-return]

    def _sizes(self, height: int, width: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """(height, width) of the resized picture, and of the frame that it stands in the middle of: larger where it is filled with grey."""
        size = self.resize.size_px
        if self.resize.rule == "stretch":
            return (size, size), (size, size)
        if self.resize.rule == "short_side":
            scale = size / min(height, width)
            fitted = max(size, round(height * scale)), max(size, round(width * scale))
            return fitted, fitted
        scale = size / max(height, width)
        return (max(1, round(height * scale)), max(1, round(width * scale))), (size, size)


def square(size_px: int) -> Preprocessing:
    """The default: the whole picture, stretched to a square, so that nothing at the border is lost."""
    return Preprocessing(resize=Resize(rule="stretch", size_px=size_px))


def central_crop(size_px: int, *, fraction: float) -> Preprocessing:
    """The usual evaluation of ImageNet weights: the shorter side to size / fraction, then the central square."""
    return Preprocessing(resize=Resize(rule="short_side", size_px=round(size_px / fraction)), crop=size_px)


def _resize(pixels: Pixels, height: int, width: int, antialias: bool) -> Pixels:
    if pixels.shape[:2] == (height, width):
        return pixels
    shrinks = antialias and (pixels.shape[0] > height or pixels.shape[1] > width)
    # INTER_AREA is exact averaging only while both sides shrink; where one grows, shrink the other first
    if shrinks and (pixels.shape[0] < height or pixels.shape[1] < width):
        pixels = _scaled(pixels, min(height, pixels.shape[0]), min(width, pixels.shape[1]), cv2.INTER_AREA)
        shrinks = False
    return _scaled(pixels, height, width, cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _scaled(pixels: Pixels, height: int, width: int, interpolation: int) -> Pixels:
    return np.asarray(cv2.resize(pixels, (width, height), interpolation=interpolation), np.uint8)
