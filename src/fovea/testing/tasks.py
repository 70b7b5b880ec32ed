"""The exam for tasks: `check_task("multi_label")`. Ours and strangers' sit the same one."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from fovea.engines import open_engine
from fovea.engines.to_onnx import append_head, module_to_onnx
from fovea.errors import InputError
from fovea.evaluation.activation import activated, settle_temperature
from fovea.losses.loss import LOSSES
from fovea.models.heads.linear import LinearHead
from fovea.tasks import TASKS, Task, create_task
from fovea.testing.exam import require
from fovea.training.goal import goal_of
from fovea.training.method import Method
from fovea.training.solvers import SOLVERS, solve
from fovea.training.standardise import Standardised
from fovea.types import Floats, TargetArray

_NUM, _SIDE_PX = 24, 8
_STEPS = 150
# What a task of each of our kinds may be asked to learn: names of its answers, and targets as the data would give them.
_EXAMPLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "classes": (("cat", "dog", "owl"), ("cat", "dog", "owl")),
    "labels": (("red", "round", "small"), ("red", "red;round", "", "round;small")),
    "numbers": (("height", "width"), ("2000.5;-3", "2001;7", "1998.25;0", "2003;4.5")),
}


def check_task(name: str, *, class_names: Sequence[str] = (), labels: Sequence[str] = ()) -> None:
    """Examines a registered task.

    It learns one batch, by its loss and by its solver; its loss is finite on a target that says "none"; its score can be
    followed back; what it answers, measures and settles survives JSON; it draws without touching the picture; its exported
    answers are those of torch.

    Args:
        name: In the registry.
        class_names: What its answers are called; needed for a task of a kind of target that is not ours.
        labels: Some of its targets as the data would give them; likewise.

    Raises:
        ExamFailed: A fact is not true; the message says which.
        InputError: There is nothing to learn from.
    """
    entry, who = TASKS[name], f"task {name}"
    names, few = _EXAMPLES.get(entry.info.kind, ((), ()))
    names, few = tuple(class_names) or names, tuple(labels) or few
    if not names or len(few) < 2:
        raise InputError(
            f"the exam does not know what {name} learns from",
            got=f"targets of the kind {entry.info.kind!r}",
            expected="class_names, and two labels or more",
            fix="pass both to check_task",
        )
    task = create_task(name, names)
    told = [few[row % len(few)] for row in range(_NUM)]
    targets = task.targets(told)
    _check_facts(task, targets, who)
    logits = _learns(task, targets, who)
    _check_score(task, who)
    _check_empty(task, who)
    outputs = {task.answer: activated(task.activation, logits, settle_temperature(task.activation, logits, targets))}
    settled = _through_json(task.settle(outputs, targets, targets), who, "what it settles")
    nothing = {task.answer: outputs[task.answer][:0]}
    _through_json(task.settle(nothing, targets[:0], targets), who, "what it settles without validation pictures")
    for each in (task, task.settled(settled)):
        _check_answers(each, outputs, who)
        _check_measures(each, told, outputs, targets, who)
    _check_export(task, who)


def _check_facts(task: Task, targets: TargetArray, who: str) -> None:
    info = TASKS[task.name].info
    require(bool(info.answers and info.targets), who, "it does not say what it answers, and from which targets")
    require(task.loss in LOSSES, who, f"its loss {task.loss!r} is none of {', '.join(LOSSES.names())}")
    require(task.solver in SOLVERS, who, f"its solver {task.solver!r} is none of {', '.join(SOLVERS.names())}")
    declared = task.outputs(16)
    require({task.answer, "embedding"} <= set(declared), who, f"it declares {sorted(declared)}, and not {task.answer!r} and 'embedding'")
    require(
        list(declared[task.answer]["shape"]) == ["B", len(task.class_names)],
        who,
        f"{task.answer} has the shape {declared[task.answer]['shape']}",
    )
    require(len(targets) == _NUM and bool(np.isfinite(targets).all()), who, f"its targets are {targets.dtype} {targets.shape}")


def _learns(task: Task, targets: TargetArray, who: str) -> Floats:
    """Logits (N, K) of a head that has learned the batch by heart; the solver does so, too."""
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(_NUM, 4 * _NUM)).astype(np.float32)  # more features than pictures: everything can be learned
    scale = Standardised(targets.astype(np.float32)) if task.standardised else None
    wanted = targets if scale is None else scale.apply(targets.astype(np.float32))
    num_outputs = len(task.class_names)
    goal = goal_of(Method(epochs=1), wanted, num_outputs, "cpu", task.loss)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        head = LinearHead(inputs.shape[1], num_outputs, 0.0)
        optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
        given, answers = torch.from_numpy(inputs), torch.from_numpy(wanted)
        losses = []
        for _ in range(_STEPS):
            loss = goal.loss(head(given), answers)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            losses.append(loss.item())
    require(
        math.isfinite(losses[-1]) and losses[-1] < 0.1 * losses[0],
        who,
        f"it does not learn one batch: {losses[0]:.3g} becomes {losses[-1]:.3g}",
    )
    right = goal.num_right(head(given), answers)
    require(right in (None, _NUM), who, f"of a batch that was learned by heart, {right} of {_NUM} count as right")
    solved = solve(task.solver, inputs, wanted, np.arange(_NUM), num_outputs=num_outputs, seed=0)
    require(solved.weight.shape == (num_outputs, inputs.shape[1]), who, f"its solver gives weights {solved.weight.shape}")
    require(bool(np.isfinite(solved.weight).all() and np.isfinite(solved.bias).all()), who, "its solver gives weights that are not finite")
    logits = head(given).detach().numpy()
    return logits if scale is None else scale.restore(logits)


def _check_score(task: Task, who: str) -> None:
    """The score of one output is differentiable, and of that output alone; of numpy arrays it is the same."""
    logits = torch.randn((3, len(task.class_names)), generator=torch.Generator().manual_seed(0), requires_grad=True)
    score = task.score({"logits": logits}, 1)
    require(tuple(score.shape) == (3,), who, f"its score has the shape {tuple(score.shape)}, and not one for each picture")
    score.sum().backward()
    slope = logits.grad
    require(slope is not None and bool((slope[:, 1] != 0).all()), who, "its score cannot be followed back")
    plain = task.score({"logits": logits.detach().numpy()}, 1)
    require(bool(np.allclose(plain, score.detach().numpy())), who, "its score of numpy arrays is another one than of torch tensors")


def _check_empty(task: Task, who: str) -> None:
    """Where a target may say that nothing is true, the loss is finite, and so is its slope."""
    try:
        targets = task.targets(["", ""])
    except InputError:  # it may not, and says so
        return
    logits = torch.zeros((2, len(task.class_names)), requires_grad=True)
    loss = goal_of(Method(epochs=1), targets, len(task.class_names), "cpu", task.loss).loss(logits, torch.from_numpy(targets))
    loss.backward()  # type: ignore[no-untyped-call]
    slope = logits.grad
    finite = bool(torch.isfinite(loss)) and slope is not None and bool(torch.isfinite(slope).all())
    require(finite, who, "its loss is not finite on targets of which nothing is true")


def _check_answers(task: Task, outputs: dict[str, Floats], who: str) -> None:
    predictions = task.decode(outputs)
    require(len(predictions) == _NUM, who, f"it decodes {_NUM} pictures to {len(predictions)} predictions")
    header, rows = task.table([(f"{i}.jpg", prediction) for i, prediction in enumerate(predictions)])
    require(header[0] == "path" and all(len(row) == len(header) for row in rows), who, "rows of its table are not as long as the header")
    require(task.table([])[0] == header, who, "the header of its table changes with the rows")
    rng = np.random.default_rng(0)
    for prediction in predictions[:4]:
        found = prediction.to_json()
        require(_through_json(found, who, "its prediction") == found, who, f"its prediction is not the same after JSON: {found}")
        require("path" not in found and bool(prediction.describe(3)), who, "its prediction has no words, or a field 'path'")
        pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        before = pixels.copy()
        drawn = prediction.draw(pixels)
        require(bool((pixels == before).all()), who, "drawing changes the picture that was given")
        require(drawn.dtype == np.uint8 and drawn.ndim == 3 and drawn.shape[2] == 3, who, f"it draws {drawn.dtype} {drawn.shape}")


def _check_measures(task: Task, labels: Sequence[str], outputs: dict[str, Floats], targets: TargetArray, who: str) -> None:
    measured = task.metrics(outputs, targets)
    require(measured.get("n") == len(labels), who, f"its measures state n = {measured.get('n')} of {len(labels)}")
    _through_json(measured, who, "its measures")
    intervals = [name.removesuffix("_ci95") for name in measured if name.endswith("_ci95")]
    require(bool(intervals), who, "none of its measures has an interval under `_ci95`")
    for name in intervals:
        if measured[f"{name}_ci95"] is not None:
            low, high = measured[f"{name}_ci95"]
            require(low <= high and name in measured, who, f"the interval of {name} is {low} to {high}")
    columns, rows = task.judged(labels, outputs)
    require(len(rows) == len(labels) and all(len(row) == len(columns) for row in rows), who, "rows of its answers do not fit their columns")
    said = task.told(measured, split="test")
    require(said is None or bool(said.sentence), who, "what it tells of its measures has no sentence")
    require(
        all(len(row) == len(table.header) for table in (said.tables if said else ()) for row in table.rows),
        who,
        "rows of a table that it tells do not fit",
    )
    places = [wrong.row for wrong in task.worst(labels, outputs, targets)]
    require(
        len(set(places)) == len(places) and all(0 <= place < len(labels) for place in places),
        who,
        "its worst answers are not of these pictures",
    )


def _check_export(task: Task, who: str) -> None:
    """The exported head ends as torch does, by the task's activation, and under the task's name."""

    class Rows(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.float().mean(dim=2).flatten(1) / 64

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (3, _SIDE_PX, _SIDE_PX, 3), dtype=np.uint8)
    weight = rng.normal(size=(len(task.class_names), 3 * _SIDE_PX)).astype(np.float32)
    bias = np.zeros(len(weight), np.float32)
    onnx = module_to_onnx(Rows(), size_px=_SIDE_PX)
    model = append_head(onnx, [(weight, bias)], temperature=1.0, answer=task.answer, activation=task.activation)
    answers = open_engine(model)(pixels, (task.answer, "embedding"))
    expected = activated(task.activation, answers["embedding"] @ weight.T + bias, 1.0)
    require(
        bool(np.allclose(answers[task.answer], expected, rtol=1e-4, atol=1e-4)), who, "its exported answers are not those of its activation"
    )


def _through_json(value: Any, who: str, what: str) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        require(False, who, f"{what} cannot be written as JSON: {error}")
        raise
