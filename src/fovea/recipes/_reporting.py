"""From a finished training to the plain values that a report shows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fovea.audit.survey import Survey
from fovea.data import Source, decode
from fovea.errors import DataError, UnreadableImage
from fovea.export.bundles import NUM_COMPARED
from fovea.loading.pictures import load_picture
from fovea.report import Mistake, ReportData, Thumb, write_report
from fovea.training.loop import Epoch
from fovea.training.run import Metrics, RunFolder
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Item, Pixels

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
    probabilities: Floats,
    metrics: Metrics,
    history: Sequence[Epoch],
    timing: dict[str, float],
) -> None:
    """Writes `report.html` of a training."""
    shown = "test" if len(seen.rows["test"]) else "validation"
    judged = metrics.test or metrics.validation
    extra = metrics.model_extra or {}
    write_report(
        run.report,
        ReportData(
            title=f"{Path(source.location).name or source.location}: {len(source.class_names)} classes",
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
            class_names=source.class_names,
            num_files=metrics.num_files,
            class_counts={split: dict(Counter(seen.items[i].label or "" for i in index)) for split, index in seen.rows.items()},
            examples=_examples(source, seen),
            audit=seen.audit.to_json(),
            history=[row.row() for row in history],
            search=extra["search"],
            tried=extra.get("tried") or [],
            validation=metrics.validation.model_dump() if metrics.validation else None,
            test=metrics.test.model_dump() if metrics.test else None,
            reliability=judged.model_dump()["reliability"] if judged else [],
            answering={name: extra.get(name) for name in ("calibration", "conformal", "refusal")},
            mistakes=_mistakes(source, seen, probabilities, shown),
            timing=timing,
            versions=metrics.versions,
            seed=metrics.seed,
        ),
    )


def _examples(source: Source, seen: Survey) -> list[Thumb]:
    taken: Counter[str] = Counter()
    chosen = []
    for row in sorted(seen.rows["train"]):
        label = seen.items[row].label or ""
        if taken[label] < _EXAMPLES_A_CLASS and (label in taken or len(taken) < _MOST_CLASSES_SHOWN):
            taken[label] += 1
            chosen.append(seen.items[row])
    chosen.sort(key=lambda item: item.label or "")
    return [Thumb(pixels, item.path, item.label or "") for item in chosen if (pixels := _thumbnail(source, item)) is not None]


def _mistakes(source: Source, seen: Survey, probabilities: Floats, split: str) -> list[Mistake]:
    names = source.class_names
    wrong = [i for i in seen.rows[split] if names[probabilities[i].argmax()] != seen.items[i].label]  # type: ignore[index]
    wrong.sort(key=lambda i: -probabilities[i].max())
    found = []
    for i in wrong[:_MOST_MISTAKES]:
        item = seen.items[i]
        if (pixels := _thumbnail(source, item)) is not None:
            best = int(probabilities[i].argmax())
            found.append(Mistake(pixels, item.path, item.label or "", names[best], float(probabilities[i, best])))
    return found


def _thumbnail(source: Source, item: Item) -> Pixels | None:
    try:
        return decode(source.read(item), path=item.path, min_side_px=_THUMB_PX).pixels
    except UnreadableImage:
        return None
