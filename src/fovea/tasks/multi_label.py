"""Multi-label classification: any number of labels is true of a picture, each by itself."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fovea.data.kinds import SEPARATOR, split_labels
from fovea.errors import DataError
from fovea.metrics.intervals import wilson
from fovea.metrics.multi_label import (
    average_precision,
    average_precision_of,
    best_threshold,
    binary_log_loss,
    f1_of,
    mean_average_precision_of,
)
from fovea.metrics.resampling import Measure, bootstrap
from fovea.tasks._drawing import with_caption
from fovea.tasks.task import TASKS, Task, TaskInfo
from fovea.tasks.told import NOTHING, Table, Told, Tone, Wrong, few_in_all, known_to, percent
from fovea.types import Floats, Pixels, Prediction, TargetArray

_HALF = 0.5  # the threshold of a label that validation says too little of
_FEWEST = 5  # validation pictures with a label, below which the best threshold there is mostly luck


@dataclass(frozen=True)
class LabelsPrediction(Prediction):
    """One picture's labels.

    Args:
        labels: Those that are more probable than their thresholds, the most probable first.
        probabilities: Of every label by itself, in the order of the model's labels.
    """

    labels: tuple[str, ...]
    probabilities: dict[str, float]

    def to_json(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "probabilities": self.probabilities}

    def describe(self, top: int) -> str:
        return ", ".join(f"{name} {self.probabilities[name]:.1%}" for name in self.labels[:top]) or "none"

    def draw(self, pixels: Pixels) -> Pixels:
        return with_caption(pixels, ", ".join(self.labels) or "none")


class MultiLabel(Task):
    name = "multi_label"
    title = "A model that names what is true of a picture"
    limits = "It knows only its own labels, whatever else the picture shows."
    activation = "sigmoid"
    loss = "binary_cross_entropy"
    solver = "binary_logistic"
    right_means = "A picture counts as right where every label is."

    def __init__(self, class_names: tuple[str, ...], settled: Mapping[str, Any] | None = None) -> None:
        self.class_names = class_names
        found = dict(settled or {})
        self._thresholds = np.array([found.get("thresholds", {}).get(name, _HALF) for name in class_names], np.float32)
        self._commonest = tuple(found.get("commonest", ()))

    def outputs(self, num_features: int) -> dict[str, dict[str, Any]]:
        return {
            "probabilities": {
                "shape": ["B", len(self.class_names)],
                "meaning": "calibrated probability of each label by itself, in the order of class_names",
            },
            "embedding": {"shape": ["B", num_features], "meaning": "the picture as the backbone sees it, before the head"},
        }

    def decode(self, outputs: dict[str, Floats]) -> list[Prediction]:
        predictions: list[Prediction] = []
        for row, said in zip(outputs["probabilities"], self._said(outputs), strict=True):
            named = {name: float(value) for name, value in zip(self.class_names, row, strict=True)}
            order = [int(k) for k in np.argsort(-row, kind="stable") if said[k]]
            predictions.append(LabelsPrediction(tuple(self.class_names[k] for k in order), named))
        return predictions

    def table(self, predictions: Sequence[tuple[str, Prediction]]) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = []
        for path, prediction in predictions:
            found = prediction.to_json()
            shares = [f"{found['probabilities'][name]:.6f}" for name in self.class_names]
            rows.append([path, SEPARATOR.join(found["labels"]), *shares])
        return ["path", "predicted", *self.class_names], rows

    def targets(self, labels: Sequence[str]) -> TargetArray:
        """(N, K) of 0 and 1, float32."""
        rows = [set(split_labels(label)) for label in labels]
        if unknown := sorted(set().union(*rows) - set(self.class_names)):
            raise DataError(
                f"the data has labels that the model does not know: {', '.join(map(repr, unknown[:5]))}",
                got=f"{len(unknown)} unknown labels",
                expected="only " + ", ".join(map(repr, self.class_names[:10])) + (" ..." if len(self.class_names) > 10 else ""),
                fix="rename the labels, or train on this data",
            )
        return np.array([[name in row for name in self.class_names] for row in rows], np.float32).reshape(
            len(labels), len(self.class_names)
        )

    def settle(self, outputs: dict[str, Floats], targets: TargetArray, learned: TargetArray) -> dict[str, Any]:
        """For each label the threshold with the best F1 on validation, and the labels that most training pictures have together."""
        scores, true, thresholds = outputs["probabilities"], targets.astype(np.float32, copy=False), {}
        for k, name in enumerate(self.class_names):
            enough = min(true[:, k].sum(), (1 - true[:, k]).sum()) >= _FEWEST
            thresholds[name] = best_threshold(scores[:, k], true[:, k])[0] if enough else _HALF
        [(commonest, _)] = Counter(tuple(np.flatnonzero(row).tolist()) for row in learned).most_common(1) or [((), 0)]
        return {"thresholds": thresholds, "commonest": [self.class_names[k] for k in commonest]}

    def settled(self, found: Mapping[str, Any]) -> Self:
        return type(self)(self.class_names, found)

    def judged(self, labels: Sequence[str], outputs: dict[str, Floats]) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = [
            [label, SEPARATOR.join(self._names(said)), *(f"{value:.6f}" for value in row)]
            for label, said, row in zip(labels, self._said(outputs), outputs["probabilities"], strict=True)
        ]
        return ["true", "predicted", *(f"probability:{name}" for name in self.class_names)], rows

    def metrics(self, outputs: dict[str, Floats], targets: TargetArray) -> dict[str, Any]:
        probabilities, said, n = outputs["probabilities"], self._said(outputs), len(targets)
        true = targets.astype(np.float32, copy=False)
        whole = int((said == (true > 0)).all(axis=1).sum())
        always = np.array([name in self._commonest for name in self.class_names])
        shares = true.mean(axis=0)
        found: dict[str, Any] = {"n": n}
        for name, measure in (
            ("mean_average_precision", mean_average_precision_of(probabilities, true)),
            ("macro_f1", f1_of(said, true, average="macro")),
            ("micro_f1", f1_of(said, true, average="micro")),
        ):
            found |= _with_interval(name, measure, n)
        found |= {
            "mean_average_precision_by_chance": float(shares[shares > 0].mean()) if shares.any() else None,
            "subset_accuracy": whole / n,
            "subset_accuracy_ci95": list(wilson(whole, n)),
            "baseline_subset_accuracy": float((always == (true > 0)).all(axis=1).mean()),
            "baseline_labels": list(self._commonest),
            "nll": binary_log_loss(probabilities, true),
        }
        labels = {}
        for k, name in enumerate(self.class_names):
            hits, num_said, num_true = int((said[:, k] & (true[:, k] > 0)).sum()), int(said[:, k].sum()), int(true[:, k].sum())
            labels[name] = {
                "n": num_true,
                "average_precision": average_precision(probabilities[:, k], true[:, k]),
                "average_precision_ci95": _interval(average_precision_of(probabilities[:, k], true[:, k]), n),
                "by_chance": num_true / n,
                "recall": hits / num_true if num_true else None,
                "precision": hits / num_said if num_said else None,
                "f1": 2 * hits / (num_said + num_true) if num_said + num_true else None,
                "threshold": float(self._thresholds[k]),
            }
        return found | {"labels": labels}

    def told(self, metrics: Mapping[str, Any], *, split: str) -> Told | None:
        tone: Tone
        n, (lo, hi), measured = metrics["n"], metrics["subset_accuracy_ci95"], metrics["mean_average_precision"]
        sentence = (
            f"It had every label right on {round(metrics['subset_accuracy'] * n):,} of {n:,} {split} pictures: "
            f"{percent(metrics['subset_accuracy'])} ({100 * lo:.1f} to {percent(hi)}); "
            f"always answering {_quoted(metrics['baseline_labels'])} would be right on {percent(metrics['baseline_subset_accuracy'])}."
        )
        interval, chance = metrics["mean_average_precision_ci95"], metrics["mean_average_precision_by_chance"]
        if measured is not None and interval is not None:
            sentence += (
                f" Mean average precision {measured:.3f} ({interval[0]:.3f} to {interval[1]:.3f}); by chance it would be {chance:.3f}."
            )
        rows = [
            (
                name, f"{row['n']:,}", _three(row["average_precision"]),
                _ends(row["average_precision_ci95"]) if row["n"] >= _FEWEST else "too few to tell",
                _three(row["by_chance"]), _found(row), percent(row["precision"]), f"{row['threshold']:.2f}",
            )
            for name, row in metrics["labels"].items()
        ]  # fmt: skip
        table = Table(
            "How well it knows each label.",
            ("Label", "Pictures", "Average precision", "95 % interval", "By chance", "Found", "Right when said", "Said from"),
            rows,
            "What do these figures mean?",
            "Average precision is 1 where all pictures with the label are ranked before all others; by chance it is the share of "
            f"pictures that have the label. Of fewer than {_FEWEST} pictures it says little: one that happens to come first gives 1. “Found” "
            "(recall): of the pictures with this label, how many it named, with its 95 % interval. “Right when said” "
            "(precision): when it names the label, how often that is true. It names a label whose probability is at least “said from”, "
            "the threshold with the best balance of the two (F1) on validation.",
        )
        overall = Table(
            "All labels together, and what the same figures may be on other pictures like these.",
            ("Measure", "Value", "95 % interval"),
            [
                (words, _three(metrics[name]), _ends(metrics[f"{name}_ci95"]))
                for name, words in (
                    ("mean_average_precision", "Mean average precision"),
                    ("macro_f1", "F1, mean over labels (macro)"),
                    ("micro_f1", "F1 of all labels together (micro)"),
                )
            ]
            + [("Every label right", percent(metrics["subset_accuracy"]), f"{100 * lo:.1f} to {percent(hi)}")],
        )
        few = " ".join(filter(None, [few_in_all(n, split), self._few(metrics, split)]))
        caution, tone = few, "caution" if few else "plain"
        if interval is not None and chance is not None and interval[0] <= chance:
            sentence, caution = f"{NOTHING} {sentence}", f"That is no better than guessing. {few}".strip()
            tone = "bad"
        return Told(sentence, caution, tone, (overall, table), tuple(self._advice(metrics, split)), known_to(lo, hi, n, split))

    def worst(self, labels: Sequence[str], outputs: dict[str, Floats], targets: TargetArray) -> list[Wrong]:
        """Pictures with a wrong or missing label, those first of which it was most sure."""
        probabilities, said = outputs["probabilities"].astype(np.float64), self._said(outputs)
        wrong = said != (targets > 0)
        sure = np.where(wrong, np.where(said, probabilities, 1 - probabilities), 0.0)
        found = []
        for row in np.flatnonzero(wrong.any(axis=1)).tolist():
            k = int(sure[row].argmax())
            what = "wrongly names" if said[row, k] else "misses"
            note = f"{what} {self.class_names[k]} ({percent(probabilities[row, k])})"
            found.append(Wrong(row, _joined(split_labels(labels[row])), _joined(self._names(said[row])), note, float(sure[row, k])))
        return sorted(found, key=lambda each: -each.probability)

    def score(self, outputs: dict[str, Any], index: int) -> Any:
        return outputs["logits"][:, index]

    def rightly(self, outputs: dict[str, Floats], targets: TargetArray) -> Any:
        return (self._said(outputs) == (targets > 0)).all(axis=1)

    def _said(self, outputs: dict[str, Floats]) -> Any:
        return outputs["probabilities"] >= self._thresholds

    def _names(self, said: Any) -> list[str]:
        return [self.class_names[int(k)] for k in np.flatnonzero(said)]

    def _few(self, metrics: Mapping[str, Any], split: str) -> str:
        """What must be known with the mean where some labels have too few pictures for a figure of their own, or ""."""
        rare = _rare(metrics)
        if not rare:
            return ""
        named = [f"“{name}” has {metrics['labels'][name]['n']}" for name in rare[:3]]
        more = [f"{len(rare) - 3:,} more have fewer than {_FEWEST}"] if len(rare) > 3 else []
        *first, last = named + more
        told = f"{', '.join(first)} and {last}" if first else last
        return f"Of {split} pictures with the label, {told}: too few to know how well {'it is' if len(rare) == 1 else 'they are'} found."

    def _advice(self, metrics: Mapping[str, Any], split: str) -> list[tuple[str, str]]:
        known = {name: row for name, row in metrics["labels"].items() if row["n"] >= _FEWEST}  # of fewer, the figure is luck
        advice = []
        if few := _rare(metrics):
            advice.append(
                (
                    f"Few {split} pictures have the label {_quoted(few[:3])}.",
                    "Its figures say little. Add pictures that show it, taken in different places and light.",
                )
            )
        if len(known) > 1:
            name = min(known, key=lambda key: known[key]["average_precision"])
            worst, mean = _three(known[name]["average_precision"]), _three(metrics["mean_average_precision"])
            if worst != mean:
                advice.append(
                    (
                        f"“{name}” is found least well.",
                        f"Its average precision is {worst}, against {mean} over all labels. Look at its pictures among the mistakes: is the "
                        "label missing or wrong? Then add pictures with it.",
                    )
                )
        return advice


def _with_interval(name: str, measure: Measure, n: int) -> dict[str, Any]:
    value = float(measure(np.ones((1, n)))[0])
    return {name: value if math.isfinite(value) else None, f"{name}_ci95": _interval(measure, n)}


def _interval(measure: Measure, n: int) -> list[float] | None:
    low, high = bootstrap(measure, n)
    return [low, high] if math.isfinite(low) else None


def _rare(metrics: Mapping[str, Any]) -> list[str]:
    """The labels with so few pictures that their figures are mostly luck, the rarest first."""
    labels = metrics["labels"]
    return sorted((name for name, row in labels.items() if row["n"] < _FEWEST), key=lambda name: labels[name]["n"])


def _found(row: Mapping[str, Any]) -> str:
    """How many of a label's pictures were found, with the interval (Wilson)."""
    if row["recall"] is None:
        return percent(None)
    low, high = wilson(round(row["recall"] * row["n"]), row["n"])
    return f"{percent(row['recall'])} ({100 * low:.1f} to {100 * high:.1f})"


def _ends(interval: Sequence[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"


def _three(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"“{name}”" for name in names) or "“none”"


@TASKS.add(TaskInfo(answers="which of the labels are true of it?", targets="any number of labels for each picture", kind="labels"))
def multi_label(class_names: tuple[str, ...]) -> MultiLabel:
    """Any number of labels for each picture."""
    return MultiLabel(class_names)
