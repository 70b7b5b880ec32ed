"""Puts a report together: the content of each section, the templates around it, one file at the end."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from fovea.files import write_atomic
from fovea.report import averaging, words
from fovea.report.advice import advise
from fovea.report.answer import answer, ranking
from fovea.report.charts import comparison_charts, epoch_rows, history_charts, scatter_charts, search_chart, sure_chart, tried_chart
from fovea.report.data import ReportData, Thumb
from fovea.report.findings import findings
from fovea.report.honesty import honesty, read_bins
from fovea.report.learning import learning
from fovea.report.measured import ClassResult, Measured, class_results, class_totals, confused_pairs, measured, split_sizes
from fovea.report.more import measures, promises, tradeoff_charts
from fovea.report.pictures import Embedded, embed, png_uri
from fovea.types import SPLITS

_TEMPLATES = Path(__file__).with_name("templates")

# What one page shows at most, so that it stays readable and small whatever the data.
_MATRIX_CLASSES = 20  # a wider matrix is no longer read; the pairs most confused are
_TABLE_CLASSES, _WEAKEST = 24, 12  # all of up to 24 classes; of more, the 12 that matter
_EXAMPLE_CLASSES, _EXAMPLES_EACH = 12, 4
_MISTAKES = 24
_LIST = 60  # notes, settings, compared trainings, packages

_PARTS = {  # of the timing, in the order in which they happen
    "audit_s": "Looking for faults in the data",
    "decode_s": "Reading the pictures",
    "embed_s": "Running the backbone",
    "train_s": "Learning",
    "evaluate_s": "Measuring",
    "explain_s": "Explaining",
    "export_s": "Writing and checking the bundle",
    "report_s": "Writing this report",
}


@dataclass(frozen=True)
class Picture:
    """An embedded picture with what stands under it."""

    image: Embedded
    path: str
    true: str
    predicted: str = ""
    probability: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class ClassCount:
    """One class in the table of the data: pictures per split, in all, and as a share of the largest class."""

    name: str
    counts: tuple[int, ...]
    total: int
    of_largest: float


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `shade` 0 to 1 is how dark it is drawn."""

    n: int
    shade: float


@dataclass(frozen=True)
class Span:
    """One part of the time taken."""

    name: str
    seconds: float
    of_longest: float


def write_report(path: str | Path, data: ReportData) -> Path:
    """Writes the report as one HTML file that needs nothing else: no network, no script, under 5 MB.

    Args:
        path: Where the file shall stand, for example RUN/report.html.
        data: What to show.

    Raises:
        DiskFull, OutputError: The file could not be written; what stood there before still stands.
    """
    return write_atomic(path, render(data))


def render(data: ReportData) -> str:
    """The whole page as text."""
    result = measured(data)
    seen = learning(data.history)
    bins = read_bins(data.reliability)
    search = search_chart(data) if not data.history else None
    splits = [split for split in SPLITS if any(data.class_counts.get(split, {}).values())]
    return _environment().get_template("report.html").render(
        data=data,
        noun=data.noun,
        answer=answer(data, result),
        result=result,
        advice=advise(data),
        sizes={split: n for split, n in split_sizes(data).items() if n},
        splits=splits,
        classes=_class_counts(data, splits),
        examples=_examples(data.examples),
        findings=findings(data.audit),
        audited=bool(data.audit),
        matrix=_matrix(result),
        pairs=confused_pairs(result, most=8 if _fits(result) else 20) if result else [],
        class_results=_worst_first(class_results(result)) if result else [],
        mistakes=[Picture(embed(m.pixels), m.path, m.true, m.predicted, m.probability, m.note) for m in data.mistakes[:_MISTAKES]],
        told=None if result else data.told,
        scatters=scatter_charts(data),
        bins=[b for b in bins if b.n],
        sure=sure_chart(bins, noun=data.noun),
        honesty=honesty(bins, result.ece if result else None),
        measures=measures(data, result) if result else [],
        tradeoffs=tradeoff_charts(data, result) if result else [],
        promises=promises(data, result) if result else [],
        seen=seen,
        curves=history_charts(data, seen),
        epochs=epoch_rows(data.history),
        search=search[0] if search else None,
        chosen=search[1] if search else None,
        plots=[(plot.title, png_uri(plot.png)) for plot in data.plots],
        tried=[*data.tried][:_LIST],
        tried_chart=tried_chart(data),
        averaged=averaging.told(data.averaging) if data.averaging else [],
        comparison=[*data.comparison][:_LIST],
        comparison_charts=comparison_charts(data),
        best_compared=ranking(data)[0].get("name") if ranking(data) else None,
        spans=_spans(data),
        most=_LIST,
    )  # fmt: skip


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Every text passes here on its way out, so that none reaches the page with bytes that HTML forbids.
        finalize=lambda value: value if isinstance(value, Markup) or not isinstance(value, str) else words.clean(value),
    )
    environment.filters.update(
        short=words.short,
        quoted=words.quoted,
        code_spans=words.code_spans,
        command=words.command,
        counted=words.count,
        percent=words.percent,
        share=words.share,
        duration=words.duration,
        figure=words.figure,
    )
    environment.globals["number"] = words.number
    return environment


def _fits(result: Measured | None) -> bool:
    return result is not None and result.confusion is not None and len(result.class_names) <= _MATRIX_CLASSES


def _matrix(result: Measured | None) -> list[tuple[str, list[Cell]]]:
    """Rows of the confusion matrix, each cell shaded by its share of the row; empty where there are too many classes.

    Mistakes are shaded by the square root of their share: 4 % of a class is little ink and much to know.
    """
    if result is None or result.confusion is None or not _fits(result):
        return []
    shares = result.confusion / np.maximum(result.confusion.sum(axis=1, keepdims=True), 1)
    shades = np.where(np.eye(len(shares), dtype=bool), shares, np.sqrt(shares))
    return [
        (name, [Cell(int(n), float(shade)) for n, shade in zip(result.confusion[k], shades[k], strict=True)])
        for k, name in enumerate(result.class_names)
    ]


def _worst_first(results: Sequence[ClassResult]) -> list[ClassResult]:
    """The classes from the one that is recognised least; where there are too many, the first of them."""
    known = sorted((r for r in results if r.recall is not None), key=lambda r: (r.recall or 0.0, -r.n))
    return known[:_WEAKEST] if len(results) > _TABLE_CLASSES else known + [r for r in results if r.recall is None]


def _class_counts(data: ReportData, splits: Sequence[str]) -> list[ClassCount]:
    """Pictures per class and split; where there are too many classes, the smallest and the largest of them."""
    totals = class_totals(data) if splits else {}
    largest = max(totals.values(), default=0) or 1
    names = list(totals)
    if len(names) > _TABLE_CLASSES:
        by_size = sorted(names, key=lambda name: totals[name])
        names = by_size[: _WEAKEST // 2] + by_size[-_WEAKEST // 2 :]
    return [
        ClassCount(name, tuple(data.class_counts[split].get(name, 0) for split in splits), totals[name], totals[name] / largest)
        for name in names
    ]


def _examples(thumbs: Sequence[Thumb]) -> list[tuple[str, list[Picture]]]:
    """A few pictures of each of the first classes."""
    groups: dict[str, list[Thumb]] = defaultdict(list)
    for thumb in thumbs:
        groups[thumb.caption].append(thumb)
    shown = list(groups.items())[:_EXAMPLE_CLASSES]
    return [(name, [Picture(embed(t.pixels), t.path, name) for t in group[:_EXAMPLES_EACH]]) for name, group in shown]


def _spans(data: ReportData) -> list[Span]:
    """The parts of the time taken, without those that took none."""
    named = {**_PARTS, **{key: key.removesuffix("_s").replace("_", " ").capitalize() for key in data.timing if key not in _PARTS}}
    parts = [(named[key], data.timing[key]) for key in named if key != "total_s" and data.timing.get(key)][:_LIST]
    longest = max((seconds for _, seconds in parts), default=1.0)
    return [Span(name.replace("pictures", f"{data.noun}s"), seconds, seconds / longest) for name, seconds in parts]
