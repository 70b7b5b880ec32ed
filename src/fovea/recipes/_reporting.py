"""From a finished training to the plain values that a report shows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.audit.survey import Survey
from fovea.data import Source
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import DataError
from fovea.evaluation.further import Further
from fovea.export.bundles import NUM_COMPARED
from fovea.files import json_text, write_atomic
from fovea.loading.pictures import load_picture
from fovea.recipes._embedding_map import Way, chosen_rows, map_of
from fovea.recipes._pictures import with_pictures
from fovea.report import Mistake, ReportData, Thumb, write_report
from fovea.report.confused import MOST_EACH, MOST_PAIRS
from fovea.report.data import EmbeddingMap, Explanations, Point
from fovea.report.kept import report_json
from fovea.tasks import Task
from fovea.tasks.told import Wrong
from fovea.training.loop import Epoch
from fovea.training.run import Metrics, RunFolder
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Item, PictureFacts, Pixels, Split

_EXAMPLES_A_CLASS = 4
_MOST_CLASSES_SHOWN = 12
_MOST_MISTAKES = 24
_SLICE_EXAMPLES = 8


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
    *,
    further: Further | None = None,
    embeddings: Floats | None = None,
    way: Way = "pca",
    explained: Explanations | None = None,
) -> None:
    """Writes `report.json` of a training, and `report.html` from it.

    Args:
        run, source, seen, goal, metrics, history, timing: Of the training.
        answers: Outputs of the model on all rows.
        embeddings: (N, D) of all rows; None draws no map of them.
        way: How that map is made.
        explained: What the model looks at.
    """
    shown: Split = "test" if len(seen.rows["test"]) else "validation"
    judged, kind = (metrics.test or metrics.validation), source.kind
    index = seen.rows[shown]
    outputs, targets = {goal.answer: answers[goal.answer][index]}, goal.targets([seen.labels[i] for i in index])
    told = goal.told(judged.model_dump(), split=shown) if judged else None
    items, wrong = [seen.items[i] for i in index], goal.worst([seen.labels[i] for i in index], outputs, targets)
    extra = metrics.model_extra or {}
    data = ReportData(
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
        mistakes=_mistakes(items, wrong[:_MOST_MISTAKES]),
        confused=_confused(items, wrong) if told is None else (),
        map=None if embeddings is None else _map(source, items, wrong, embeddings[index], split=shown, way=way, seed=metrics.seed),
        explained=explained,
        told=told,
        told_of=shown,
        scatters=goal.scatters(outputs, targets) if len(index) else (),
        timing=timing,
        versions=metrics.versions,
        seed=metrics.seed,
        cross_validation=extra.get("cross_validation"),
        learning_curve=extra.get("learning_curve"),
        slices=extra.get("slices") or [],
        right_means=goal.right_means,
        slice_examples=_of_worst_slice(seen, goal, answers, further),
        leaked=extra.get("leaked"),
    )
    plain = report_json(data)
    write_atomic(run.kept, json_text(plain) + "\n")
    write_report(run.report, with_pictures(plain["report"], source))


def facts_of(seen: Survey, store: EmbeddingStore) -> dict[int, PictureFacts]:
    """What the pictures of validation and test are like, with their thumbnails, by row."""
    rows = [int(row) for split in ("validation", "test") for row in seen.rows[split] if seen.hashes[row] in seen.facts]
    facts = {seen.hashes[row]: seen.facts[seen.hashes[row]] for row in rows}
    thumbnails = store.get_thumbnails(facts)
    return {row: replace(facts[seen.hashes[row]], thumbnail=thumbnails.get(seen.hashes[row])) for row in rows}


def _of_worst_slice(seen: Survey, goal: Task, answers: Mapping[str, npt.NDArray[Any]], further: Further | None) -> list[Mistake]:
    """A few pictures of the worst slice, those answered wrongly first."""
    if further is None or not further.slices or goal.activation != "softmax":
        return []
    rows = further.answered[further.slices[0].rows]
    probabilities = answers[goal.answer][rows]
    said = probabilities.argmax(axis=1)
    wrong = goal.targets([seen.labels[row] for row in rows]) != said
    return [
        Mistake(None, item.path, item.label or "", goal.class_names[said[place]], float(probabilities[place].max()))
        for place in np.argsort(~wrong, kind="stable")[:_SLICE_EXAMPLES]
        for item in [seen.items[rows[place]]]
    ]


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
    return [Thumb(None, item.path, name or "none") for name, item in chosen]


def _mistakes(items: Sequence[Item], wrong: Sequence[Wrong]) -> list[Mistake]:
    return [Mistake(None, items[each.row].path, each.true, each.predicted, each.probability, each.note) for each in wrong]


def _confused(items: Sequence[Item], wrong: Sequence[Wrong]) -> list[Mistake]:
    """A few mistakes of each of the commonest kinds."""
    commonest = Counter((each.true, each.predicted) for each in wrong).most_common(2 * MOST_PAIRS)  # twice: where many are as common
    return _mistakes(items, [each for pair, _ in commonest for each in [w for w in wrong if (w.true, w.predicted) == pair][:MOST_EACH]])


def _map(
    source: Source, items: Sequence[Item], wrong: Sequence[Wrong], vectors: Floats, *, split: str, way: Way, seed: int
) -> EmbeddingMap | None:
    """Some pictures of the split where the model sees them; of numbers, none is simply wrong."""
    if len(items) < 3:
        return None
    strata = [names[0] if names else "none" for names in source.kind.strata([item.label for item in items])]
    mistaken = {} if source.kind.graded else {each.row: each for each in wrong}
    rows = chosen_rows(strata, list(mistaken))
    points = [
        Point(None, items[row].path, strata[row] or "none")
        if row not in mistaken
        else Point(None, items[row].path, strata[row] or "none", mistaken[row].predicted, wrong=True)
        for row in rows
    ]
    if not np.isfinite(vectors[rows]).all():  # of a network that ran away, which the report says elsewhere
        return None
    return map_of(points, vectors[rows], method=way, split=split, total=len(items), seed=seed)
