"""What every loss is: a function of a network's outputs and the targets, and what the loop must know of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from fovea.registry import Registry
from fovea.types import Floats, TargetArray

Answer = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class LossInfo:
    """The facts that a loss states of itself. A loss takes outputs (B, K) and targets, and gives the mean over the batch.

    Args:
        targets: What it takes as targets, in words.
        answer, wanted: What a row of outputs, and of targets, says: where the two agree in everything, it counts as right. None where
            nothing is simply right or wrong; the history then has no accuracy.
        metrics: More columns for the validation rows of the history, from outputs (N, K) and targets.
        weigh: (targets of all training rows, K) -> how much each class counts where rare ones shall count more: the loss's
            `class_weights`. None where it cannot.
        smooths: Whether it takes `label_smoothing`.
        samples: Whether rare classes can be drawn more often: each target is one class.
    """

    targets: str
    answer: Answer | None = None
    wanted: Answer | None = None
    metrics: Mapping[str, Callable[[Floats, TargetArray], float]] = field(default_factory=dict)
    weigh: Callable[[TargetArray, int], Floats] | None = None
    smooths: bool = False
    samples: bool = False


LOSSES: Registry[LossInfo] = Registry("loss", "fovea.losses")
