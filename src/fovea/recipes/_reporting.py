"""From a finished training to the plain values that a report shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.audit.survey import Survey
from fovea.data import Source, decode
from fovea.errors import DataError, UnreadableImage
from fovea.export.bundles import NUM_COMPARED
from fovea.loading.pictures import load_picture
from fovea.report import Mistake, ReportData, Thumb, write_report
from fovea.tasks import Task
from fovea.tasks.told import Wrong
from fovea.training.loop import Epoch
from fovea.training.run import Metrics, RunFolder
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Item, Pixels, Split

_THUMB_PX = 160
_EXAMPLES_A_CLASS = 4
_MOST_CLASSES_SHOWN = 12
_MOST_MISTAKES = 24


def some_pictures(source: Source, items: Sequence[Item], preprocessing: Preprocessing) -> Pixels:
    """A few pictures from all over the data, as the model sees them, (N, S, S, 3)."""
    found: list[Pixels] = []
    for index in np.linspace(0, len(items) - 1, min(NUM_COMPARED, len(items))).astype(int):
        pixels, _ = load_picture(source, items[index], preprocessing)
        if pixels is not None:
            found.append(pixels)
    if not found:
        raise DataError(
            "the pictures can no longer be read",
            got="no readable file",
            expected="the files as they were",
            fix="restore them, and train again",
        )
    return np.stack(found)


def write_train_report(
    run: RunFolder,
    source: Source,
    seen: Survey,
    goal: Task,
    answers: Mapping[str, npt.NDArray[Any]],
    metrics: Metrics,
    history: Sequence[Epoch],
    timing: dict[str, float],
) -> None:
    """Writes `report.html` of a training."""
    shown: Split = "test" if len(seen.rows["test"]) else "validation"
    judged, kind = (metrics.test or metrics.validation), source.kind
    index = seen.rows[shown]
    outputs, targets = {goal.answer: answers[goal.answer][index]}, goal.targets([seen.labels[i] for i in index])
    told = goal.told(judged.model_dump(), split=shown) if judged else None
    extra = metrics.model_extra or {}
    write_report(
        run.report,
        ReportData(
            title=f"{Path(source.location).name or source.location}: {kind.count(source.class_names)}",
            asked={
                "Data": str(source.location),
                "Strategy": metrics.strategy,
                "Backbone": metrics.backbone,
                "Weights": str(extra["weights"]),
                "Picture size": f"{extra['image_size_px']} px",
                "Seed": str(metrics.seed),
            },
            command=metrics.command,
            notes=extra["notes"],
            class_names=() if kind.graded else source.class_names,
            class_noun=kind.one,
            num_files=metrics.num_files,
            class_counts={
                split: dict(Counter(name for i in rows for name in kind.classes(seen.items[i].label))) for split, rows in seen.rows.items()
            },
            examples=_examples(source, seen),
            audit=seen.audit.to_json(),
            history=[row.row() for row in history],
            search=extra["search"],
            tried=extra.get("tried") or [],
            averaging=extra.get("averaging") or {},
            validation=metrics.validation.model_dump() if metrics.validation else None,
            test=metrics.test.model_dump() if metrics.test else None,
            reliability=judged.model_dump().get("reliability", []) if judged else [],
            answering={name: extra.get(name) for name in ("calibration", "conformal", "refusal")},
            mistakes=_mistakes(source, [seen.items[i] for i in index], goal.worst([seen.labels[i] for i in index], outputs, targets)),
            told=told,
            told_of=shown,
            scatters=goal.scatters(outputs, targets) if len(index) else (),
            timing=timing,
            versions=metrics.versions,
            seed=metrics.seed,
        ),
    )


def _examples(source: Source, seen: Survey) -> list[Thumb]:
    """A few training pictures of each class, label or part of the range."""
    taken: Counter[str] = Counter()
    chosen: list[tuple[str, Item]] = []
    rows = sorted(seen.rows["train"])
    for row, names in zip(rows, source.kind.strata([seen.items[row].label for row in rows]), strict=True):
        name = min(names, key=lambda name: taken[name])
        if taken[name] < _EXAMPLES_A_CLASS and (name in taken or len(taken) < _MOST_CLASSES_SHOWN):
            taken[name] += 1
            chosen.append((name, seen.items[row]))
    chosen.sort(key=lambda pair: source.kind.order(pair[1].label or ""))
    return [Thumb(pixels, item.path, name or "none") for name, item in chosen if (pixels := _thumbnail(source, item)) is not None]


def _mistakes(source: Source, items: Sequence[Item], wrong: Sequence[Wrong]) -> list[Mistake]:
    found = []
    for each in wrong[:_MOST_MISTAKES]:
        item = items[each.row]
        if (pixels := _thumbnail(source, item)) is not None:
            found.append(Mistake(pixels, item.path, each.true, each.predicted, each.probability, each.note))
    return found


def _thumbnail(source: Source, item: Item) -> Pixels | None:
    try:
        return decode(source.read(item), path=item.path, min_side_px=_THUMB_PX).pixels
    except UnreadableImage:
        return None
