"""From what was learned to what may be said: probabilities that come true, sets that hold the answer, and "like nothing I was shown"."""

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.bundle.conformal import fit_sets, sets_of
from fovea.bundle.format import Calibration
from fovea.bundle.refusal import Refusal
from fovea.errors import InputError
from fovea.evaluation.activation import activated, settle_temperature
from fovea.evaluation.calibrate import calibrated, choose_calibration
from fovea.evaluation.strange import fit_refusal
from fovea.tasks import Task
from fovea.tasks.task import Activation
from fovea.types import Floats, Ints, TargetArray

_COVERAGE, _FALSE_REFUSAL = 0.95, 0.05


@dataclass(frozen=True, eq=False)
class Answering:
    """What stands between a network's logits and its answers; it is shipped with the network. By default nothing does.

    Args:
        calibration: Makes probabilities of logits.
        conformal: The promise of the prediction sets, as `bundle.json` holds it; None promises none.
        refusal: Tells strange pictures; None refuses none.
        notes: What was chosen and why, in sentences.
        activation, answer: What makes answers of logits, and what that output is called: the task's.
        held_out: (N, K) what calibrations that did not see a validation row say of it: by these it is measured. None where the same is said anyway.
    """

    calibration: Calibration = field(default_factory=Calibration)
    conformal: dict[str, Any] | None = None
    refusal: Refusal | None = None
    notes: tuple[str, ...] = ()
    activation: Activation = "softmax"
    answer: str = "probabilities"
    held_out: Floats | None = None

    def outputs(self, logits: Floats, embeddings: Floats | None = None) -> dict[str, npt.NDArray[Any]]:
        """What a bundle's `outputs` would give of these pictures, without the embedding.

        Args:
            logits: (B, K).
            embeddings: (B, D); None leaves out who is refused.
        """
        if self.activation != "softmax":
            return {self.answer: activated(self.activation, logits, self.calibration.temperature)}
        found: dict[str, npt.NDArray[Any]] = {"probabilities": calibrated(logits, self.calibration)}
        refused = self.refusal.judge(embeddings) if self.refusal and embeddings is not None else {}
        return found | sets_of(found, self.conformal) | refused

    def to_json(self) -> dict[str, Any]:
        """For `metrics.json`; `bundle.json` has the same under the same names."""
        refusal = self.refusal.to_json() if self.refusal else None
        return {"calibration": self.calibration.model_dump(), "conformal": self.conformal, "refusal": refusal}


def fit_answering(
    goal: Task,
    logits: Floats,
    embeddings: Floats | None,
    targets: TargetArray,
    groups: Ints,
    *,
    train: Ints,
    validation: Ints,
    coverage: float | None = None,
    false_refusal: float | None = None,
    seed: int = 0,
) -> Answering:
    """Sets everything on the validation rows; the training rows serve as what the network was shown.

    No row is used twice for one promise: sets are set on probabilities that a calibration gave which had not seen the row (in folds), so that
    they do not take for granted what was fitted to them. Where a network stopped early by the same rows, that remains, and flatters
    them a little.

    Args:
        goal: The task. One whose answers are not shares of classes gets a temperature at most.
        logits: (N, K) of all rows, before calibration.
        embeddings: (N, D) of all rows, as the shipped model gives them; None refuses nothing.
        targets: (N,) classes, or as the task has them.
        groups: (N,) a number for each row: those of one number stand in one fold.
        train, validation: Row numbers.
        coverage: How often a prediction set shall hold the right class at least; 0.95 where nothing is asked.
        false_refusal: The share of pictures like these that may be refused by mistake; 0.05 where nothing is asked.
        seed: Draws folds, and which training rows are taken along.
    """
    if goal.activation != "softmax":
        temperature = settle_temperature(goal.activation, logits[validation], targets[validation])
        return Answering(Calibration(temperature=temperature), activation=goal.activation, answer=goal.answer)
    if not len(validation):
        return Answering()
    coverage, false_refusal = coverage or _COVERAGE, false_refusal or _FALSE_REFUSAL
    targets = targets.astype(np.int64, copy=False)
    chosen = choose_calibration(logits[validation], targets[validation], groups[validation], seed=seed)
    conformal = fit_sets(chosen.held_out, targets[validation], coverage=coverage)
    refusal = (
        None
        if embeddings is None
        else fit_refusal(embeddings[train], targets[train], embeddings[validation], false_refusal=false_refusal, seed=seed)
    )
    notes = [chosen.note] if chosen.note else []
    few = f"{len(validation)} validation pictures are too few to"
    if conformal is None:
        notes.append(f"{few} promise sets of classes that hold the right one {coverage:.4g} of the time: {_needed(coverage)} are needed")
    if refusal is None and embeddings is not None:
        notes.append(
            f"{few} say from where on a picture is refused: {_needed(1 - false_refusal)} are needed for {false_refusal:.4g} by mistake"
        )
    return Answering(chosen.calibration, conformal, refusal, tuple(notes), held_out=chosen.held_out)


def check_promises(goal: Task, coverage: float | None, false_refusal: float | None) -> None:
    """Whether a task can promise what is asked for; None asks for nothing.

    Raises:
        InputError: It cannot.
    """
    if coverage is not None and goal.activation == "sigmoid":
        raise InputError(
            "--coverage is of sets of classes and of intervals around numbers, and several labels have neither",
            got=f"--coverage {coverage:g}, and task {goal.name}", expected="a task with one class each, or with numbers", fix="leave --coverage out",
        )  # fmt: skip
    if false_refusal is not None and goal.activation != "softmax":
        raise InputError(
            "--false-refusal is of a classifier, and nothing else refuses pictures", got=f"--false-refusal {false_refusal:g}, and task {goal.name}",
            expected="a task with one class each", fix="leave --false-refusal out",
        )  # fmt: skip


def _needed(share: float) -> int:
    """Validation pictures of which such a share can be promised at all."""
    return math.ceil(round(share / (1 - share), 6))
