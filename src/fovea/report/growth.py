"""The learning curve on the page: what was seen, drawn on beyond the pictures that there are, and what that means in a sentence."""

from dataclasses import dataclass

from fovea.report.charts import Chart
from fovea.report.data import Json, ReportData
from fovea.report.figures import Series, line_chart
from fovea.report.honest import honest
from fovea.report.measured import Measured
from fovea.report.words import count, percent, share

_LITTLE = 0.005  # half a point: seldom worth collecting pictures for


@dataclass(frozen=True)
class Growth:
    """What the section shows: `chart` is None where there is no curve, `rows` are (pictures, accuracy, low, high, gain in words)."""

    sentence: str
    chart: Chart | None = None
    rows: tuple[tuple[float, float, float, float, str], ...] = ()
    remark: str = ""


def growth(data: ReportData, result: Measured | None) -> Growth | None:
    """The section of the learning curve; None where the run has none to speak of."""
    curve = data.learning_curve
    if not curve:
        return None
    if "skipped" in curve:
        return Growth(f"There is no learning curve here: {curve['skipped']}.")
    points, forecast = curve["points"], curve.get("forecast") or []
    measured = [_read(p) for p in points]
    later = [_read(f) for f in forecast]
    lines = [Series("measured on hidden training pictures", [p[:2] for p in measured], 1, bounds=[p[2:] for p in measured])]
    if later:
        lines.append(Series("what the law expects", [p[:2] for p in later], 0, dashed=True, bounds=[p[2:] for p in later]))
    told = "; ".join(f"{n:,.0f}: {percent(value)}" for n, value, *_ in [*measured, *later])
    svg = line_chart(
        lines, key="growth", title="Accuracy by the number of training pictures", description=f"Training pictures and accuracy: {told}.",
        x_label=f"training {data.noun}s", y_label="accuracy (%)", in_percent=True, mark=(float(curve["now"]), f"now: {curve['now']:,}") if later else None,
    )  # fmt: skip
    chart = Chart(svg, "Accuracy by training pictures", tuple(lines), "The bands are 95 % intervals.")
    rows = [(*_read(p), "") for p in points] + [(*_read(f), _gain(f)) for f in forecast if f["n"] > curve["now"]]
    remark = (
        "This is the curve of a simple head on the backbone as it was before training: an approximation of how this model was learned."
        if curve.get("approximate")
        else ""
    )
    return Growth(_told(data, curve, result), chart, tuple(rows), remark)


def _read(row: Json) -> tuple[float, float, float, float]:
    """Pictures, accuracy and the ends of its interval."""
    low, high = row["accuracy_ci95"]
    return float(row["n"]), float(row["accuracy"]), float(low), float(high)


def _told(data: ReportData, curve: Json, result: Measured | None) -> str:
    points, more = curve["points"], [f for f in curve.get("forecast") or () if f["n"] > curve["now"]]
    first, last = points[0], points[-1]
    seen = (
        f"Learning from {count(int(first['n']), data.noun)} it was right {percent(first['accuracy'])} of the time, from "
        f"{last['n']:,} {percent(last['accuracy'])}."
    )
    if not more:
        return f"{seen} What more {data.noun}s would bring cannot be told: {curve['note']}."
    guess = max(result.guess_accuracy or 0.0, 1 / max(len(data.class_names), 1)) if result else 0.0
    figure = honest(data, result)  # what was chosen on the training pictures flatters their curve: the measured figure has the last word
    if result is not None and (last["accuracy_ci95"][0] <= guess or (figure is not None and figure.known and not figure.learned)):
        better = last["accuracy_ci95"][0] > guess
        why = (
            f"On {data.noun}s that it did not learn from it was not shown to be better than guessing"
            if better
            else "That is no better than guessing"
        )
        return f"{seen} {why}, so nothing suggests that more {data.noun}s of this kind would help."
    said = " ".join(
        f"With {f['n'] - curve['now']:,} more {data.noun}s like these ({f['n']:,} to learn from), expect {_gain(f)}." for f in more
    )
    if max(f["gain_ci95"][1] for f in more) < _LITTLE:
        said += f" That is little: {data.noun}s of another kind, or better labels, may bring more than more of the same."
    return f"{seen} {said}"


def _gain(forecast: Json) -> str:
    low, high = forecast["gain_ci95"]
    if round(100 * high, 1) < 0.1:
        return "no gain that shows"
    return f"about {share(max(forecast['gain'], 0.0))} points more ({100 * low:.1f} to {100 * high:.1f})"
