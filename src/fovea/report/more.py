"""What a report says beyond accuracy: further measures in a table, the curves behind them, and how its promises were kept."""

from collections.abc import Callable
from dataclasses import dataclass

from fovea.report.charts import Chart
from fovea.report.data import Json, ReportData
from fovea.report.figures import Series, line_chart
from fovea.report.measured import Measured
from fovea.report.words import count, figure, number, percent, share

_MEASURES: tuple[tuple[str, str, bool, str], ...] = (  # name in metrics.json, in words, whether it is shown in percent, what it is
    ("balanced_accuracy", "Balanced accuracy", True, "the mean of what was recognised of each class, all classes counting alike"),
    ("macro_f1", "Macro F1", True, "the mean of the classes' F1"),
    ("roc_auc", "ROC AUC", True, "how often one of a class is given more of it than one of another class; 50 % is chance"),
    ("average_precision", "Average precision", True, "how right it is, on average, from its surest answers of a class down"),
    ("nll", "Log-likelihood loss", False, "small where the right answer was given much; 0 is perfect"),
    ("brier", "Brier score", False, "mean squared error of the percentages; 0 is perfect, 2 the worst"),
    ("calibration_error", "Calibration error", True, "how far percentages are from what comes true, in groups of equal size"),
)


@dataclass(frozen=True)
class Row:
    """One measure, as text."""

    name: str
    value: str
    interval: str
    meaning: str


def measures(data: ReportData, result: Measured) -> list[Row]:
    """The measures that the split has, each with its interval; none where only the accuracy is known."""
    found, rows = _of(data, result), []
    if not any(name in found for name in ("balanced_accuracy", "brier")):
        return []
    for name, words, in_percent, meaning in _MEASURES:
        value, ends = number(found, name), found.get(f"{name}_ci95")
        if value is not None:
            said: Callable[[float], str] = percent if in_percent else figure
            interval = f"{share(ends[0]) if in_percent else figure(ends[0])} to {said(ends[1])}" if ends else "–"
            rows.append(Row(words, said(value), interval, meaning))
    return rows


def tradeoff_charts(data: ReportData, result: Measured) -> list[Chart]:
    """The ROC and the precision-recall curve, means over the classes; none where they were not measured."""
    found, charts = _of(data, result).get("curves") or {}, []
    for name, title, x_label, y_label, better in (
        ("roc", "ROC curve", "of the others, taken for the class (%)", "found of the class (%)", "up and to the left is better"),
        ("precision_recall", "Precision and recall", "found of the class (%)", "right of those named (%)", "up and to the right is better"),
    ):
        points = [(100 * x, y) for x, y in found.get(name) or ()]
        middle = points[len(points) // 2] if points else (0.0, 0.0)
        svg = line_chart(
            [Series(title, points)],
            key=f"tradeoff-{name}",
            title=title,
            description=f"{title}, from {percent(points[0][1])} to {percent(points[-1][1])}; at {figure(middle[0])} % it is {percent(middle[1])}."
            if points
            else "",
            x_label=x_label,
            y_label=y_label,
            in_percent=True,
        )
        if svg:
            charts.append(Chart(svg, f"{title}: {better}"))
    return charts


def promises(data: ReportData, result: Measured) -> list[str]:
    """How often sets of classes held the right one, and how many pictures were refused, each beside what was promised.

    Not on validation pictures: they set the promises, and keep them whatever the model is worth.
    """
    found, told = _of(data, result), list[str]()
    conformal, refusal = data.answering.get("conformal"), data.answering.get("refusal")
    if result.split != "test":
        if conformal:
            told.append(
                f"Where it is not sure, it names several classes (prediction_set), promised to hold the right one at least {percent(conformal['coverage'])} of the time."
            )
        if refusal:
            told.append(
                f"A {data.noun} that is like nothing it was shown is refused; of {data.noun}s like these, {percent(refusal['false_refusal'])} are to be refused by mistake."
            )
        return [*told, f"Whether this is kept was not measured: there are no test {data.noun}s, and the others set it."] if told else []
    if conformal and (held := number(found, "set_coverage")) is not None:
        low, high = found["set_coverage_ci95"]
        told.append(
            f"Where it is not sure, it names several classes (prediction_set). Together they are promised to hold the right one at least "
            f"{percent(conformal['coverage'])} of the time; here they did {percent(held)} of the time ({share(low)} to {percent(high)}), with "
            f"{figure(found['set_size'])} classes on average."
        )
    if refusal and (refused := number(found, "refused")) is not None:
        low, high = found["refused_ci95"]
        told.append(
            f"A {data.noun} that is like nothing it was shown is refused. {percent(refusal['false_refusal'])} of {data.noun}s like these were to be "
            f"refused by mistake; here {percent(refused)} of {count(result.n, data.noun)} were ({share(low)} to {percent(high)}). How many strange "
            "ones it finds depends on how strange they are: ask it about some."
        )
    return told


def _of(data: ReportData, result: Measured) -> Json:
    """The measures of the split that the report speaks of."""
    return (data.test if result.split == "test" else data.validation) or {}
