"""What a trained network answers, and how often it is right, split by split."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from fovea.evaluation.answers import Answering, fit_answering
from fovea.evaluation.grouped import by_groups
from fovea.tasks import Task
from fovea.types import Floats, Ints, Split, TargetArray


@dataclass(frozen=True, eq=False)
class Assessed:
    """Logits of N pictures, and what is made of them.

    Args:
        task: With what was settled on validation.
        settled: That, as `bundle.json` holds it.
        answering: What stands between logits and answers.
        answers: Of all N. Validation rows have what calibrations say that did not see them.
        logits, embeddings, targets, groups, rows: As `assess` was given them.
    """

    task: Task
    settled: Mapping[str, object]
    answering: Answering
    answers: dict[str, npt.NDArray[Any]]
    logits: Floats
    embeddings: Floats | None
    targets: TargetArray
    groups: Ints
    rows: Mapping[Split, Ints]

    def measure(self, split: Split) -> Any:
        """The figures of a split, as `metrics.json` has them; None where it has no pictures."""
        index, task = self.rows[split], self.task
        if not len(index):
            return None
        if split == "validation":  # promises are not judged on the pictures that set them
            outputs = {task.answer: self.answers[task.answer][index]}
        else:  # of training pictures, which it was shown, none is strange
            embeddings = None if self.embeddings is None or split == "train" else self.embeddings[index]
            outputs = self.answering.outputs(self.logits[index], embeddings)
        found = task.metrics(outputs, self.targets[index])
        if split == "train" or task.activation != "softmax":
            return found
        return by_groups(found, task.rightly(self.answers, self.targets)[index], self.groups[index])


def assess(
    task: Task,
    logits: Floats,
    embeddings: Floats | None,
    targets: TargetArray,
    groups: Ints,
    rows: Mapping[Split, Ints],
    *,
    shown: Ints | None = None,
    coverage: float | None = None,
    false_refusal: float | None = None,
    seed: int = 0,
) -> Assessed:
    """Sets on validation what stands between logits and answers, and what the task settles; test pictures change nothing.

    Args:
        task: Of the training.
        logits: (N, K), before calibration.
        embeddings: (N, D) as the shipped model gives them; None refuses nothing.
        targets: (N,) classes, or as the task has them.
        groups: (N,) a number for each row, the same for what is one picture or of one group.
        rows: The row numbers of each split.
        shown: Training rows that tell what is strange; by default all.
        coverage, false_refusal: What is promised, as `fit_answering` has them.
        seed: Of all that is drawn.
    """
    train, validation = rows["train"], rows["validation"]
    answering = fit_answering(
        task, logits, embeddings, targets, groups, train=train if shown is None else shown, validation=validation, seed=seed,
        coverage=coverage, false_refusal=false_refusal,
    )  # fmt: skip
    answers = answering.outputs(logits)
    task = task if coverage is None else task.promising(coverage)
    settled = task.settle({task.answer: answers[task.answer][validation]}, targets[validation], targets[train])
    if answering.held_out is not None:
        answers[task.answer][validation] = answering.held_out  # calibrations fitted to these rows would flatter them
    return Assessed(task.settled(settled), settled, answering, answers, logits, embeddings, targets, groups, rows)
