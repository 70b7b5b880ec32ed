"""Golden answers of weights: a few numbers that they gave on a drawn picture when they were measured.

A wrong order of the channels, another padding, scale or mean, or a layer's other epsilon changes them, where shapes fit as before.
"""

import numpy as np
import torch

from fovea.errors import WeightsError
from fovea.models.modes import evaluating
from fovea.models.network import PixelBackbone
from fovea.models.passport import Passport
from fovea.types import Floats, Pixels

_NUM_SHOWN = 8  # numbers kept of each answer
_TOLERANCE = 2e-3  # of the largest: above rounding, below the smallest fault that a test plants (a deviation of 0.51 for 0.5)


def golden_picture(size_px: int) -> Pixels:
    """A drawn picture (S, S, 3) whose channels, edges and corners all differ: slopes, rings and stripes."""
    rows, columns = np.mgrid[:size_px, :size_px] / size_px
    red = 40 + 200 * columns
    green = 128 + 100 * np.sin(25 * np.hypot(rows - 0.4, columns - 0.6))
    blue = 60 + 80 * ((np.floor(rows * 9) + np.floor(columns * 13)) % 2) + 60 * rows
    picture: Pixels = np.rint(np.stack([red, green, blue], axis=2)).clip(0, 255).astype(np.uint8)
    return picture


def golden_values(body: PixelBackbone, size_px: int) -> tuple[float, ...]:
    """What a network answers to the picture, in few numbers: of its embedding, then of its logits where it has a classifier."""
    with evaluating(body), torch.inference_mode():
        embedding, logits = body.answers(torch.from_numpy(golden_picture(size_px))[None])
    kept = [embedding] if logits is embedding else [embedding, logits]
    return tuple(round(float(value), 5) for answer in kept for value in _few(answer[0].flatten().numpy()))


def check_golden(body: PixelBackbone, passport: Passport) -> None:
    """Raises where a network with these weights answers otherwise than it did when they were measured.

    Weights without golden values pass, and so do answers at another size or pooling than they were taken at.

    Raises:
        WeightsError: It answers otherwise.
    """
    if not passport.golden or body.backbone.pooling is not None:
        return
    found = np.array(golden_values(body, passport.image_size_px))
    expected = np.array(passport.golden)
    for start in range(0, min(len(found), len(expected)), _NUM_SHOWN):
        ours, theirs = found[start : start + _NUM_SHOWN], expected[start : start + _NUM_SHOWN]
        if not np.abs(ours - theirs).max() <= _TOLERANCE * np.abs(theirs).max():  # not so either where one is no number
            raise WeightsError(
                f"with the weights {passport.name!r} the network answers otherwise than when they were measured",
                got=", ".join(f"{value:.4g}" for value in ours[:4]),
                expected=", ".join(f"{value:.4g}" for value in theirs[:4]) + ", its passport's golden values",
                fix="check the order of channels, the padding, and the mean and deviation that they are fed with",
            )


def _few(values: Floats) -> Floats:
    """Eight sums of all the values, each with other weights."""
    angles = np.outer(np.arange(1, _NUM_SHOWN + 1), np.arange(len(values)) + 0.5) * np.pi / len(values)
    return np.cos(angles) @ values.astype(np.float64) / np.sqrt(len(values))  # type: ignore[no-any-return]
