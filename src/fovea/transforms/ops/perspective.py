"""Pictures seen from the side."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FilledGeometry, Lots, OpInfo, Range, pick
from fovea.transforms.steps import SizePx, Warp


@OPS.add(OpInfo("geometry", source="torchvision RandomPerspective"), name="perspective")
@dataclass(frozen=True, kw_only=True)
class Perspective(FilledGeometry):
    """Moves each corner of the picture inwards by a chance of its own.

    Args:
        distortion_range: How far at most, in parts of half the side; drawn first, then each corner within it. From 0.45
            on the horizon could enter the picture.
    """

    num_draws = 9

    distortion_range: Range = limited((0.0, 0.3), low=0, high=0.4, unit="of half the side")

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        height, width = size_px
        most = pick(self.distortion_range, lots[0]) / 2
        corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
        inwards = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * np.array([width, height])
        seen = (corners + inwards * (most * np.array(lots[1:]).reshape(4, 2))).astype(np.float32)
        backward = np.asarray(cv2.getPerspectiveTransform(seen, corners), np.float64)
        return Warp(backward, size_px, self.filling)
