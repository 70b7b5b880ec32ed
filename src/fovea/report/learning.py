"""What the curves say: the best epoch, whether it learned by heart, whether it stopped too early."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fovea.report.data import Json
from fovea.report.words import number

_MOST_CLASSES, _DIVERGED = (
    1_000,
    1.5,
)  # a network that knows nothing of a thousand classes has a loss of log(1000): far above, it has diverged

Curve = list[tuple[float, float]]  # (epoch, value), in the order of the epochs


@dataclass(frozen=True)
class Learning:
    """A training in short: `None` where the history does not say.

    Args:
        epochs: How many were run.
        best_epoch: The one with the lowest validation loss, which is the one that was kept.
        train_accuracy, validation_accuracy: At that epoch.
        still_improving: The best epoch is the last one.
        diverged: The loss ended far above that of a network that knows nothing.
        seconds_per_epoch: Mean over the training passes.
    """

    epochs: int
    best_epoch: float | None
    train_accuracy: float | None
    validation_accuracy: float | None
    still_improving: bool
    diverged: bool
    seconds_per_epoch: float | None

    @property
    def gap(self) -> float | None:
        """Training accuracy less validation accuracy: large where pictures were learned by heart."""
        if self.train_accuracy is None or self.validation_accuracy is None:
            return None
        return self.train_accuracy - self.validation_accuracy


def curve(history: Sequence[Json], split: str, column: str) -> Curve:
    """One column of one split, without the rows that lack it."""
    points = [(number(row, "epoch"), number(row, column)) for row in history if row.get("split") == split]
    return [(epoch, value) for epoch, value in points if epoch is not None and value is not None]


def learning(history: Sequence[Json]) -> Learning | None:
    """Reads a history, or gives None where there is none."""
    epochs = sorted({epoch for row in history if (epoch := number(row, "epoch")) is not None and epoch > 0})  # 0 is what it began with
    if not epochs:
        return None
    losses = curve(history, "validation", "loss")
    best = min(losses, key=lambda point: point[1])[0] if losses else None
    spent = [seconds for _, seconds in curve(history, "train", "seconds")]
    return Learning(
        epochs=len(epochs),
        best_epoch=best,
        train_accuracy=dict(curve(history, "train", "accuracy")).get(best) if best is not None else None,
        validation_accuracy=dict(curve(history, "validation", "accuracy")).get(best) if best is not None else None,
        still_improving=best is not None and len(epochs) > 1 and best == epochs[-1],
        diverged=bool(losses) and not losses[-1][1] < _DIVERGED * math.log(_MOST_CLASSES),
        seconds_per_epoch=sum(spent) / len(spent) if spent else None,
    )
