"""How a network learns: the optimizer, its rate, what holds the weights back, and when it ends. All of it in one value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fovea.losses.classification import AUXILIARY_WEIGHT

Balance = Literal["none", "weights", "sampling"]
Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class Stopping:
    """When a training ends before its last epoch, and which epoch was its best.

    Args:
        monitor: A column of the history, of the validation rows: "loss", "accuracy" or a metric of your own.
        mode: Whether less or more of it is better; None takes less of a loss, and more of anything else.
        min_delta: How much better an epoch must be to count.
        patience: Epochs without such a one before it ends.
        baseline: A value that the first epochs must beat within `patience`.
        restore_best: Whether the network ends with the weights of its best epoch.
    """

    monitor: str = "loss"
    mode: Literal["min", "max"] | None = None
    min_delta: float = 0.0
    patience: int = 8
    baseline: float | None = None
    restore_best: bool = True

    def lower_is_better(self, values: Sequence[float]) -> tuple[float, ...]:
        """The watched values, turned so that less is better."""
        least = self.mode == "min" or (self.mode is None and "loss" in self.monitor)
        return tuple(values) if least else tuple(-value for value in values)

    def best_and_stale(self, values: Sequence[float]) -> tuple[int, int]:
        """Index of the best epoch so far (-1 where none has beaten the baseline), and how many came after it."""
        best, at = float("inf") if self.baseline is None else self.lower_is_better([self.baseline])[0], -1
        for index, value in enumerate(self.lower_is_better(values)):
            if value < best - self.min_delta:
                best, at = value, index
        return at, len(values) - 1 - at


@dataclass(frozen=True)
class Method:
    """How a network learns.

    Args:
        epochs: At most so many passes over the training pictures.
        lr: Learning rate where the schedule stands at its full height.
        seed: Of what the loop draws: dropout.
        optimizer: A name from `training.optimizers`.
        schedule: A name from `training.schedules`.
        schedule_options: The schedule's own.
        warmup_epochs: The rate rises in a straight line first.
        weight_decay: As the optimizer means it.
        l1, l2: Penalties on the weights (not on biases and norms), added to the loss: l1 times the sum of their sizes, l2 of their squares.
        label_smoothing: Share of each target that is spread over all classes. This and `balance` are no business of the loop's: they are
            in the goal (`goal.goal_of`) and in the batches.
        clip_norm: Longest gradient, over all parameters; longer ones are shortened.
        ema_decay: The weights that are measured and kept are a moving average of this decay; None takes them as they are.
        balance: Rare classes count more in the loss ("weights") or are drawn more often ("sampling").
        auxiliary_weight: Of the losses of auxiliary heads, each.
        precision: What convolutions and products are computed in.
        compile: Whether torch compiles the network first, which takes a while and may quicken each step.
        stop: When it ends early.
    """

    epochs: int
    lr: float = 1e-3
    seed: int = 0
    optimizer: str = "adam"
    schedule: str = "constant"
    schedule_options: Mapping[str, float] = field(default_factory=dict)
    warmup_epochs: float = 0.0
    weight_decay: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    ema_decay: float | None = None
    balance: Balance = "none"
    auxiliary_weight: float = AUXILIARY_WEIGHT
    precision: Precision = "float32"
    compile: bool = False
    stop: Stopping = Stopping()
