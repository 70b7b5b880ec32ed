"""From a method to what is made small: the part of `Method` that is the loss's."""

from functools import partial

import numpy as np
import torch

from fovea.losses.classification import cross_entropy
from fovea.training.loop import Goal
from fovea.training.method import Method
from fovea.types import Ints


def goal_of(method: Method, targets: Ints, num_classes: int, device: torch.device | str = "cpu") -> Goal:
    """Cross-entropy with the method's smoothing; rare classes count more where it says so: n / (K * n of the class)."""
    weights = None
    if method.balance == "weights":
        counts = np.bincount(targets, minlength=num_classes)
        weights = torch.tensor(len(targets) / np.maximum(counts, 1) / num_classes, dtype=torch.float32, device=device)
    return Goal(partial(cross_entropy, class_weights=weights, label_smoothing=method.label_smoothing))
