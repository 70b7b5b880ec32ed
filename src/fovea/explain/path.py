"""The way of integrated gradients, step by step: what has been gathered when the picture has come out of the black so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fovea.explain.drawing import overlay
from fovea.explain.explanation import heat_of
from fovea.types import Floats, Pixels

if TYPE_CHECKING:
    from fovea.explain.network_subject import NetworkSubject

_GAP_PX = 4


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
    shown = [np.rint(pixels * (step + 1) / num_steps).astype(np.uint8) for step in range(num_steps)]
    return list(zip(shown, gathered, strict=True))


def path_frames(path: list[tuple[Pixels, Floats]]) -> list[Pixels]:
    """The steps as frames: the picture, and beside it the whole one under what has been gathered; the scale is that of the last step."""
    pixels, last = path[-1]
    height, width = last.shape
    largest = float(np.maximum(last, 0).max()) or 1.0
    frames = []
    for shown, evidence in path:
        heat = heat_of(evidence, height, width) * min(1.0, float(np.maximum(evidence, 0).max()) / largest)
        gap = np.full((height, _GAP_PX, 3), 255, np.uint8)
        frames.append(np.concatenate([shown, gap, overlay(pixels, heat.astype(np.float32))], axis=1))
    return frames
