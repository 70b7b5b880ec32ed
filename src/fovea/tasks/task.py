"""What every task is: the one place that knows what a model's outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from fovea.registry import Registry
from fovea.tasks.told import Scatter, Told, Wrong, figure
from fovea.types import Floats, Prediction, TargetArray

# From logits to answers, with calibration before it; the model that is shipped ends with it.
Activation = Literal["softmax", "sigmoid", "identity"]


@dataclass(frozen=True)
class TaskInfo:
    """What a task states of itself.

    Args:
        answers: The question that it answers.
        targets: What it learns from, in words.
        kind: The kind of target (`data.kinds`) for which "auto" takes it; "" for a task that is only taken by its name.
    """

    answers: str
    targets: str
    kind: str = ""


class Task(ABC):
    """The meaning of a model's outputs. A subclass is final, and knows its class names.

    `outputs` is what a bundle's model gives: named float32 arrays whose first axis is the picture.

    Args (of the class):
        name: In the registry.
        title: What its model is, on the card.
        limits: What it answers on pictures that it was not made for, one sentence.
        answer: The output that holds the answers; the other one is always the embedding.
        activation: What turns logits into it.
        loss: What is made small, a name from `losses`.
        solver: What learns a linear head at once, from embeddings: a name from `training.solvers`.
        standardised: Whether it learns from targets at mean 0 and deviation 1. The scaling is folded into the head afterwards.
        class_names: What the columns of the answers are called.
        right_means: When a picture counts as answered rightly, one sentence; "" where that needs no word.
    """

    name: str
    title: str = "A model that looks at pictures"
    limits: str = "It answers whatever the picture shows."
    answer: str = "probabilities"
    activation: Activation = "softmax"
    loss: str = "cross_entropy"
    solver: str = "logistic"
    standardised: bool = False
    right_means: str = ""
    class_names: tuple[str, ...]

    @abstractmethod
    def outputs(self, num_features: int) -> dict[str, dict[str, Any]]:
        """Name -> {"shape", "meaning"} of each output, as the bundle declares them."""

    @abstractmethod
    def decode(self, outputs: dict[str, Floats]) -> list[Prediction]:
        """What the model says of each picture."""

    @abstractmethod
    def table(self, predictions: Sequence[tuple[str, Prediction]]) -> tuple[list[str], list[list[object]]]:
        """(path, prediction) pairs -> the header and the rows of a CSV file."""

    @abstractmethod
    def targets(self, labels: Sequence[str]) -> TargetArray:
        """Labels as the data gives them -> the array that `metrics` and the loss take.

        Raises:
            DataError: A label is none that the model can learn or be measured on.
        """

    @abstractmethod
    def metrics(self, outputs: dict[str, Floats], targets: TargetArray) -> dict[str, Any]:
        """The measures of one split, as `metrics.json` holds them; `n`, and intervals under `_ci95`."""

    @abstractmethod
    def score(self, outputs: dict[str, Any], index: int) -> Any:
        """The scalar that an explanation follows back, one for each picture: of numpy arrays or of torch tensors alike."""

    def settle(self, outputs: dict[str, Floats], targets: TargetArray, learned: TargetArray) -> dict[str, Any]:
        """What is decided once on validation and shipped with the model (thresholds, say), as JSON values.

        Args:
            outputs, targets: Of the validation rows; there may be none.
            learned: Targets of the training rows.
        """
        return {}

    def settled(self, found: Mapping[str, Any]) -> Self:
        """The task with what `settle` found, from then on part of its answers."""
        return self

    def promising(self, coverage: float) -> Self:
        """The task with another share of the time that its intervals are to hold the truth; one that has none stays as it is."""
        return self

    def agrees(self, expected: dict[str, Floats], found: dict[str, Floats], *, tolerance: float) -> bool:
        """Whether two models, whose outputs lie within the tolerance, also say the same."""
        return True

    def judged(self, labels: Sequence[str], outputs: dict[str, Floats]) -> tuple[list[str], list[list[object]]]:
        """The columns of `predictions.csv` behind path and split, and a row for each label with its outputs."""
        return ["true", "predicted"], [
            [label, prediction.describe(1)] for label, prediction in zip(labels, self.decode(outputs), strict=True)
        ]

    def rightly(self, outputs: dict[str, Floats], targets: TargetArray) -> Any:
        """(N,) whether each picture was answered rightly; None for a task that knows no right and wrong."""
        return None

    def told(self, metrics: Mapping[str, Any], *, split: str) -> Told | None:
        """What one split's measures say; None where report and commands know these measures themselves (a classifier's)."""
        intervals = [name for name in metrics if f"{name}_ci95" in metrics]
        said = [
            f"{name} {figure(metrics[name])} ({figure(metrics[f'{name}_ci95'][0])} to {figure(metrics[f'{name}_ci95'][1])})"
            for name in intervals
        ]
        return Told(f"On {metrics['n']:,} {split} pictures: {', '.join(said) or 'nothing was measured'}.")

    def scatters(self, outputs: dict[str, Floats], targets: TargetArray) -> list[Scatter]:
        """Answers against truth, where both are numbers."""
        return []

    def worst(self, labels: Sequence[str], outputs: dict[str, Floats], targets: TargetArray) -> list[Wrong]:
        """The answers that are wrong, those to look at first in front."""
        return []


TASKS: Registry[TaskInfo] = Registry("task", "fovea.tasks")


def create_task(name: str, class_names: Sequence[str]) -> Task:
    """A task by name, for these classes."""
    task = TASKS[name].build(tuple(class_names))
    if not isinstance(task, Task):
        raise TypeError(f"the task {name!r} builds a {type(task).__name__}, not a Task")
    return task
