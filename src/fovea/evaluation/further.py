"""Beyond the figures of the splits: where it does worse, what more pictures would bring, and whether the figures may be believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fovea.evaluation.grouped import independent
from fovea.evaluation.learning_curve import LearningCurve, learning_curve
from fovea.evaluation.repeated import FEW, CrossValidated, cross_validate
from fovea.evaluation.slices import Slice, slices
from fovea.metrics.intervals import wilson
from fovea.tasks import Task
from fovea.training.strategy import Learned
from fovea.types import Floats, Ints, Item, PictureFacts, Split, TargetArray


@dataclass(frozen=True, eq=False)
class Further:
    """What was found; a text in place of a result says why there is none.

    Args:
        cross_validation: Where pictures are few; None where they are not.
        curve: The learning curve.
        slices: Of the pictures `answered`, the worst first.
        answered: Row numbers.
        leaked: How many of the pictures that the figures are of stand in train too, and the accuracy on the others: {split, n, of, clean}.
    """

    cross_validation: CrossValidated | str | None = None
    curve: LearningCurve | str | None = None
    slices: Sequence[Slice] = ()
    answered: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    leaked: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """For `metrics.json`."""

        def told(found: CrossValidated | LearningCurve | str | None) -> object:
            return {"skipped": found} if isinstance(found, str) else found and found.to_json()

        return {
            "cross_validation": told(self.cross_validation),
            "learning_curve": told(self.curve),
            "slices": [part.to_json() for part in self.slices],
            "leaked": self.leaked,
        }


def look_further(
    goal: Task,
    learned: Learned,
    answers: Floats,
    targets: TargetArray,
    groups: Ints,
    rows: Mapping[Split, Ints],
    *,
    items: Sequence[Item],
    facts: Mapping[int, PictureFacts],
    own_splits: bool,
    seed: int,
) -> Further:
    """Everything that this module's summary names for a classifier; for other tasks where they do worse, and no more.

    Args:
        goal: The task.
        learned: What came out of the training.
        answers: (N, K) of all rows.
        targets: (N,) classes, or as the task has them.
        groups: (N,) a number for each row, the same for what is one picture or of one group.
        rows: The row numbers of each split.
        items: N pictures.
        facts: What pictures of validation and test are like, by row.
        own_splits: Whether the data itself says which pictures are for testing: these then judge, however few they are.
        seed: Of all that is drawn.
    """
    right = goal.rightly({goal.answer: answers}, targets)
    if right is None:
        return Further()
    answered = np.sort(np.concatenate([rows["validation"], rows["test"]]))
    with threadpool_limits(1, user_api="blas"):  # small products all, of which several are asked side by side
        found = Further(
            slices=slices(
                right[answered],
                items=[items[row] for row in answered],
                facts=[facts.get(int(row)) for row in answered],
                embeddings=None if learned.embeddings is None else learned.embeddings[answered],
                seed=seed,
            ),
            answered=answered,
        )
        if goal.activation != "softmax":
            return found
        targets = targets.astype(np.int64, copy=False)
        return replace(
            found,
            cross_validation=_repeated(learned, targets, groups, rows, len(goal.class_names), own_splits, seed),
            curve=_curve(learned, targets, groups, rows["train"], len(goal.class_names), seed),
            leaked=_leaked(right, targets, groups, rows),
        )


def _curve(learned: Learned, targets: Ints, groups: Ints, train: Ints, num_classes: int, seed: int) -> LearningCurve | str:
    if learned.pretrained is None:
        return "the whole network learned, so that each point of the curve would be a training of its own"
    vectors = learned.pretrained[train]
    return learning_curve(vectors, targets[train], groups[train], num_classes=num_classes, strength=learned.strength, seed=seed)


def _repeated(
    learned: Learned, targets: Ints, groups: Ints, rows: Mapping[Split, Ints], num_classes: int, own_splits: bool, seed: int
) -> CrossValidated | str | None:
    used = np.sort(np.concatenate(list(rows.values())))
    if len(used) >= FEW or own_splits:
        return None
    if learned.pretrained is None or learned.strength is None:
        return "each repeat would be a whole training; `--strategy probe` can be measured so"
    found = cross_validate(
        learned.pretrained[used], targets[used], groups[used], num_classes=num_classes, num_learned=len(rows["train"]), seed=seed
    )
    return found or "a class has a single picture or group, so that none can be hidden"


def _leaked(right: np.typing.NDArray[np.bool_], targets: Ints, groups: Ints, rows: Mapping[Split, Ints]) -> dict[str, Any] | None:
    split: Split = "test" if len(rows["test"]) else "validation"
    known = np.isin(groups[rows[split]], groups[rows["train"]])
    if not known.any():
        return None
    clean = right[rows[split]][~known]
    n, hits = len(clean), int(clean.sum())
    counted = independent(clean, groups[rows[split]][~known]) if n else 0.0
    commonest = int(np.bincount(targets[rows["train"]]).argmax())
    judged = {
        "n": n, "accuracy": hits / n, "accuracy_ci95": list(wilson(hits / n * counted, counted)),
        "guess_accuracy": float((targets[rows[split]][~known] == commonest).mean()),
    } if n else None  # fmt: skip
    return {"split": split, "n": int(known.sum()), "of": len(known), "clean": judged}
