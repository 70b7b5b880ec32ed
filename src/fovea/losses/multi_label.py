"""The loss of labels that may be true together: logits (B, K) and targets (B, K), 0 to 1."""

import numpy as np
import torch
from torch.nn import functional as F

from fovea.losses.loss import LOSSES, LossInfo
from fovea.types import Floats, TargetArray


def positive_weights(targets: TargetArray, num_labels: int) -> Floats:
    """(K,) pictures without each label for each one with it: so much more the rare ones count."""
    positive = targets.sum(axis=0)
    return ((len(targets) - positive) / np.maximum(positive, 1)).astype(np.float32)  # type: ignore[no-any-return]


@LOSSES.add(
    LossInfo(
        targets="(B, K), 0 or 1 for each label, or shares where pictures are mixed",
        answer=lambda logits: logits > 0,
        wanted=lambda targets: targets > 0.5,
        weigh=positive_weights,
        smooths=True,
    )
)
def binary_cross_entropy(
    logits: torch.Tensor, targets: torch.Tensor, *, class_weights: torch.Tensor | None = None, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Mean over pictures and labels of each label's own cross-entropy.

    Args:
        logits: (B, K).
        targets: (B, K), 0 to 1.
        class_weights: (K,) how much a picture with the label counts, against one without.
        label_smoothing: Targets are pulled so far towards one half.
    """
    soft = targets.float() * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, soft, pos_weight=class_weights)
