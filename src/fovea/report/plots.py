"""Pictures of curves as PNG files, for slides and papers; the report has its own inside the page."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from fovea.files import write_atomic
from fovea.report.data import Json
from fovea.report.learning import curve

_WIDE, _HIGH, _DPI = 9.0, 3.6, 120  # inches, dots for each


def save_learning_curves(history: Sequence[Json], path: Path) -> Path:
    """Loss and accuracy (or another measure, where there is none) over the epochs, training against validation, side by side."""
    from matplotlib.figure import Figure  # heavy, and only files need it

    figure = Figure(figsize=(_WIDE, _HIGH), layout="constrained")
    others = [name for name in history[-1] if name not in ("epoch", "split", "loss", "lr", "seconds")]
    columns = ("loss", "accuracy" if "accuracy" in others or not others else others[0])
    for axes, column in zip(figure.subplots(1, 2), columns, strict=True):
        for split, style in (("train", "--"), ("validation", "-")):
            if points := curve(history, split, column):
                axes.plot([x for x, _ in points], [y for _, y in points], style, marker="o" if len(points) < 15 else "", label=split)
        axes.set(xlabel="epoch", ylabel=column)
        axes.xaxis.get_major_locator().set_params(integer=True)  # epochs have no halves
        axes.grid(alpha=0.3)
        axes.legend()
    return _save(figure, path)


def save_rate_curve(rates: Sequence[float], losses: Sequence[float], suggested: float, path: Path) -> Path:
    """The loss at each learning rate, with the one to take."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDE / 1.6, _HIGH), layout="constrained")
    axes = figure.subplots()
    axes.plot(rates, losses)
    axes.axvline(suggested, linestyle=":", color="grey", label=f"suggested: {suggested:.1e}")
    axes.set(xlabel="learning rate", ylabel="loss, smoothed", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    return _save(figure, path)


def save_check_curves(rows: Sequence[Json], path: Path) -> Path:
    """The answer while the hottest places are shown first, and covered first: `rows` of a check of explanations, side by side."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDE, _HIGH), layout="constrained")
    said = {"insertion": "hottest places made sharp first", "deletion": "hottest places covered first"}
    for axes, (kind, label) in zip(figure.subplots(1, 2, sharey=True), said.items(), strict=True):
        for row, style in zip(rows, ("-", "--", ":"), strict=False):
            axes.plot(
                row["curves"]["shares"], row["curves"][kind]["scores"], style, label=f"{row['method']}: {row['curves'][kind]['area']:.3f}"
            )
        axes.set(title=f"{kind}: {label}", xlabel="share of the picture", ylabel="mean answer", ylim=(0, 1))
        axes.grid(alpha=0.3)
        axes.legend(title="area")
    return _save(figure, path)


def _save(figure: object, path: Path) -> Path:
    buffer = BytesIO()
    figure.savefig(buffer, dpi=_DPI, format="png")  # type: ignore[attr-defined]
    return write_atomic(path, buffer.getvalue())
