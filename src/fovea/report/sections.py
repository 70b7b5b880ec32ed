"""The sections of the page and their order: the one place that names them.

To add a section: a function from the data to what its template shows (None leaves the section out), in a file of its own; the template,
`templates/NAME.html`, a <section> with that name as its id; and its line in SECTIONS.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.report import averaging
from fovea.report.advice import advise
from fovea.report.answer import ranking, too_close
from fovea.report.charts import comparison_charts, epoch_rows, history_charts, scatter_charts, search_chart, sure_chart, tried_chart
from fovea.report.confused import confused_groups
from fovea.report.data import Mistake, ReportData, Thumb
from fovea.report.embedding_map import shown_map
from fovea.report.explained import shown_explanations
from fovea.report.findings import findings
from fovea.report.growth import growth
from fovea.report.honesty import honesty, read_bins
from fovea.report.learning import learning
from fovea.report.limits import limits
from fovea.report.measured import ClassResult, Measured, class_results, class_totals, confused_pairs, split_sizes
from fovea.report.more import measures, promises, tradeoff_charts
from fovea.report.pictures import Embedded, embed, png_uri
from fovea.report.weak_spots import weak_spots
from fovea.types import SPLITS

# What one page shows at most, so that it stays readable and small whatever the data.
MOST = 60  # notes, settings, compared trainings, packages
_MATRIX_CLASSES = 20  # a wider matrix is no longer read; the pairs most confused are
_TABLE_CLASSES, _WEAKEST = 24, 12  # all of up to 24 classes; of more, the 12 that matter
_EXAMPLE_CLASSES, _EXAMPLES_EACH = 12, 4
_MISTAKES = 24

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

Content = Mapping[str, Any] | None


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Args:
        name: Its id in the page, and the name of its template.
        heading: In the contents.
        content: What its template shows, beside `data`, `result`, `noun` and `most`; None leaves the section out.
        template: Where it is not called like the section.
    """

    name: str
    heading: str
    content: Callable[[ReportData, Measured | None], Content]
    template: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded picture (None where it could not be had) with what stands under it."""

    image: Embedded | None
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


def _next(data: ReportData, result: Measured | None) -> Content:
    return {"advice": advise(data), "limits": limits(data, result)}


def _comparison(data: ReportData, result: Measured | None) -> Content:
    if not data.comparison:
        return None
    ranked = ranking(data)
    # shown on the same pictures, or by intervals that do not overlap; where neither is known, the highest figure alone is marked
    best = [row["name"] for row in ranked if row is ranked[0] or not row.get("worse", not too_close(ranked[0], row))]
    return {"comparison_charts": comparison_charts(data), "best_compared": best}


def _versus(data: ReportData, result: Measured | None) -> Content:
    if not data.versus and not data.tables:
        return None
    return {"versus": [(each, [picture_of(m) for m in each.disagreed]) for each in data.versus]}


def _data(data: ReportData, result: Measured | None) -> Content:
    splits = [split for split in SPLITS if any(data.class_counts.get(split, {}).values())]
    content = {
        "sizes": {split: n for split, n in split_sizes(data).items() if n},
        "splits": splits,
        "classes": _class_counts(data, splits),
        "examples": _examples(data.examples),
        "findings": findings(data.audit),
        "audited": bool(data.audit),
    }
    return content if any(content[name] for name in ("sizes", "classes", "examples", "audited")) else None


def _wrong(data: ReportData, result: Measured | None) -> Content:
    if result is None:
        return None
    return {
        "matrix": _matrix(result),
        "pairs": confused_pairs(result, most=8 if _fits(result) else 20),
        "confused": confused_groups(data, result),
        "class_results": _worst_first(class_results(result)),
        "mistakes": [picture_of(mistake) for mistake in data.mistakes[:_MISTAKES]],
    }


def _told(data: ReportData, result: Measured | None) -> Content:
    if result is not None or data.told is None:
        return None
    return {"told": data.told, "scatters": scatter_charts(data), "mistakes": [picture_of(m) for m in data.mistakes[:_MISTAKES]]}


def _sure(data: ReportData, result: Measured | None) -> Content:
    if result is None:
        return None
    bins = read_bins(data.reliability)
    return {
        "bins": [b for b in bins if b.n],
        "sure": sure_chart(bins, noun=data.noun),
        "honesty": honesty(bins, result.calibration_error, result.luck, result.calibration_low),
        "measures": measures(data, result),
        "tradeoffs": tradeoff_charts(data, result),
        "promises": promises(data, result),
    }


def _slices(data: ReportData, result: Measured | None) -> Content:
    if (found := weak_spots(data)) is None:
        return None
    return {"weak_spots": found, "slice_examples": [picture_of(each) for each in data.slice_examples]}


def _growth(data: ReportData, result: Measured | None) -> Content:
    return None if (found := growth(data, result)) is None else {"growth": found}


def _plots(data: ReportData, result: Measured | None) -> Content:
    return {"plots": [(plot.title, png_uri(plot.png)) for plot in data.plots]} if data.plots else None


def _tried(data: ReportData, result: Measured | None) -> Content:
    return {"tried": [*data.tried][:MOST], "tried_chart": tried_chart(data)} if data.tried else None


def _averaging(data: ReportData, result: Measured | None) -> Content:
    return {"averaged": averaging.told(data.averaging)} if data.averaging else None


def _learning(data: ReportData, result: Measured | None) -> Content:
    seen = learning(data.history)
    search = search_chart(data) if not data.history else None
    content = {
        "seen": seen,
        "curves": history_charts(data, seen),
        "epochs": epoch_rows(data.history),
        "search": search[0] if search else None,
        "chosen": search[1] if search else None,
    }
    return content if content["curves"] or content["search"] else None


def _asked(data: ReportData, result: Measured | None) -> Content:
    return {}


def _time(data: ReportData, result: Measured | None) -> Content:
    spans = _spans(data)
    return {"spans": spans} if spans or data.versions else None


SECTIONS: tuple[Section, ...] = (
    Section("next", "What to do next", _next),
    Section("comparison", "Side by side", _comparison),
    Section("versus", "Which is really better?", _versus),
    Section("data", "The data", _data),
    Section("wrong", "What it gets wrong", _wrong),
    Section("sure", "How sure we are", _sure),
    Section("slices", "Where it does worse", _slices),
    Section("growth", "What more pictures would bring", _growth),
    Section("wrong", "How good it is", _told, template="told"),
    Section("explained", "What it looks at", shown_explanations),
    Section("map", "How it sees them", shown_map),
    Section("plots", "How the search went", _plots),
    Section("tried", "How the way to learn was chosen", _tried),
    Section("averaging", "What averaging brought", _averaging),
    Section("learning", "How it learned", _learning),
    Section("asked", "What was asked", _asked),
    Section("time", "Time and versions", _time),
)


def picture_of(mistake: Mistake) -> Picture:
    """A mistake as the templates show it."""
    image = None if mistake.pixels is None else embed(mistake.pixels)
    return Picture(image, mistake.path, mistake.true, mistake.predicted, mistake.probability, mistake.note)


def _fits(result: Measured) -> bool:
    return result.confusion is not None and len(result.class_names) <= _MATRIX_CLASSES


def _matrix(result: Measured) -> list[tuple[str, list[Cell]]]:
    """Rows of the confusion matrix, each cell shaded by its share of the row; empty where there are too many classes.

    Mistakes are shaded by the square root of their share: 4 % of a class is little ink and much to know.
    """
    if result.confusion is None or not _fits(result):
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
        if thumb.pixels is not None:
            groups[thumb.caption].append(thumb)
    shown = list(groups.items())[:_EXAMPLE_CLASSES]
    return [
        (name, [Picture(embed(t.pixels), t.path, name) for t in group[:_EXAMPLES_EACH] if t.pixels is not None]) for name, group in shown
    ]


def _spans(data: ReportData) -> list[Span]:
    """The parts of the time taken, without those that took none."""
    named = {**_PARTS, **{key: key.removesuffix("_s").replace("_", " ").capitalize() for key in data.timing if key not in _PARTS}}
    parts = [(named[key], data.timing[key]) for key in named if key != "total_s" and data.timing.get(key)][:MOST]
    longest = max((seconds for _, seconds in parts), default=1.0)
    return [Span(name.replace("pictures", f"{data.noun}s"), seconds, seconds / longest) for name, seconds in parts]
