"""Whether what is said of a model's answers is true: intervals, prediction sets, calibrated percentages."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.embedded import Rows, cats_and_dogs, tiny_imagenet
from benchmarks.harness.figures import Answer, Figure, Limit, Options, share
from benchmarks.harness.places import PHOTOS, WEIGHTS
from benchmarks.harness.tiny import TINY

if TYPE_CHECKING:
    from fovea.tasks import Task
    from fovea.types import Floats, Ints

ASKS = (
    "Over many trainings on resampled pictures of cats and dogs: how often does the 95 % interval of the accuracy hold the accuracy on the large rest, and how often do "
    "prediction sets hold the right class? On 20 classes of Tiny-ImageNet: how often do sets hold it, and does calibration lower the loss and the calibration error of the same pictures?"
)
REPEATS = 500
NEEDS = (PHOTOS, WEIGHTS, TINY)

_NUM_EACH = 200  # pictures to learn from, to calibrate with and to measure on; the rest, 3,400, tells the truth
_NUM_CALIBRATING = 400  # of the 960 pictures of Tiny-ImageNet that were not learned from
_HEADS = ("linear", "mlp")
_NUM_TURNS = 10  # parts of all pictures, each of which is answered once
_NOT_ASKED = ("mlp", "calibration error")


def measure(options: Options) -> Answer:
    """Trains on embeddings as often as `options.repeats` says.

    Raises:
        Skip: The pictures or the weights are not here.
    """
    from fovea.versions import versions

    photos = cats_and_dogs()
    options.say(f"{len(photos.targets):,} cats and dogs embedded")
    held, apart = _resampled(photos, options)
    figures = [
        share("95 % intervals that hold the truth", held, options.repeats, of="trainings", limit=Limit(0.93, "at least")),
        share("the same, not too wide", held, options.repeats, of="trainings", limit=Limit(0.97)),
        _apart("cats and dogs: coverage of sets less what they promise", apart),
    ]
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        tiny = tiny_imagenet(Path(name))
        options.say(f"{len(tiny.targets):,} pictures of Tiny-ImageNet embedded")
        for head in _HEADS:
            logits = _learned(tiny, head, _rows(tiny, "train"), _rows(tiny, "validation"))
            title = f"Tiny-ImageNet, {head}: coverage of sets less what they promise"
            figures += [_apart(title, _tiny_coverage(tiny, logits, options.repeats)), *_calibration(tiny, head)]
            options.say(f"Tiny-ImageNet, head {head}: done")
    return Answer(
        figures=figures,
        notes=[
            f"Cats and dogs: {_NUM_EACH} pictures each to learn from, to calibrate and set the sets with, and to measure on, drawn anew each time from all "
            f"{len(photos.targets):,}; the accuracy on the rest counts as the truth, although it has an error of its own of a quarter of a point.",
            "Coverage less promise: the mean over all draws, with the middle 95 % of them; a single draw may lie farther off, since its own validation pictures set the sets.",
            f"Tiny-ImageNet, sets: one training on 3,240 pictures; of the 960 others {_NUM_CALIBRATING}, drawn anew each time, set the sets, and the rest is answered.",
            f"Tiny-ImageNet, calibration: all 4,200 pictures of the 20 classes in {_NUM_TURNS} parts, each answered by a training on the parts that are left when one more has "
            "set the calibration: so every picture is answered once, by a head that had not learned from it and a calibration that had not seen it. The 600 test pictures alone are "
            "too few to tell changes of this size from chance. A change is after less before on the same pictures, its interval from the paired bootstrap over pictures: two intervals "
            "that overlap say nothing of a difference of two paired figures. It leaves out what other trainings would change.",
            "The linear head (what a probe is) is underconfident: its regularisation, chosen by one standard error in favour of the simpler, is strong. The head mlp is stopped early by its "
            "validation loss, which leaves its percentages nearly true; that its calibration error falls is not asked for, and stands there.",
        ],
        versions=versions("fovea", "numpy", "scipy", "torch"),
    )


def _resampled(rows: Rows, options: Options) -> tuple[int, list[float]]:
    """How many intervals held the truth, and for each training the coverage of its sets less what they promise."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    from fovea.evaluation.answers import fit_answering
    from fovea.metrics.intervals import wilson
    from fovea.training.logistic import fit_logistic

    held, apart = 0, []
    for turn in range(options.repeats):
        order = np.random.default_rng(turn).permutation(len(rows.targets))
        train, validation, test, rest = np.split(order, [_NUM_EACH, 2 * _NUM_EACH, 3 * _NUM_EACH])
        with threadpool_limits(1):
            head = fit_logistic(rows.vectors[train], rows.targets[train], train, num_classes=rows.num_classes, seed=turn)
            logits = (rows.vectors @ head.weight.T + head.bias).astype(np.float32)
        answering = fit_answering(_goal(rows), logits, None, rows.targets, order.argsort(), train=train, validation=validation, seed=turn)
        right = logits.argmax(axis=1) == rows.targets
        low, high = wilson(int(right[test].sum()), len(test))
        held += low <= right[rest].mean() <= high
        apart.append(_coverage_apart(answering.outputs(logits[rest]), answering.conformal, rows.targets[rest]))
        if (turn + 1) % 50 == 0:
            options.say(f"{turn + 1} trainings")
    return int(held), apart


def _tiny_coverage(rows: Rows, logits: "Floats", repeats: int) -> list[float]:
    import numpy as np

    from fovea.evaluation.answers import fit_answering

    unseen = np.concatenate([_rows(rows, "validation"), _rows(rows, "test")])
    groups, apart = np.arange(len(rows.targets)), []
    for turn in range(repeats):
        order = np.random.default_rng(turn).permutation(unseen)
        mine, rest = order[:_NUM_CALIBRATING], order[_NUM_CALIBRATING:]
        answering = fit_answering(_goal(rows), logits, None, rows.targets, groups, train=groups[:0], validation=mine, seed=turn)
        apart.append(_coverage_apart(answering.outputs(logits[rest]), answering.conformal, rows.targets[rest]))
    return apart


def _coverage_apart(outputs: "dict[str, object]", conformal: "dict[str, float] | None", targets: "Ints") -> float:
    import numpy as np

    if conformal is None:
        raise ValueError("there are too few validation pictures")
    sets = np.asarray(outputs["prediction_set"])
    return float(sets[np.arange(len(targets)), targets].mean()) - conformal["coverage"]


def _learned(rows: Rows, head: str, train: "Ints", validation: "Ints") -> "Floats":
    """Logits (N, K) of all pictures before calibration, by a head that learned from the training rows as a probe's does."""
    import numpy as np

    from fovea.loading.batches import ArrayBatches
    from fovea.models.heads import create_head
    from fovea.training.logistic import fit_logistic
    from fovea.training.loop import fit, predict_logits
    from fovea.training.method import Method, Stopping
    from fovea.training.standardise import Standardised

    if head == "linear":
        fitted = fit_logistic(rows.vectors[train], rows.targets[train], train, num_classes=rows.num_classes, seed=0)
        return np.asarray(rows.vectors @ fitted.weight.T + fitted.bias, np.float32)
    inputs = Standardised(rows.vectors[train]).apply(rows.vectors)
    module = create_head(head, num_features=inputs.shape[1], num_classes=rows.num_classes)
    fit(
        module,
        ArrayBatches(inputs, rows.targets, train, batch_size=32, shuffle=True),
        ArrayBatches(inputs, rows.targets, validation, batch_size=32),
        method=Method(epochs=50, lr=1e-3, stop=Stopping(patience=8)),
    )
    return predict_logits(module, inputs, 1024)


def _goal(rows: Rows) -> "Task":
    from fovea.tasks import create_task

    return create_task("classification", tuple(map(str, range(rows.num_classes))))


def _rows(rows: Rows, split: str) -> "Ints":
    import numpy as np

    return np.array([i for i, name in enumerate(rows.splits) if name == split], np.int64)


def _calibration(rows: Rows, head: str) -> list[Figure]:
    """What calibration changes on the same pictures, of which each is answered once: loss and calibration error; 0 must lie above the interval."""
    import numpy as np

    from fovea.bundle.format import Calibration
    from fovea.evaluation.calibrate import calibrated, choose_calibration
    from fovea.metrics.calibration import calibration_error
    from fovea.metrics.classification import negative_log_likelihood
    from fovea.training.logistic import deal

    known = np.flatnonzero(rows.targets >= 0)
    part = np.full(len(rows.targets), -1)
    part[known] = deal(rows.targets[known], known, num_folds=_NUM_TURNS, seed=0)
    before = np.zeros((len(rows.targets), rows.num_classes), np.float32)
    after, methods = before.copy(), list[str]()
    for turn in range(_NUM_TURNS):
        mine, watched = np.flatnonzero(part == turn), np.flatnonzero(part == (turn + 1) % _NUM_TURNS)
        logits = _learned(rows, head, np.setdiff1d(known, np.concatenate([mine, watched])), watched)
        chosen = choose_calibration(logits[watched], rows.targets[watched], watched).calibration
        before[mine], after[mine] = calibrated(logits[mine], Calibration()), calibrated(logits[mine], chosen)
        methods.append(chosen.method)
    before, after, true = before[known], after[known], rows.targets[known]
    draws = [np.random.default_rng(turn).integers(0, len(known), len(known)) for turn in range(1_000)]
    figures = []
    for what, of in (("log-likelihood loss", negative_log_likelihood), ("calibration error", calibration_error)):
        low, high = np.quantile([of(after[rows], true[rows]) - of(before[rows], true[rows]) for rows in draws], (0.025, 0.975))
        first, then = of(before, true), of(after, true)
        title = f"Tiny-ImageNet, {head}: change of the {what} by calibration ({' and '.join(sorted(set(methods)))}), {first:.3f} before"
        figures.append(Figure(title, then - first, float(low), float(high), len(known), "pictures", ""))
        if (head, what) != _NOT_ASKED:
            figures.append(
                Figure(
                    f"Tiny-ImageNet, {head}: upper end of that interval ({what})",
                    float(high),
                    float(high),
                    float(high),
                    len(known),
                    "pictures",
                    "",
                    Limit(0.0),
                )
            )
    return figures


def _apart(name: str, apart: list[float]) -> Figure:
    """The mean distance from the promise, which must be at most 1.5 points; below the promise it is negative."""
    import numpy as np

    low, high = np.quantile(apart, (0.025, 0.975))
    return Figure(
        name,
        float(np.mean(apart)),
        float(low),
        float(high),
        len(apart),
        "draws",
        "%",
        Limit(-0.015, "at least") if np.mean(apart) < 0 else Limit(0.015),
    )
