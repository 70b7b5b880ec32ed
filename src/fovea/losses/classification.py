"""Losses of classification: logits (B, K) and targets, class numbers (B,) or shares of the classes (B, K)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch.nn import functional as F

from fovea.losses.loss import LOSSES, LossInfo
from fovea.types import Floats, TargetArray

AUXILIARY_WEIGHT = 0.3  # arXiv:1409.4842, section 5


def which_class(values: torch.Tensor) -> torch.Tensor:
    """The class that each row of logits (B, K), or of targets, (B,) or shares of the classes (B, K), stands for."""
    return values if values.ndim == 1 else values.argmax(1)


def class_weights(targets: TargetArray, num_classes: int) -> Floats:
    """(K,) so that all classes count alike, however many pictures each has: n / (K * n of the class)."""
    counts = np.bincount(targets.astype(np.int64, copy=False), minlength=num_classes)
    return (len(targets) / np.maximum(counts, 1) / num_classes).astype(np.float32)


@LOSSES.add(
    LossInfo(
        targets="(B,) class numbers, or (B, K) shares of the classes where pictures are mixed",
        answer=which_class,
        wanted=which_class,
        weigh=class_weights,
        smooths=True,
        samples=True,
    )
)
def cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, class_weights: torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Mean cross-entropy over the batch.

    Args:
        logits: (B, K).
        targets: (B,), or shares (B, K) where pictures are mixed.
        class_weights: (K,) how much each class counts.
        label_smoothing: Share of each target that is spread over all classes (arXiv:1512.00567, section 7).
    """
    return F.cross_entropy(logits, targets, weight=class_weights, label_smoothing=label_smoothing)


def with_auxiliary(loss: torch.Tensor, auxiliary: Mapping[str, torch.Tensor], *, weight: float = AUXILIARY_WEIGHT) -> torch.Tensor:
    """The loss, and `weight` times those of the auxiliary heads by name."""
    return loss + weight * sum(auxiliary.values(), torch.zeros((), device=loss.device))
