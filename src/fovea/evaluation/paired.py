"""Two models on the same pictures: how much better one answers than the other, and whether chance alone may have done it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.metrics.classification import log_losses
from fovea.metrics.intervals import mcnemar, paired_bootstrap
from fovea.metrics.resampling import bootstrap, mean_of
from fovea.tasks.task import Activation
from fovea.types import Floats, TargetArray

Doubles = npt.NDArray[np.float64]

_LEVEL = 0.05  # of the p-value below which a gain counts as shown
_LEAST = 1e-12  # of a probability, as in the log-likelihood loss of classes


def losses(activation: Activation, answers: Floats, targets: TargetArray, *, spread: Floats | None = None) -> Doubles:
    """(N,) how wrong each answer is: its log-likelihood loss in nats (of labels their mean); of numbers the mean squared error.

    Args:
        activation: What kind of answers they are.
        answers: (N, K), after the activation.
        targets: (N, ...), as the task has them.
        spread: (K,) deviation of each number, in whose units errors count; 1 by default.
    """
    if activation == "softmax":
        return log_losses(answers, targets.astype(np.int64, copy=False))
    said, true = answers.astype(np.float64), targets.astype(np.float64)
    if activation == "sigmoid":
        said = np.clip(said, _LEAST, 1 - _LEAST)
        return -(true * np.log(said) + (1 - true) * np.log(1 - said)).mean(axis=1)  # type: ignore[no-any-return]
    unit = np.ones(said.shape[1]) if spread is None else np.maximum(spread.astype(np.float64), _LEAST)
    return np.square((said - true) / unit).mean(axis=1)  # type: ignore[no-any-return]


@dataclass(frozen=True)
class Gain:
    """What a second model is, beside a first one, on the same pictures.

    Args:
        n: Pictures.
        loss_before, loss_after: Mean losses.
        loss_change_ci95: Of after less before, from pictures drawn anew in pairs: below 0 is better.
        right_before, right_after: How many were right; None where answers are not simply right or wrong.
        only_before, only_after: How many only the one, and only the other, had right.
    """

    n: int
    loss_before: float
    loss_after: float
    loss_change_ci95: tuple[float, float]
    right_before: int | None = None
    right_after: int | None = None
    only_before: int = 0
    only_after: int = 0

    @property
    def accuracy_change_ci95(self) -> tuple[float, float]:
        """Of the accuracy after less before, -1 to 1, from pictures drawn anew in pairs."""
        return paired_bootstrap(self.only_before, self.only_after, self.n)

    @property
    def shown(self) -> bool:
        """Whether it is shown to be better: right more often, by McNemar's exact test at 5 %; where answers are not simply right or wrong, of a lower loss.

        One test and not two of which either may do, since the one or the other finds something by luck more often than 5 % of the time.
        """
        if self.right_after is not None:
            return self.only_after > self.only_before and mcnemar(self.only_before, self.only_after) < _LEVEL
        return self.loss_change_ci95[1] < 0

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "n": self.n, "loss_before": self.loss_before, "loss_after": self.loss_after, "loss_change": self.loss_after - self.loss_before,
            "loss_change_ci95": list(self.loss_change_ci95), "shown": self.shown,
        }  # fmt: skip
        if self.right_before is not None and self.right_after is not None:
            found |= {
                "accuracy_before": self.right_before / self.n, "accuracy_after": self.right_after / self.n,
                "accuracy_change": (self.right_after - self.right_before) / self.n, "accuracy_change_ci95": list(self.accuracy_change_ci95),
                "p_value": mcnemar(self.only_before, self.only_after),
            }  # fmt: skip
        return found


def gain(
    activation: Activation, before: Floats, after: Floats, targets: TargetArray, *, spread: Floats | None = None, seed: int = 0
) -> Gain:
    """What the second answers, (N, K), are beside the first ones; N at least 1.

    Args:
        activation, targets, spread: As for `losses`.
        before, after: Answers to the same pictures.
        seed: Draws pictures anew.
    """
    first, second = (losses(activation, answers, targets, spread=spread) for answers in (before, after))
    interval = bootstrap(mean_of(second - first), len(targets), seed=seed)
    found = Gain(len(targets), float(first.mean()), float(second.mean()), interval)
    if activation != "softmax":
        return found
    was, is_now = (answers.argmax(axis=1) == targets for answers in (before, after))
    return Gain(
        found.n, found.loss_before, found.loss_after, interval, int(was.sum()), int(is_now.sum()), int((was & ~is_now).sum()), int((is_now & ~was).sum())
    )  # fmt: skip
