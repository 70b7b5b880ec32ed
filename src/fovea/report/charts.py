"""The charts of one report: which lines, under which words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from fovea.report.data import Json, ReportData
from fovea.report.figures import Series, interval_chart, line_chart, reliability_chart, scatter_chart
from fovea.report.honesty import Bin
from fovea.report.learning import Curve, Learning, curve
from fovea.report.words import figure, number, percent, share, short

_MOST_LINES = 8  # as many as the page has colours
_MOST_INTERVALS = 16  # their names are written beside them, so that colours may come twice
_MOST_ROWS = 40  # of the table of epochs
_COLUMNS = (
    ("loss", "Loss", "lower is better", False),
    ("accuracy", "Accuracy", "higher is better", True),
    ("r2", "R²", "higher is better", False),  # of numbers, which are not simply right or wrong
)
_SPLITS = (("train", "training"), ("validation", "validation"))


@dataclass(frozen=True)
class Chart:
    """A drawn chart, the heading over it, a remark under it, and the lines to name in a legend (none where one needs no name)."""

    svg: Markup
    heading: str
    legend: tuple[Series, ...] = ()
    remark: str = ""


@dataclass(frozen=True)
class EpochRow:
    """One line of the table of epochs, values None where the history has none."""

    epoch: float
    train_loss: float | None
    validation_loss: float | None
    train_accuracy: float | None
    validation_accuracy: float | None


def history_charts(data: ReportData, seen: Learning | None) -> list[Chart]:
    """Loss and accuracy over the epochs, training against validation."""
    charts = []
    for column, name, better, in_percent in _COLUMNS:
        curves = [(words, curve(data.history, split, column)) for split, words in _SPLITS]
        lines = tuple(Series(words, points, colour, dashed=words == "training") for colour, (words, points) in enumerate(curves) if points)
        best = seen.best_epoch if seen else None
        svg = line_chart(
            lines,
            key=f"history-{column}",
            title=f"{name} over the epochs",
            description=" ".join(_told(line.name, list(line.points), name.lower(), in_percent) for line in lines),
            x_label="epoch",
            y_label=f"{name.lower()} (%)" if in_percent else name.lower(),
            in_percent=in_percent,
            mark=(best, f"kept: epoch {best:.0f}") if best is not None else None,
        )
        if svg:
            charts.append(Chart(svg, f"{name}: {better}", lines))
    return charts


def epoch_rows(history: Sequence[Json]) -> list[EpochRow]:
    """The history as a table: at most 40 epochs, evenly spaced, with the first and the last."""
    columns = [dict(curve(history, split, column)) for column in ("loss", "accuracy") for split in ("train", "validation")]
    epochs = sorted(set().union(*columns))
    if len(epochs) > _MOST_ROWS:
        epochs = [epochs[round(i * (len(epochs) - 1) / (_MOST_ROWS - 1))] for i in range(_MOST_ROWS)]
    return [EpochRow(epoch, *(column.get(epoch) for column in columns)) for epoch in epochs]


def search_chart(data: ReportData) -> tuple[Chart, float] | None:
    """The loss of each regularisation tried, and the value that was taken; None where nothing was tried."""
    tried = sorted(
        (value, score, number(row, "std") or 0.0)
        for row in data.search
        if (value := number(row, "value")) is not None and (score := number(row, "loss")) is not None
    )
    if not tried:
        return None
    chosen = data.chosen if data.chosen is not None else min(tried, key=lambda row: row[1])[0]
    line = Series("loss", [(value, score) for value, score, _ in tried], spread=[std for _, _, std in tried])
    best = min(score for _, score, _ in tried)
    svg = line_chart(
        [line],
        key="search",
        title="Loss of each regularisation that was tried",
        description=f"{len(tried)} values were tried; the lowest mean loss is {figure(best)}. {figure(chosen)} was taken.",
        x_label="strength C: small holds back, large lets go" if tried[0][0] > 0 else "regularisation",
        y_label="loss",
        in_percent=False,
        log_x=tried[0][0] > 0,
        mark=(chosen, f"taken: {figure(chosen)}"),
    )
    return (
        (Chart(svg, "Loss of each value tried: lower is better", remark="The band is the spread between the parts."), chosen)
        if svg
        else None
    )


def tried_chart(data: ReportData) -> Chart | None:
    """What the ways to learn came to that were compared before one was chosen; None where none were."""
    rows = [
        (str(row["name"]), float(row["accuracy"]), float(row["accuracy_ci95"][0]), float(row["accuracy_ci95"][1]))
        for row in data.tried
        if row.get("n")
    ]
    svg = interval_chart(
        rows, key="tried-intervals", title="Accuracy of each way to learn, with its interval",
        description="; ".join(f"{short(name)}: {percent(value)}" for name, value, *_ in rows) + ".", x_label=f"accuracy on hidden training {data.noun}s (%)",
    )  # fmt: skip
    return Chart(svg, "What each way came to", remark="A dot is what was measured, its line where the truth may lie.") if svg else None


def comparison_charts(data: ReportData) -> list[Chart]:
    """What several trainings came to, with intervals; and their curves over each other, of validation or else of training."""
    charts = []
    rows: list[tuple[str, float, float, float]] = []
    for index, row in enumerate(data.comparison[:_MOST_INTERVALS]):
        if row.get("accuracy") is not None and row.get("accuracy_ci95"):
            low, high = row["accuracy_ci95"]
            rows.append((str(row.get("name", index + 1)), float(row["accuracy"]), float(low), float(high)))
    told = "; ".join(f"{short(name)}: {percent(value)}, {percent(low)} to {percent(high)}" for name, value, low, high in rows)
    svg = interval_chart(
        rows, key="comparison-intervals", title="Accuracy of each training, with its interval", description=f"{told}.",
        x_label=f"accuracy on {data.compared_on} {data.noun}s (%)",
    )  # fmt: skip
    more = f" The first {_MOST_INTERVALS}." if len(data.comparison) > _MOST_INTERVALS else ""
    if svg:
        charts.append(
            Chart(svg, "How far can they be told apart?", remark="A dot is what was measured, its line where the truth may lie." + more)
        )
    for column, name, better, in_percent in _COLUMNS:
        for split, words in reversed(_SPLITS):
            lines = tuple(
                Series(str(row.get("name", index + 1)), points, index)
                for index, row in enumerate(data.comparison[:_MOST_LINES])
                if (points := curve(row.get("history") or (), split, column))
            )
            svg = line_chart(
                lines,
                key=f"comparison-{column}",
                title=f"{words.capitalize()} {name.lower()} of each training, over the epochs",
                description=" ".join(_told(short(line.name), list(line.points), name.lower(), in_percent) for line in lines),
                x_label="epoch",
                y_label=f"{name.lower()} (%)" if in_percent else name.lower(),
                in_percent=in_percent,
            )
            if svg:
                charts.append(Chart(svg, f"{words.capitalize()} {name.lower()}: {better}", lines))
                break
    return charts


def sure_chart(bins: Sequence[Bin], *, noun: str) -> Chart | None:
    """The reliability diagram, or None where no bin holds a picture."""
    full = [b for b in bins if b.accuracy is not None]
    if not full:
        return None
    told = "; ".join(f"{share(b.lo)} to {share(b.hi)} % sure: right on {share(b.accuracy or 0.0)} % of {b.n:,}" for b in full)
    svg = reliability_chart(bins, key="reliability", title="How sure it said it was, and how often it was right", description=told + ".")
    return Chart(
        svg,
        "Does it mean what it says?",
        remark=f"Each bar stands for the {noun}s of which it was about that sure; above it, how many they are. "
        "Bars that end on the dashed line mean what they say. Pale ones stand on fewer than 10.",
    )


def scatter_charts(data: ReportData) -> list[Chart]:
    """Each number's answers against the truth."""
    charts = []
    for index, scatter in enumerate(data.scatters[:_MOST_LINES]):
        svg = scatter_chart(
            scatter.points, key=f"scatter-{index}", title=f"{short(scatter.name)}: what it said, and what is true",
            description=f"{len(scatter.points):,} {data.told_of} {data.noun}s, the true value from left to right and the answer upwards. "
            "Dots on the dashed line are right.",
            x_label="true", y_label="said", half_width=scatter.half_width,
        )  # fmt: skip
        if svg:
            band = " The band should hold 9 dots of 10." if scatter.half_width is not None else ""
            heading = scatter.name if len(data.scatters) > 1 else "What it said, against what is true"
            charts.append(Chart(svg, heading, remark=f"Each dot is a {data.told_of} {data.noun}; on the dashed line it is right.{band}"))
    return charts


def _told(name: str, points: Curve, what: str, in_percent: bool) -> str:
    """A line in a sentence: where it begins, where it ends."""
    finite = [y for _, y in points if math.isfinite(y)]
    if not finite:
        return f"{name}: no {what} is a finite number."
    first, last = ((percent(y) if in_percent else figure(y)) for y in (finite[0], finite[-1]))
    return f"{name}: {what} goes from {first} to {last} in {len(points):,} epochs."
