"""Which of several trainings is really better, told on the same test pictures."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fovea.errors import InputError
from fovea.evaluation.grouped import CAUTION
from fovea.metrics.intervals import holm, mcnemar, paired_bootstrap
from fovea.report.words import count
from fovea.training.run import Metrics, RunFolder, load_metrics

_LEVEL = 0.05  # of the p-value below which a difference counts as shown
_COLUMNS = ("path", "true", "predicted")

Answers = dict[str, tuple[str, str]]  # path -> (true class, predicted class)


@dataclass(frozen=True)
class Pair:
    """Two runs on the test pictures that both answered.

    Args:
        first, second: Their folders.
        n: Pictures.
        right_first, right_second: How many each had right.
        only_first, only_second: How many only the one, and only the other, had right.
        difference_ci95: Of the accuracy of the second minus that of the first, -1 to 1.
        p_value: McNemar's exact test.
        p_adjusted: The same by Holm, for as many comparisons as were made.
    """

    first: str
    second: str
    n: int
    right_first: int
    right_second: int
    only_first: int
    only_second: int
    difference_ci95: tuple[float, float]
    p_value: float
    p_adjusted: float

    @property
    def verdict(self) -> Literal["better", "worse", "no difference shown"]:
        """What the second is, beside the first."""
        if self.p_adjusted >= _LEVEL:
            return "no difference shown"
        return "better" if self.only_second > self.only_first else "worse"

    def to_json(self) -> dict[str, Any]:
        return {
            "first": self.first,
            "second": self.second,
            "n": self.n,
            "accuracy_first": self.right_first / self.n,
            "accuracy_second": self.right_second / self.n,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "difference": (self.right_second - self.right_first) / self.n,
            "difference_ci95": list(self.difference_ci95),
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "verdict": self.verdict,
        }

    def to_text(self) -> str:
        difference, (low, high) = 100 * (self.right_second - self.right_first) / self.n, self.difference_ci95
        said = {
            "better": f"{self.second} is better than {self.first}",
            "worse": f"{self.second} is worse than {self.first}",
            "no difference shown": f"no difference shown between {self.first} and {self.second}",
        }[self.verdict]
        luck = f"chance alone sets two equally good ones so far apart {_chance(self.p_value)} (McNemar's exact test"
        luck += f"; {_chance(self.p_adjusted)}, where so many are compared: Holm)" if self.p_adjusted != self.p_value else ")"
        return "\n".join(
            [
                f"{said}.",
                f"  On the same {count(self.n, 'test picture')}: {self.right_first / self.n:.1%} and {self.right_second / self.n:.1%},"
                f" {difference:+.1f} points (95 % interval {100 * low:+.1f} to {100 * high:+.1f}).",
                f"  {self.only_first:,} only the first had right, {self.only_second:,} only the second; {luck}.",
            ]
        )


@dataclass(frozen=True)
class Comparison:
    """Every run beside the first."""

    pairs: tuple[Pair, ...]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"comparisons": [pair.to_json() for pair in self.pairs], "notes": list(self.notes)}

    def to_text(self) -> str:
        return "\n".join([*(pair.to_text() for pair in self.pairs), *(f"note: {note}" for note in self.notes)])


def compare(*runs: str | Path, seed: int = 0) -> Comparison:
    """Say whether a training is really better than another, or whether their difference may be luck.

    Each run is set beside the first, on the test pictures that both answered: those that only one of them had right tell.

    Args:
        runs: The folders of two or more finished trainings of the same data.
        seed: Of the pictures that are drawn anew for the interval.

    Returns:
        For each run after the first: better, worse, or no difference shown, with both accuracies, the interval of their
        difference and a p-value.
    """
    names = [str(run) for run in runs]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            "there is nothing to compare" if len(names) < 2 else "a run is named twice",
            got=", ".join(names) or "no runs",
            expected="two or more different runs",
            fix="fovea compare RUN_A RUN_B",
        )
    answers = {name: answers_of(name) for name in names}
    first, *others = names
    counted = [_counted(first, other, answers) for other in others]
    p_values = [mcnemar(only_first, only_second) for *_, only_first, only_second in counted]
    pairs = tuple(
        Pair(first, other, *numbers, paired_bootstrap(numbers[3], numbers[4], numbers[0], seed=seed), p_value, adjusted)
        for other, numbers, p_value, adjusted in zip(others, counted, p_values, holm(p_values), strict=True)
    )
    return Comparison(pairs, _notes(pairs, answers))


def _chance(p_value: float) -> str:
    return f"{p_value:.1%} of the time" if p_value >= 0.001 else "less than once in 1,000 times"


def answers_of(run: str) -> Answers:
    """Path -> (true class, predicted class) of every test picture.

    Raises:
        InputError: The run is unfinished, has no test pictures, or its answers are not classes that are right or wrong.
    """
    metrics: Metrics = load_metrics(run)
    if metrics.test is None or getattr(metrics.test, "accuracy", None) is None:
        raise InputError(
            f"the run {run!r} was not measured by how many test pictures it had right",
            got="no test pictures" if metrics.test is None else f"task {metrics.task}",
            expected="a run with test pictures, each answered rightly or wrongly",
            fix="train on data with a test split" if metrics.test is None else "compare its metrics.json instead",
        )
    path = RunFolder(Path(run)).predictions
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        found = {row["path"]: (row["true"], row["predicted"]) for row in rows if row.get("split") == "test"}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        got = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            f"predictions.csv of {run!r} cannot be read",
            got=got,
            expected=f"a table with the columns {', '.join(_COLUMNS)}",
            fix="train again",
        ) from error
    if not found:
        raise InputError(f"predictions.csv of {run!r} holds no test pictures", got="no rows", expected="one for each", fix="train again")
    return found


def _counted(first: str, second: str, answers: dict[str, Answers]) -> tuple[int, int, int, int, int]:
    """Common pictures, right of the first, right of the second, and those that only the first, and only the second, had right."""
    a, b = answers[first], answers[second]
    common = sorted(a.keys() & b.keys())
    if not common:
        raise InputError(
            f"{first!r} and {second!r} have no test picture in common",
            got=f"{next(iter(a))!r} and others, {next(iter(b))!r} and others",
            expected="the same pictures under the same names in both test splits",
            fix="train both on the same data",
        )
    differing = [path for path in common if a[path][0] != b[path][0]]
    if differing:
        path = differing[0]
        raise InputError(
            f"{first!r} and {second!r} do not agree on what {count(len(differing), 'test picture')} really show, first {path!r}",
            got=f"{a[path][0]!r} and {b[path][0]!r}",
            expected="the same class in both",
            fix="train both on the same data with the same labels",
        )
    right = np.array([[a[path][0] == a[path][1], b[path][0] == b[path][1]] for path in common])
    only = right[:, 0] != right[:, 1]
    return len(common), int(right[:, 0].sum()), int(right[:, 1].sum()), int(right[only, 0].sum()), int(right[only, 1].sum())


def _notes(pairs: tuple[Pair, ...], answers: dict[str, Answers]) -> tuple[str, ...]:
    told = [CAUTION] if any(_grouped(run) for run in answers) else []
    for pair in pairs:
        sizes = len(answers[pair.first]), len(answers[pair.second])
        if set(sizes) != {pair.n}:
            told.append(
                f"{pair.first} answered {sizes[0]:,} test pictures and {pair.second} {sizes[1]:,}; the {pair.n:,} in common were compared"
            )
        hashes = [_data_hash(run) for run in (pair.first, pair.second)]
        if None not in hashes and hashes[0] != hashes[1]:
            told.append(
                f"{pair.first} and {pair.second} learned from different pictures, labels or splits; their test pictures were matched by path alone"
            )
    return tuple(told)


def _grouped(run: str) -> bool:
    """Whether some of a run's test pictures belong to one group."""
    measured = load_metrics(run).test
    return measured is not None and "counted_as" in (measured.model_extra or {})


def _data_hash(run: str) -> str | None:
    """Of the pictures, labels and splits of a run; None where its bundle does not say."""
    try:
        said = json.loads((RunFolder(Path(run)).bundle / "bundle.json").read_bytes())
        return str(said["training_data"]["hash"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
