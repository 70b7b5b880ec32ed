"""Occlusion: a patch is covered, and what the score loses is written where it was (Zeiler and Fergus 2014, arXiv:1311.2901)."""

from __future__ import annotations

from typing import Any

import numpy as np

from fovea.explain.method import METHODS, MethodInfo
from fovea.explain.perturbing import in_batches
from fovea.explain.subject import Subject
from fovea.types import Floats

_SHARE = 7  # the patch is a seventh of the side, and moves by half of itself: 13 x 13 places, 169 passes


@METHODS.add(
    MethodInfo(
        purpose="needs nothing but answers: where covering a patch lowers the score (slow: about 170 forward passes)",
        source="Zeiler and Fergus 2014, arXiv:1311.2901",
    )
)
def occlusion(subject: Subject, pixels: Any, target: int, *, seed: int = 0) -> Floats:
    """What the score loses while a patch of the picture's mean colour covers each place, the mean over the patches there: (H, W)."""
    height, width = pixels.shape[:2]
    tall, wide = max(1, round(height / _SHARE)), max(1, round(width / _SHARE))
    rows, columns = _starts(height, tall), _starts(width, wide)
    mean = pixels.reshape(-1, 3).astype(np.float64).mean(axis=0)
    patch = (np.rint(mean) if pixels.dtype == np.uint8 else mean).astype(pixels.dtype)
    places = [(row, column) for row in rows for column in columns]

    def covered(row: int, column: int) -> Any:
        changed = pixels.copy()
        changed[row : row + tall, column : column + wide] = patch
        return changed

    lost = subject.scores(pixels[None], target)[0] - in_batches(subject, (covered(*place) for place in places), target)
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for (row, column), value in zip(places, lost, strict=True):
        total[row : row + tall, column : column + wide] += value
        count[row : row + tall, column : column + wide] += 1
    return (total / np.maximum(count, 1)).astype(np.float32)


def _starts(side: int, patch: int) -> list[int]:
    """Where patches begin: every half of one, and the last at the rim."""
    return sorted({*range(0, side - patch + 1, max(1, patch // 2)), side - patch})
