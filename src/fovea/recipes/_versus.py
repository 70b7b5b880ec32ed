"""Several trainings on one page: their figures, what each cost, and where they disagree."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from fovea.metrics.intervals import paired_interval
from fovea.recipes.compare import Answers, Comparison, Pair
from fovea.report.data import Json, Mistake, Versus
from fovea.report.words import count, duration, figure, percent, share
from fovea.tasks.told import Table
from fovea.training.run import Metrics, RunFolder

_IN_WORDS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "nll": "Log-likelihood loss",
    "brier": "Brier score",
    "calibration_error": "Calibration error",
    "top5_accuracy": "Top-5 accuracy",
    "set_coverage": "Sets that hold the right class",
    "refused": "Refused by mistake",
}
_SHARES = set(_IN_WORDS) - {"nll", "brier"}
_MOST_CLASSES = 12
_MOST_PICTURES = 8  # that only the one, and that only the other, had right


def figures_table(runs: Mapping[str, Metrics]) -> Table:
    """Every measure that has an interval or a name of its own, a column for each run."""
    split = "test" if all(metrics.test for metrics in runs.values()) else "validation"
    found = [(metrics.test if split == "test" else metrics.validation) for metrics in runs.values()]
    plain = [each.model_dump() if each else {} for each in found]
    names = [
        name
        for name in dict.fromkeys(key for each in plain for key in each)
        if name in _IN_WORDS or any(f"{name}_ci95" in each for each in plain)
    ]
    rows = [
        [_IN_WORDS.get(name, name.replace("_", " ")), *(_with_interval(name, each) for each in plain)]
        for name in sorted(names, key=lambda name: list(_IN_WORDS).index(name) if name in _IN_WORDS else len(_IN_WORDS))
        if any(isinstance(each.get(name), (int, float)) for each in plain)
    ]
    return Table(f"Measured on the {split} pictures, with 95 % intervals.", ["Figure", *runs], rows)


def cost_table(runs: Mapping[str, Metrics], folders: Sequence[Path]) -> Table:
    """What each took and how large it is, a column for each run."""
    sizes = [sum(file.stat().st_size for file in RunFolder(folder).bundle.glob("*") if file.is_file()) for folder in folders]
    return Table(
        "What each took, on the machine that it was trained on.",
        ["Cost", *runs],
        [
            ["Backbone", *(metrics.backbone for metrics in runs.values())],
            ["Strategy", *(metrics.strategy for metrics in runs.values())],
            ["Training pictures", *(f"{metrics.num_files.get('train', 0):,}" for metrics in runs.values())],
            ["The whole run", *(duration(metrics.timing.total_s) for metrics in runs.values())],
            ["Learning alone", *(duration(metrics.timing.train_s) for metrics in runs.values())],
            ["The bundle", *(f"{size / 1e6:.1f} MB" if size else "–" for size in sizes)],
        ],
    )


def versus_of(found: Comparison, answers: Mapping[str, Answers], names: Mapping[str, str]) -> list[Versus]:
    """Each pair that was compared, with the classes and the pictures in which the two differ; pictures without their pixels.

    Args:
        found: As `compare` gives.
        answers: Of each run.
        names: What each run is called on the page.
    """
    return [_versus(pair, answers[pair.first], answers[pair.second], names) for pair in found.pairs]


def _versus(pair: Pair, first: Answers, second: Answers, names: Mapping[str, str]) -> Versus:
    one, other = names[pair.first], names[pair.second]
    difference, (low, high) = (pair.right_second - pair.right_first) / pair.n, pair.difference_ci95
    better = {"better": other, "worse": one, "no difference shown": ""}[pair.verdict]
    worse = {"better": one, "worse": other, "no difference shown": ""}[pair.verdict]
    said = f"{better} is really better than {worse}" if better else f"No difference is shown between {one} and {other}"
    return Versus(
        first=one,
        second=other,
        sentence=f"{said}: on the same {count(pair.n, 'test picture')}, {percent(pair.right_first / pair.n)} for {one} and {percent(pair.right_second / pair.n)} "
        f"for {other}, {100 * difference:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f}).",
        better=better,
        n=pair.n,
        only_first=pair.only_first,
        only_second=pair.only_second,
        difference=difference,
        difference_ci95=pair.difference_ci95,
        p_value=pair.p_adjusted,
        per_class=_per_class(first, second),
        disagreed=[*_only(first, second, one, other), *_only(second, first, other, one)],
    )


def _per_class(first: Answers, second: Answers) -> list[Json]:
    """How often each was right on the pictures of each class, where they differ most first."""
    counted: dict[str, list[int]] = {}
    for path in first.keys() & second.keys():
        true = first[path][0]
        one, other = first[path][1] == true, second[path][1] == true
        row = counted.setdefault(true, [0, 0, 0, 0, 0])
        for place, hit in enumerate((True, one, other, one and not other, other and not one)):
            row[place] += hit
    rows: list[Json] = []
    for name, (n, right_one, right_other, only_one, only_other) in sorted(counted.items()):
        low, high = paired_interval(only_other, only_one, n)
        shares = {"first": right_one / n, "second": right_other / n, "difference": (right_other - right_one) / n}
        rows.append({"name": name, "n": n, **shares, "lo": low, "hi": high})
    return sorted(rows, key=lambda row: -abs(float(row["difference"])))[:_MOST_CLASSES]


def _only(right: Answers, wrong: Answers, right_name: str, wrong_name: str) -> list[Mistake]:
    """Pictures that one had right and the other wrong."""
    paths = sorted(path for path in right.keys() & wrong.keys() if right[path][1] == right[path][0] != wrong[path][1])
    return [
        Mistake(None, path, right[path][0], wrong[path][1], 0.0, note=f"{right_name} had it right, {wrong_name} not")
        for path in paths[:: max(1, len(paths) // _MOST_PICTURES)][:_MOST_PICTURES]
    ]


def _with_interval(name: str, found: Json) -> str:
    """A figure with its interval, in percent where it is a share."""
    value, ends = found.get(name), found.get(f"{name}_ci95")
    if not isinstance(value, (int, float)):
        return "–"
    is_share = name in _SHARES or name.endswith(("accuracy", "_f1"))
    text = percent(float(value)) if is_share else figure(float(value))
    if not isinstance(ends, (list, tuple)):
        return text
    low, high = float(ends[0]), float(ends[1])
    return f"{text} ({share(low)} to {share(high)})" if is_share else f"{text} ({figure(low)} to {figure(high)})"
