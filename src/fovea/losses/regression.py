"""The loss of numbers: outputs (B, T) and targets (B, T), at mean 0 and deviation 1 so that each number counts alike."""

import numpy as np
import torch
from torch.nn import functional as F

from fovea.losses.loss import LOSSES, LossInfo
from fovea.types import Floats, TargetArray


def determination(outputs: Floats, targets: TargetArray) -> float:
    """Mean over the numbers of R²; a number that is the same everywhere counts as 0."""
    errors = np.square(outputs - targets).sum(axis=0, dtype=np.float64)
    variance = np.square(targets - targets.mean(axis=0)).sum(axis=0, dtype=np.float64)
    return float(np.where(variance > 0, 1 - errors / np.maximum(variance, 1e-12), 0.0).mean())


@LOSSES.add(LossInfo(targets="(B, T) numbers; weighted sums of them where pictures are mixed", metrics={"r2": determination}))
def squared_error(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Mean over pictures and numbers of the squared distance.

    Args:
        outputs, targets: (B, T).
    """
    return F.mse_loss(outputs, targets.float())
