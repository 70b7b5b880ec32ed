"""Regression: one or more numbers for each picture, in the units of the data."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fovea.data.kinds import read_numbers
from fovea.errors import DataError
from fovea.metrics.intervals import wilson
from fovea.metrics.regression import (
    absolute_error_of,
    conformal_half_width,
    determination_of,
    once,
    squared_error_root_of,
)
from fovea.metrics.resampling import Measure, bootstrap
from fovea.tasks._drawing import with_caption
from fovea.tasks.task import TASKS, Task, TaskInfo
from fovea.tasks.told import NOTHING, Scatter, Table, Told, Tone, Wrong, beside, few_in_all, figure, percent
from fovea.types import Floats, Pixels, Prediction, TargetArray

COVERAGE = 0.9  # of the interval around each answer, unless another is asked for
_WIDE = 0.25  # of the mean distance from the truth: an interval wider than this leaves its first digit unknown
_MEASURES: Mapping[str, Any] = {"mae": absolute_error_of, "rmse": squared_error_root_of, "r2": determination_of}


@dataclass(frozen=True)
class NumbersPrediction(Prediction):
    """One picture's numbers.

    Args:
        values: By name, in the units of the data.
        intervals: By name the ends between which the truth lies with the chance that the bundle promises; None where it promises none.
    """

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]] | None = None

    def to_json(self) -> dict[str, Any]:
        ends = {name: list(pair) for name, pair in self.intervals.items()} if self.intervals else None
        return {"values": self.values, "intervals": ends}

    def describe(self, top: int) -> str:
        parts = []
        for name, value in self.values.items():
            said = f"{value:,.6g}"
            if self.intervals:
                low, high = self.intervals[name]
                said = f"{beside(value, high - low)} ({beside(low, high - low)} to {beside(high, high - low)})"
            parts.append(said if len(self.values) == 1 else f"{name} {said}")
        return ", ".join(parts)

    def draw(self, pixels: Pixels) -> Pixels:
        return with_caption(pixels, ", ".join(f"{name} {value:.6g}" for name, value in self.values.items()))


class Regression(Task):
    name = "regression"
    title = "A model that reads numbers off a picture"
    limits = "It gives a number whatever the picture shows."
    answer = "values"
    activation = "identity"
    loss = "squared_error"
    solver = "ridge"
    right_means = "A picture counts as right where the truth lies within the interval around its answer."
    standardised = True
    coverage = COVERAGE

    def __init__(self, class_names: tuple[str, ...], settled: Mapping[str, Any] | None = None) -> None:
        self.class_names = class_names
        self._settled = dict(settled or {})

    def outputs(self, num_features: int) -> dict[str, dict[str, Any]]:
        return {
            "values": {
                "shape": ["B", len(self.class_names)],
                "meaning": "each number in the units of the data, in the order of class_names",
            },
            "embedding": {"shape": ["B", num_features], "meaning": "the picture as the backbone sees it, before the head"},
        }

    def decode(self, outputs: dict[str, Floats]) -> list[Prediction]:
        predictions: list[Prediction] = []
        for row in outputs["values"]:
            values = {name: float(value) for name, value in zip(self.class_names, row, strict=True)}
            half = self._half_widths()
            predictions.append(
                NumbersPrediction(values, {name: (v - half[name], v + half[name]) for name, v in values.items()} if half else None)
            )
        return predictions

    def table(self, predictions: Sequence[tuple[str, Prediction]]) -> tuple[list[str], list[list[object]]]:
        half = self._half_widths()
        header = ["path", *(column for name in self.class_names for column in (name, *((f"{name}_low", f"{name}_high") if half else ())))]
        rows: list[list[object]] = []
        for path, prediction in predictions:
            found = prediction.to_json()
            cells = [[found["values"][name], *(found["intervals"][name] if found["intervals"] else ())] for name in self.class_names]
            rows.append([path, *(f"{cell:.7g}" for group in cells for cell in group)])
        return header, rows

    def targets(self, labels: Sequence[str]) -> TargetArray:
        """(N, T), float32."""
        rows = []
        for label in labels:
            try:
                row = read_numbers(label)
            except ValueError as error:
                raise DataError(
                    f"the data has a target that is not a number: {label!r}",
                    got=repr(label),
                    expected=f"{len(self.class_names)} numbers: {', '.join(self.class_names)}",
                    fix="give a CSV with a column 'target' or columns 'target:NAME'",
                ) from error
            if len(row) != len(self.class_names) or not all(map(math.isfinite, row)):
                raise DataError(
                    f"the data has a target that the model does not have: {label!r}",
                    got=f"{len(row)} numbers",
                    expected=f"{len(self.class_names)} finite numbers: {', '.join(self.class_names)}",
                    fix="give a CSV with these columns and no other ones: " + ", ".join(f"target:{name}" for name in self.class_names),
                )
            rows.append(row)
        return np.array(rows, np.float32).reshape(len(rows), len(self.class_names))

    def settle(self, outputs: dict[str, Floats], targets: TargetArray, learned: TargetArray) -> dict[str, Any]:
        """The mean and the deviation of what was learned, and how wide an interval around each answer must be (split conformal)."""
        half = {}
        for k, name in enumerate(self.class_names):
            errors = np.abs(outputs["values"][:, k].astype(np.float64) - targets[:, k])
            half[name] = conformal_half_width(errors, coverage=self.coverage)
        return {
            "mean": dict(zip(self.class_names, learned.mean(axis=0).astype(float).tolist(), strict=True)),
            "deviation": dict(zip(self.class_names, learned.std(axis=0).astype(float).tolist(), strict=True)),
            "half_width": half,
            "coverage": self.coverage,
            "num_validation": len(targets),
        }

    def promising(self, coverage: float) -> Self:
        found = type(self)(self.class_names, self._settled)
        found.coverage = coverage
        return found

    def settled(self, found: Mapping[str, Any]) -> Self:
        return type(self)(self.class_names, found)

    def judged(self, labels: Sequence[str], outputs: dict[str, Floats]) -> tuple[list[str], list[list[object]]]:
        header: list[str] = []
        columns: list[list[object]] = []
        half, truth = self._half_widths(), self.targets(labels)
        for k, name in enumerate(self.class_names):
            behind = "" if len(self.class_names) == 1 else f":{name}"
            said = outputs["values"][:, k]
            parts = {"true": truth[:, k], "predicted": said}
            if half:
                parts |= {"low": said - half[name], "high": said + half[name]}
            header += [f"{part}{behind}" for part in parts]
            columns += [[f"{value:.7g}" for value in values] for values in parts.values()]
        return header, [list(row) for row in zip(*columns, strict=True)]

    def rightly(self, outputs: dict[str, Floats], targets: TargetArray) -> Any:
        if not (half := self._half_widths()):
            return None
        return (np.abs(outputs["values"] - targets) <= np.array([half[name] for name in self.class_names])).all(axis=1)

    def metrics(self, outputs: dict[str, Floats], targets: TargetArray) -> dict[str, Any]:
        """`targets` has each number's measures; `r2` beside them is their mean, and with a single number all measures stand beside it."""
        n, half = len(targets), self._half_widths()
        each: dict[str, dict[str, Any]] = {}
        determinations: list[Measure] = []
        for k, name in enumerate(self.class_names):
            said, true = outputs["values"][:, k].astype(np.float64), targets[:, k].astype(np.float64)
            guess = np.full(n, self._settled.get("mean", {}).get(name, true.mean()))
            found: dict[str, Any] = {}
            for measure_name, make in _MEASURES.items():
                found |= _with_interval(measure_name, make(said, true), n)
            for measure_name in ("mae", "rmse"):
                found |= _with_interval(f"baseline_{measure_name}", _MEASURES[measure_name](guess, true), n)
            if half:
                inside = int((np.abs(said - true) <= half[name]).sum())
                found |= {
                    "interval_half_width": half[name],
                    "interval_promised": self._settled["coverage"],
                    "interval_coverage": inside / n,
                    "interval_coverage_ci95": list(wilson(inside, n)),
                }
            each[name] = found
            determinations.append(determination_of(said, true))
        if len(each) == 1:
            return {"n": n} | next(iter(each.values())) | {"targets": each}
        return (
            {"n": n} | _with_interval("r2", lambda counts: np.mean([one(counts) for one in determinations], axis=0), n) | {"targets": each}
        )

    def told(self, metrics: Mapping[str, Any], *, split: str) -> Told | None:
        n, each = metrics["n"], metrics["targets"]
        on = f"on {n:,} {split} picture{'s' if n != 1 else ''}"
        if len(each) == 1:
            [row] = each.values()
            sentence = (
                f"It is off by {figure(row['mae'])} on average ({_ends(row['mae_ci95'])}), {on}; "
                f"always guessing the mean would be off by {figure(row['baseline_mae'])}."
            )
        else:
            parts = [
                f"“{name}” by {figure(row['mae'])} ({_ends(row['mae_ci95'])}; always guessing the mean: {figure(row['baseline_mae'])})"
                for name, row in each.items()
            ]
            sentence = f"On average it is off, {on}, in {', in '.join(parts)}."
        rows = [
            (
                name, figure(row["mae"]), _ends(row["mae_ci95"]), figure(row["baseline_mae"]), figure(row["rmse"]), _ends(row["rmse_ci95"]),
                figure(row["r2"]), _ends(row["r2_ci95"]),
            )
            for name, row in each.items()
        ]  # fmt: skip
        tables = [
            Table(
                "How far off it is, in the units of the data.",
                ("Number", "Off on average", "95 % interval", "Guessing the mean", "RMSE", "95 % interval", "R²", "95 % interval"),
                rows,
                "What do these figures mean?",
                "“Off on average” (mean absolute error, MAE) is the mean distance from the truth. RMSE, the root of the mean squared "
                "distance, counts large errors more. R² is the share of the differences between pictures that it explains: 1 is perfect, 0 "
                "is what always guessing the mean comes to. “Guessing the mean” always says the mean of the training pictures. "
                "An interval is where the figure would lie on other pictures like these, 19 times out of 20 (bootstrap).",
            )
        ]
        if any("interval_coverage" in row for row in each.values()):
            judged = split != "validation"  # whose errors set the interval: that it holds them is no news
            tables.append(
                Table(
                    "How near the truth is to a single answer: an interval made to hold it as often as is promised"
                    + (", and how often it did here." if judged else ". How often it does was not measured: there are no test pictures."),
                    ("Number", "Answer plus or minus", "Promised", *(("Held it", "95 % interval") if judged else ())),
                    [
                        (name, figure(row["interval_half_width"]), percent(row["interval_promised"]), *(_held(row) if judged else ()))
                        for name, row in each.items()
                    ],
                    "Where does the interval come from?",
                    "From the errors on the validation pictures (split conformal prediction): it is as wide as it must be there, and a little "
                    "wider for their being few. It holds for pictures like these, over all of them and not for each kind.",
                )
            )  # fmt: skip
        idle = [name for name, row in each.items() if row["mae_ci95"] is not None and row["mae_ci95"][1] >= row["baseline_mae"]]
        advice = []
        if idle:
            advice.append(
                (
                    f"It has not been shown to have learned {', '.join(f'“{name}”' for name in idle)}.",
                    "Check that the numbers are right and that a person can tell them from the pictures; then try more pictures, a pretrained "
                    "backbone or `--strategy finetune`.",
                )
            )
        caution = "This is no better than always guessing the mean." if idle else ""
        if idle and len(idle) == len(each):
            sentence = f"{NOTHING} {sentence}"
        if 0 < len(idle) < len(each):
            caution = f"For {', '.join(f'“{name}”' for name in idle)} this is no better than always guessing the mean."
        few = few_in_all(n, split)
        tone: Tone = "bad" if idle else "caution" if few else "plain"
        return Told(sentence, f"{caution} {few}".strip(), tone, tables, advice, self._limits(each, n, split))

    def _limits(self, each: Mapping[str, Mapping[str, Any]], n: int, split: str) -> list[str]:
        """How well the figures are known, and why single answers have no interval where they have none."""
        found = []
        for name, row in each.items():
            low, high = row["mae_ci95"] or (0.0, 0.0)
            if high - low > _WIDE * row["mae"]:
                how_far = "How far it is off" + (f" in “{name}”" if len(each) > 1 else "")
                found.append(
                    f"{how_far} is only known to {figure(high - low)}: {n:,} {split} picture{'s' if n != 1 else ''} cannot tell more."
                )
        few = self._settled.get("num_validation")
        if few is not None and not self._half_widths():
            found.append(
                f"No single answer comes with an interval: {few:,} validation picture{'s are' if few != 1 else ' is'} too few to promise one."
            )
        return found

    def scatters(self, outputs: dict[str, Floats], targets: TargetArray) -> list[Scatter]:
        half = self._half_widths()
        return [
            Scatter(
                name,
                [(float(true), float(said)) for true, said in zip(targets[:, k], outputs["values"][:, k], strict=True)],
                half[name] if half else None,
            )
            for k, name in enumerate(self.class_names)
        ]

    def worst(self, labels: Sequence[str], outputs: dict[str, Floats], targets: TargetArray) -> list[Wrong]:
        """All answers, farthest off first: by the number that is farthest off, in deviations of what was learned."""
        scale = np.array([self._settled.get("deviation", {}).get(name, 1.0) or 1.0 for name in self.class_names])
        errors = outputs["values"].astype(np.float64) - targets
        far = np.abs(errors) / scale
        found = []
        for row in np.argsort(-far.max(axis=1), kind="stable"):
            k = int(far[row].argmax())
            name = "" if len(self.class_names) == 1 else f"{self.class_names[k]} "
            off = abs(float(errors[row, k]))
            where = "too high" if errors[row, k] > 0 else "too low"
            found.append(
                Wrong(
                    int(row),
                    f"{name}{beside(float(targets[row, k]), off)}",
                    f"{name}{beside(float(outputs['values'][row, k]), off)}",
                    f"{figure(off)} {where}" if off else "right",
                )
            )
        return found

    def score(self, outputs: dict[str, Any], index: int) -> Any:
        return outputs["logits"][:, index]

    def _half_widths(self) -> dict[str, float]:
        """Of the interval around each number; none where not every number has one."""
        half = self._settled.get("half_width", {})
        return half if half and all(width is not None for width in half.values()) else {}


def _with_interval(name: str, measure: Measure, n: int) -> dict[str, Any]:
    value, (low, high) = once(measure, n), bootstrap(measure, n)
    return {name: value if math.isfinite(value) else None, f"{name}_ci95": [low, high] if math.isfinite(low) else None}


def _held(row: Mapping[str, Any]) -> tuple[str, str]:
    low, high = row["interval_coverage_ci95"]
    return percent(row["interval_coverage"]), f"{100 * low:.1f} to {percent(high)}"


def _ends(interval: Sequence[float] | None) -> str:
    return "unknown" if interval is None else f"{figure(interval[0])} to {figure(interval[1])}"


@TASKS.add(TaskInfo(answers="how much is it?", targets="one or more numbers for each picture", kind="numbers"))
def regression(class_names: tuple[str, ...]) -> Regression:
    """One or more numbers for each picture."""
    return Regression(class_names)
