"""The way of integrated gradients, step by step: what has been gathered when the picture has come out of the black so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from fovea.explain.drawing import overlay
from fovea.types import Floats, Pixels

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject

_GAP_PX = 4
_BRIGHTEST = 0.995  # of the places have colours of their own


def integrated_path(subject: NetworkSubject, pixels: Pixels, target: int, *, num_steps: int = 16) -> list[tuple[Pixels, Floats]]:
    """For each step the picture that far out of the black, and the evidence gathered up to there.

    The evidence of the last step is integrated gradients by the midpoint rule (Sundararajan et al. 2017, arXiv:1703.01365, section 5).

    Args:
        subject: A network with gradients.
        pixels: uint8 (H, W, 3).
        target: The output that is explained.
        num_steps: Of equal length.

    Returns:
        (uint8 (H, W, 3), float32 (H, W) signed evidence) for each step.
    """
    import torch

    x, black = subject.input(pixels[None]), subject.input(np.zeros_like(pixels)[None])
    shares = (np.arange(num_steps) + 0.5) / num_steps
    gradients = subject.gradients(black + torch.tensor(shares).to(x).view(-1, 1, 1, 1) * (x - black), target)
    gathered = ((x - black) * gradients).sum(dim=1).cumsum(dim=0).float().cpu().numpy() / num_steps  # (steps, H, W)
    shown = [np.rint(pixels.astype(np.float32) * ((step + 1) / num_steps)).astype(np.uint8) for step in range(num_steps)]
    return list(zip(shown, gathered, strict=True))


def path_frames(path: list[tuple[Pixels, Floats]]) -> list[Pixels]:
    """The steps as frames: the picture, and beside it the whole one under what has been gathered; the scale is that of the last step.

    Single pixels are spread over a hundredth of the side, so that they can be seen.
    """
    pixels, last = path[-1]
    spread = max(last.shape) / 100
    smooth = [cv2.GaussianBlur(np.maximum(evidence, 0), (0, 0), spread) for _, evidence in path]
    largest = float(np.quantile(smooth[-1], _BRIGHTEST)) or float(smooth[-1].max()) or 1.0
    gap = np.full((last.shape[0], _GAP_PX, 3), 255, np.uint8)
    heats = [np.clip(each / largest, 0, 1).astype(np.float32) for each in smooth]
    return [np.concatenate([shown, gap, overlay(pixels, heat)], axis=1) for (shown, _), heat in zip(path, heats, strict=True)]
