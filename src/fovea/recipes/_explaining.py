"""Explains a few pictures for the report of a training, and looks for shortcuts: a second or so, whatever the size of the data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from fovea.audit.survey import Survey
from fovea.bundle import Bundle, load_bundle
from fovea.bundle.neighbours import Neighbours
from fovea.data import Source
from fovea.embeddings.embedder import run_batches
from fovea.explain.bundle_subject import BundleSubject
from fovea.explain.drawing import overlay
from fovea.explain.explanation import Explanation, explain_picture
from fovea.explain.faithfulness import Score, centre_prior, deletion
from fovea.explain.method import applicable
from fovea.explain.network_subject import NetworkSubject
from fovea.explain.shortcut import FALSE_ALARMS, find_shortcuts
from fovea.loading.parallel import chunks, map_ordered
from fovea.loading.pictures import load_picture
from fovea.metrics.intervals import mean_interval
from fovea.models.network import Network
from fovea.report.data import Explained, Explanations, Thumb
from fovea.report.pictures import shrunk
from fovea.tasks import Task
from fovea.tasks.told import Wrong
from fovea.training.run import RunFolder
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Item, Pixels, Split

_Any = TypeVar("_Any")

_METHODS = ("cam", "gradcam")  # the first that can be used: CAM is Grad-CAM where there is such a head, and needs no gradients
_WRONG, _CLASSES, _EACH, _SHOWN_RIGHT = 4, 4, 5, 4
_CHECKED = 6  # pictures on which heat is measured
_COVERED = (0.3, 0.6)  # shares of the picture
_SIDE_PX, _QUALITY = 200, 82
_TURN = 8
_MOST_TRIED_ON = 60  # further pictures, where a place is suspected
_FEWEST = 5  # pictures: below, an interval says nothing


@dataclass(frozen=True, eq=False)
class _Shown:
    """One picture that is explained."""

    row: int  # among the judged ones
    pixels: Pixels
    explanation: Explanation


def training_pictures(goal: Task, seen: Survey, embeddings: Floats | None) -> Neighbours | None:
    """The training pictures as the model sees them, to explain by example; None where it answers no classes, or nobody kept them."""
    rows = seen.rows["train"]
    if embeddings is None or goal.activation != "softmax" or not len(rows):
        return None
    return Neighbours(embeddings[rows], tuple(seen.items[row].path for row in rows), tuple(seen.labels[row] for row in rows))


def explain_training(
    run: RunFolder,
    network: Network,
    goal: Task,
    source: Source,
    seen: Survey,
    answers: Floats,
    embeddings: Floats | None,
    learned_from: Neighbours | None,
) -> Explanations | None:
    """What a training's network looks at in pictures that it was measured on.

    Args:
        run: Its bundle is written.
        network, goal, source, seen, learned_from: Of the training.
        answers, embeddings: (N, K) and (N, D) of all rows.
    """
    split: Split = "test" if len(seen.rows["test"]) else "validation"
    rows = seen.rows[split]
    if not len(rows):
        return None
    labels = [seen.labels[row] for row in rows]
    return explain_run(
        network,
        load_bundle(run.bundle),
        goal,
        source,
        [seen.items[row] for row in rows],
        answers[rows],
        goal.worst(labels, {goal.answer: answers[rows]}, goal.targets(labels)),
        embeddings=None if embeddings is None else embeddings[rows],
        learned_from=learned_from,
        others=[seen.items[row] for row in sorted(seen.rows["train"])],
        split=split,
    )


def explain_run(
    network: Network,
    bundle: Bundle,
    goal: Task,
    source: Source,
    items: Sequence[Item],
    answers: Floats,
    wrong: Sequence[Wrong],
    *,
    embeddings: Floats | None = None,
    learned_from: Neighbours | None = None,
    others: Sequence[Item] = (),
    split: str = "test",
    seed: int = 0,
) -> Explanations | None:
    """What a trained network looks at.

    Args:
        network: In torch; left as it was.
        bundle: The same, as it is shipped: it answers what is asked again and again.
        goal: The task.
        source, items: The judged pictures.
        answers: (N, K) of them, as the task reads them.
        wrong: What was wrong, worst first; of numbers all answers.
        embeddings: (N, D) of them.
        learned_from: The training pictures, to find those that speak for a mistake.
        others: More pictures of the same kind, to try a suspected shortcut on.
        split: That they are of.
        seed: Of what is drawn by chance.

    Returns:
        None where no method of `_METHODS` can explain the network, or there is no picture.
    """
    exclusive = goal.activation == "softmax"
    mistaken = {each.row: each for each in wrong[: _WRONG if exclusive else 2]}
    every_wrong = {each.row for each in wrong}
    # of numbers none is simply wrong
    rest = [row for row in range(len(items)) if row not in (every_wrong if exclusive else mistaken)]
    by_class: dict[int, list[int]] = defaultdict(list)
    for row in rest:
        by_class[int(answers[row].argmax()) if exclusive else 0].append(row)
    groups = sorted(by_class.values(), key=len, reverse=True)[:_CLASSES]
    right = [row for group in groups for row in _spread(group, _EACH if exclusive else _SHOWN_RIGHT)]
    shown = _explained(network, bundle, source, items, [*mistaken, *right])
    if not shown:
        return None
    told = [
        *[each for each in shown if each.row in mistaken],
        *_spread([each for each in shown if each.row not in mistaken], _SHOWN_RIGHT),
    ]
    method = shown[0].explanation.method
    pictures = [_told(each, goal, items, answers, mistaken, embeddings, learned_from) for each in told]
    if not exclusive:
        return Explanations(method, pictures, looked_for="Whether the model goes by one corner or edge is looked for with classes alone.")
    checked, warning = _checked(bundle, goal, _spread([each for each in shown if each.row not in mistaken], _CHECKED))
    found = find_shortcuts(
        lambda pixels: _ask(bundle, goal, pixels),
        np.stack([each.pixels for each in shown]),
        goal.class_names,
        classes=answers[[each.row for each in shown]].argmax(axis=1),
        more=lambda: _loaded(source, _spread(others, _MOST_TRIED_ON), bundle.info.preprocessing),
        seed=seed,
    )
    looked = (
        f"On {len(shown):,} {split} pictures of {len(groups)} classes it was looked whether the model goes by one corner or edge: "
        f"{'it does' if found else 'it was not seen to'} (of models that go by no such place, at most {100 * FALSE_ALARMS:.0f} in 100 is warned of)."
    )
    return Explanations(method, pictures, checked, warning, [str(each) for each in found], looked)


def _spread(values: Sequence[_Any], most: int) -> list[_Any]:
    """Some of them, from all over."""
    return [values[int(i)] for i in np.linspace(0, len(values) - 1, min(most, len(values)))]


def _explained(network: Network, bundle: Bundle, source: Source, items: Sequence[Item], rows: Sequence[int]) -> list[_Shown]:
    """The pictures that can be read, each explained for what the model answers; none where no method can explain it.

    A bundle that gives its last maps explains itself, in a third of the time that torch takes.
    """
    task, preprocessing = bundle.task, bundle.info.preprocessing
    target = None if task.activation != "identity" else 0  # of several numbers the first
    pictures = map_ordered(lambda row: (row, load_picture(source, items[row], preprocessing)[0]), rows)
    readable = [(row, pixels) for row, pixels in pictures if pixels is not None]
    if not readable:
        return []
    if "cam" in applicable(BundleSubject(bundle)):

        def look(each: tuple[int, Pixels]) -> _Shown:  # a subject keeps one picture in mind
            return _Shown(*each, explain_picture(BundleSubject(bundle), each[1], method="cam", target=target))

        return list(map_ordered(look, readable))
    subject = NetworkSubject(network, task=task)
    subject.find(readable[0][1])
    method = next((name for name in _METHODS if name in applicable(subject)), "")
    if not method:
        return []
    return [_Shown(row, pixels, explain_picture(subject, pixels, method=method, target=target)) for row, pixels in readable]


def _loaded(source: Source, items: Sequence[Item], preprocessing: Preprocessing) -> Pixels:
    """(N, S, S, 3) of those that can be read."""
    found = map_ordered(lambda item: load_picture(source, item, preprocessing)[0], items)
    whole, size = [pixels for pixels in found if pixels is not None], preprocessing.size_px
    return np.stack(whole) if whole else np.zeros((0, size, size, 3), np.uint8)


def _told(
    each: _Shown,
    goal: Task,
    items: Sequence[Item],
    answers: Floats,
    mistaken: Mapping[int, Wrong],
    embeddings: Floats | None,
    learned_from: Neighbours | None,
) -> Explained:
    """As the report shows it."""
    item, wrong = items[each.row], mistaken.get(each.row)
    exclusive = goal.activation == "softmax"
    [[_, *words]] = goal.judged([item.label or ""], {goal.answer: answers[each.row : each.row + 1]})[1]
    predicted = wrong.predicted if wrong else each.explanation.target_name if exclusive else str(words[0])
    like: list[Thumb] = []
    if wrong and exclusive and embeddings is not None and learned_from is not None:
        examples = learned_from.examples(embeddings[each.row], predicted).supporting
        like = [Thumb(None, example.path, example.label) for example in examples]
    return Explained(
        item.path,
        wrong.true if wrong else item.label or "",
        predicted,
        float(answers[each.row].max()) if exclusive else None,
        None if not exclusive else wrong is None,
        _drawn(each.pixels, each.explanation.heat),
        like,
    )


def _drawn(pixels: Pixels, heat: Floats) -> bytes:
    """The picture and the same under its heat, side by side, as a small JPEG."""
    sides = [shrunk(picture, _SIDE_PX) for picture in (pixels, overlay(pixels, heat))]
    both = np.concatenate([sides[0], np.full((sides[0].shape[0], 4, 3), 255, np.uint8), sides[1]], axis=1)
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(both[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not done:
        raise ValueError(f"a picture of shape {both.shape} could not be encoded")
    return encoded.tobytes()


def _checked(bundle: Bundle, goal: Task, shown: Sequence[_Shown]) -> tuple[str, str]:
    """How much more covering the hottest places takes from the answer than covering the middle, and what to be warned of."""

    def gain(each: _Shown) -> float:
        heats = each.explanation.heat, centre_prior(*each.pixels.shape[:2])
        hot, middle = (deletion(score(each.explanation.target), each.pixels, heat, shares=_COVERED).area for heat in heats)
        return middle - hot

    def score(target: int) -> Score:
        return lambda pixels: bundle.engine(pixels, (goal.answer,))[goal.answer][:, target]

    gains = list(map_ordered(gain, shown))
    if len(gains) < _FEWEST:
        return (
            f"How far it can be believed was not measured: it takes {_FEWEST} pictures with right answers, and {len(gains)} were explained.",
            "",
        )
    low, high = mean_interval(gains, bounds=(-1.0, 1.0))
    said = (
        f"With the hottest {100 * _COVERED[0]:.0f} to {100 * _COVERED[-1]:.0f} % of {len(gains)} pictures covered, the answer lost {100 * np.mean(gains):.1f} points more than "
        f"with as much of their middle covered (95 % interval {100 * low:.1f} to {100 * high:.1f})."
    )
    if low > 0:
        return said, ""
    return said, (
        "On these pictures it is not shown to be better than a spot in the middle: covering the hottest places did not take more from the answers than "
        "covering the middle did. Often that is because what is to be seen fills the middle, or because the answer hangs on no one place."
    )


def _ask(bundle: Bundle, goal: Task, pixels: Pixels) -> Floats:
    """(B, K) of pictures as the model sees them, side by side on all cores."""
    turns = (pixels[turn.start : turn.stop] for turn in chunks(len(pixels), _TURN))
    return np.concatenate([answers for (answers,) in run_batches(bundle.engine, turns, (goal.answer,))])
