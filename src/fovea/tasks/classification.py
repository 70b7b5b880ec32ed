"""Classification: each picture belongs to exactly one class."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import DataError
from fovea.metrics.calibration import brier_scores, calibration_error, calibration_error_interval, calibration_luck
from fovea.metrics.classification import (
    accuracy,
    confusion_matrix,
    log_losses,
    negative_log_likelihood,
    reliability,
    top_k_accuracy,
)
from fovea.metrics.intervals import large_sample_interval, wilson
from fovea.metrics.per_class import (
    balanced_accuracy,
    balanced_accuracy_interval,
    f1_scores,
    macro_f1,
    macro_f1_interval,
    precisions,
    recalls,
)
from fovea.metrics.ranking import areas, average_precision, curves, ranking_intervals, roc_auc
from fovea.tasks._drawing import with_caption
from fovea.tasks.task import TASKS, Task, TaskInfo
from fovea.tasks.told import Told, Wrong
from fovea.types import Floats, Ints, Pixels, Prediction, TargetArray


@dataclass(frozen=True)
class ClassPrediction(Prediction):
    """One picture's class.

    Args:
        class_name: The most probable class.
        probability: Of that class, calibrated.
        probabilities: Of every class, in the order of the model's classes.
        prediction_set: The classes that together are as sure as the bundle promises; only the first where it promises none.
        refused: Whether the picture is like nothing that the model was shown.
    """

    class_name: str
    probability: float
    probabilities: dict[str, float]
    prediction_set: tuple[str, ...]
    refused: bool = False

    def top(self, count: int) -> list[tuple[str, float]]:
        """The most probable classes with their probabilities."""
        return sorted(self.probabilities.items(), key=lambda pair: -pair[1])[:count]

    def to_json(self) -> dict[str, Any]:
        return {
            "class_name": self.class_name,
            "probability": self.probability,
            "probabilities": self.probabilities,
            "prediction_set": list(self.prediction_set),
            "refused": self.refused,
        }

    def describe(self, top: int) -> str:
        told = ", ".join(f"{name} {share:.1%}" for name, share in self.top(top))
        if self.refused:
            return f"like nothing it was shown (else {told})"
        return told + (f" (one of {', '.join(self.prediction_set)})" if len(self.prediction_set) > 1 else "")

    def draw(self, pixels: Pixels) -> Pixels:
        return with_caption(pixels, f"{self.class_name} {100 * self.probability:.0f} %")


class Classification(Task):
    name = "classification"
    title = "A picture classifier"
    limits = "It answers with one of its classes whatever the picture shows."

    def __init__(self, class_names: tuple[str, ...]) -> None:
        self.class_names = class_names
        self._index = {name: index for index, name in enumerate(class_names)}

    def outputs(self, num_features: int) -> dict[str, dict[str, Any]]:
        return {
            "probabilities": {
                "shape": ["B", len(self.class_names)],
                "meaning": "calibrated probability of each class, in the order of class_names",
            },
            "embedding": {"shape": ["B", num_features], "meaning": "the picture as the backbone sees it, before the head"},
        }

    def decode(self, outputs: dict[str, Floats]) -> list[Prediction]:
        predictions: list[Prediction] = []
        sets, refused = outputs.get("prediction_set"), outputs.get("refused")
        for number, row in enumerate(outputs["probabilities"]):
            best = self.class_names[int(row.argmax())]
            named = {name: float(value) for name, value in zip(self.class_names, row, strict=True)}
            together = (best,) if sets is None else tuple(self.class_names[k] for k in np.argsort(-row, kind="stable") if sets[number][k])
            predictions.append(ClassPrediction(best, named[best], named, together, refused is not None and bool(refused[number])))
        return predictions

    def table(self, predictions: Sequence[tuple[str, Prediction]]) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = []
        for path, prediction in predictions:
            found = prediction.to_json()
            rows.append(
                [
                    path,
                    found["class_name"],
                    f"{found['probability']:.6f}",
                    *(f"{found['probabilities'][name]:.6f}" for name in self.class_names),
                    " | ".join(found["prediction_set"]),
                    "yes" if found["refused"] else "no",
                ]
            )
        return ["path", "predicted", "probability", *self.class_names, "prediction_set", "refused"], rows

    def targets(self, labels: Sequence[str]) -> TargetArray:
        unknown = sorted(set(labels) - set(self.class_names))
        if unknown:
            plain = {_plain(name): name for name in self.class_names}
            meant = [f"{name!r} ... did you mean {plain[_plain(name)]!r}?" for name in unknown if _plain(name) in plain]
            raise DataError(
                f"the data has classes that the model does not know: {', '.join(map(repr, unknown[:5]))}",
                got=f"{len(unknown)} unknown classes",
                expected="only " + ", ".join(map(repr, self.class_names[:10])) + (" ..." if len(self.class_names) > 10 else ""),
                fix=" ".join([*meant[:5], "Rename the class folders, or train on this data"])
                if meant
                else "rename the class folders, or train on this data",
            )
        return np.array([self._index[label] for label in labels], np.int64)

    def agrees(self, expected: dict[str, Floats], found: dict[str, Floats], *, tolerance: float) -> bool:
        """The same most probable class; a tie within the tolerance may fall either way."""
        right, answers = expected["probabilities"], found["probabilities"]
        chosen = np.take_along_axis(right, answers.argmax(axis=1)[:, None], axis=1)[:, 0]
        return bool(np.all(right.max(axis=1) - chosen < tolerance))

    def judged(self, labels: Sequence[str], outputs: dict[str, Floats]) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [
            [label, self.class_names[row.argmax()], f"{row.max():.6f}"] for label, row in zip(labels, outputs["probabilities"], strict=True)
        ]
        return ["true", "predicted", "probability"], rows

    def told(self, metrics: Mapping[str, Any], *, split: str) -> Told | None:
        return None

    def worst(self, labels: Sequence[str], outputs: dict[str, Floats], targets: TargetArray) -> list[Wrong]:
        """The mistakes that it was most sure of."""
        found = [
            Wrong(place, label, self.class_names[row.argmax()], probability=float(row.max()))
            for place, (label, row) in enumerate(zip(labels, outputs["probabilities"], strict=True))
            if self.class_names[row.argmax()] != label
        ]
        return sorted(found, key=lambda wrong: -wrong.probability)

    def rightly(self, outputs: dict[str, Floats], targets: TargetArray) -> Any:
        return outputs["probabilities"].argmax(axis=1) == targets

    def metrics(self, outputs: dict[str, Floats], targets: TargetArray) -> dict[str, Any]:
        probabilities, targets = outputs["probabilities"], targets.astype(np.int64, copy=False)
        share = accuracy(probabilities, targets)
        return {
            "n": len(targets),
            "accuracy": share,
            "accuracy_ci95": list(wilson(round(share * len(targets)), len(targets))),
            "top5_accuracy": top_k_accuracy(probabilities, targets, k=5) if len(self.class_names) >= 6 else None,
            "ece": calibration_error(probabilities, targets),
            "nll": negative_log_likelihood(probabilities, targets),
            "confusion": confusion_matrix(probabilities, targets).tolist(),
            "reliability": reliability(probabilities, targets),
            **self._more(probabilities, targets),
            **_promises(outputs, targets),
        }

    def _more(self, probabilities: Floats, targets: Ints) -> dict[str, Any]:
        """What one share of right answers does not tell: each class, every threshold, and the percentages themselves."""
        confusion, n = confusion_matrix(probabilities, targets), len(targets)
        losses, distances = log_losses(probabilities, targets), brier_scores(probabilities, targets)
        auc_interval, precision_interval = ranking_intervals(probabilities, targets)
        return {
            "nll_ci95": list(large_sample_interval(float(losses.mean()), float(losses.std()), n)),
            "brier": float(distances.mean()),
            "brier_ci95": list(large_sample_interval(float(distances.mean()), float(distances.std()), n)),
            "calibration_error": calibration_error(probabilities, targets),
            "calibration_error_by_luck": calibration_luck(probabilities, targets),
            "calibration_error_ci95": list(calibration_error_interval(probabilities, targets)),
            "balanced_accuracy": balanced_accuracy(confusion),
            "balanced_accuracy_ci95": list(balanced_accuracy_interval(confusion)),
            "macro_f1": macro_f1(confusion),
            "macro_f1_ci95": list(macro_f1_interval(confusion)),
            "roc_auc": roc_auc(probabilities, targets),
            "roc_auc_ci95": auc_interval,
            "average_precision": average_precision(probabilities, targets),
            "average_precision_ci95": precision_interval,
            "per_class": self._per_class(probabilities, targets, confusion),
            "curves": curves(probabilities, targets),
        }

    def _per_class(self, probabilities: Floats, targets: Ints, confusion: Ints) -> list[dict[str, Any]]:
        columns = (
            recalls(confusion),
            precisions(confusion),
            f1_scores(confusion),
            *(values[0] for values in areas(probabilities, targets)),
        )
        rows = []
        for k, name in enumerate(self.class_names):
            recall, precision, f1, auc, average = (None if np.isnan(column[k]) else float(column[k]) for column in columns)
            right, there, said = int(confusion[k, k]), int(confusion[k].sum()), int(confusion[:, k].sum())
            rows.append(
                {
                    "class_name": name,
                    "n": there,
                    "recall": recall,
                    "recall_ci95": list(wilson(right, there)),
                    "precision": precision,
                    "precision_ci95": list(wilson(right, said)),
                    "f1": f1,
                    "roc_auc": auc,
                    "average_precision": average,
                }
            )
        return rows

    def score(self, outputs: dict[str, Any], index: int) -> Any:
        return outputs["logits"][:, index]


def _promises(outputs: dict[str, Any], targets: Ints) -> dict[str, Any]:
    """How the sets and the refusal of a bundle kept what they promise, where it has them."""
    found: dict[str, Any] = {}
    n, sets, refused = len(targets), outputs.get("prediction_set"), outputs.get("refused")
    if sets is not None:
        held = int(sets[np.arange(n), targets].sum())
        found |= {"set_coverage": held / n, "set_coverage_ci95": list(wilson(held, n)), "set_size": float(sets.sum(axis=1).mean())}
    if refused is not None:
        strange = int(refused.sum())
        found |= {"refused": strange / n, "refused_ci95": list(wilson(strange, n))}
    return found


def _plain(name: str) -> str:
    """A class's name without what people spell now so, now so: case, blanks, "-" and "_"."""
    return re.sub(r"[-_\s]+", "", name).casefold()


@TASKS.add(TaskInfo(answers="which one of the classes is it?", targets="a class name for each picture", kind="classes"))
def classification(class_names: tuple[str, ...]) -> Classification:
    """One class for each picture."""
    return Classification(class_names)
