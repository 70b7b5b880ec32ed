"""What every task is: the one place that knows what a model's outputs mean."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fovea.registry import Registry
from fovea.types import Floats, Ints, Prediction


@dataclass(frozen=True)
class TaskInfo:
    """What a task states of itself: what it answers, and from which targets."""

    answers: str
    targets: str


class Task(ABC):
    """The meaning of a model's outputs. A subclass is final, and knows its class names.

    `outputs` is what a bundle's model gives: named float32 arrays whose first axis is the picture.
    """

    name: str
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
    def targets(self, labels: Sequence[str]) -> Ints:
        """Labels as the data gives them -> the array that `metrics` and the loss take."""

    @abstractmethod
    def metrics(self, outputs: dict[str, Floats], targets: Ints) -> dict[str, Any]:
        """The measures of one split, as `metrics.json` holds them; intervals under `_ci95`."""

    @abstractmethod
    def score(self, outputs: dict[str, Any], index: int) -> Any:
        """The scalar that an explanation follows back, one for each picture: of numpy arrays or of torch tensors alike."""


TASKS: Registry[TaskInfo] = Registry("task", "fovea.tasks")


def create_task(name: str, class_names: Sequence[str]) -> Task:
    """A task by name, for these classes."""
    task = TASKS[name].build(tuple(class_names))
    if not isinstance(task, Task):
        raise TypeError(f"the task {name!r} builds a {type(task).__name__}, not a Task")
    return task
