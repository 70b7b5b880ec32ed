"""The training loop: plain, deterministic by seed, resumable after any batch."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fovea.loading.batches import ArrayBatches, Arrays, Batches
from fovea.losses.classification import cross_entropy, which_class, with_auxiliary
from fovea.models.modes import evaluating
from fovea.progress import Progress, say
from fovea.training.device import bfloat16_caution
from fovea.training.memory import reused_memory
from fovea.training.method import Method
from fovea.training.state import Epoch, ParameterGroups, State
from fovea.training.troubles import check_names, explained, not_a_number
from fovea.types import Floats, Ints, TargetArray

__all__ = ["Epoch", "Goal", "evaluate", "fit", "logits_of", "predict_logits"]

_SAVE_S = 60.0  # between two checkpoints within an epoch: what a kill may cost, against a second of writing for a large network

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # logits (B, K), targets -> the mean over the batch
Metric = Callable[[Floats, TargetArray], float]  # logits (N, K), targets (N, ...) -> a number
Watcher = Callable[[nn.Module, list[Epoch]], None]  # after each epoch: the network, and the history so far


@dataclass(frozen=True)
class Goal:
    """What is made small, and what is measured: plain functions, yours or ours.

    Args:
        loss: Of the training batches.
        judge: The loss that validation is measured by, without what only helps learning (smoothing, weights of classes).
        metrics: More columns for the validation rows of the history.
        answer: What a row of outputs, and of targets, says: where the two agree (in everything, where they say several things), it counts
            as right. None where nothing is simply right or wrong.
        wanted: What a row of targets says, where `answer` does not tell.
    """

    loss: Loss = cross_entropy
    judge: Loss = cross_entropy
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    answer: Callable[[torch.Tensor], torch.Tensor] | None = which_class
    wanted: Callable[[torch.Tensor], torch.Tensor] | None = None

    def num_right(self, outputs: torch.Tensor, targets: torch.Tensor) -> int | None:
        """How many rows are right; None where that has no meaning."""
        if self.answer is None:
            return None
        agree = self.answer(outputs) == (self.wanted or self.answer)(targets)
        return int(agree.reshape(len(agree), -1).all(1).sum())


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    *,
    method: Method,
    goal: Goal = Goal(),
    groups: ParameterGroups | None = None,
    checkpoint: Path | None = None,
    key: str = "",
    watchers: Sequence[Watcher] = (),
) -> list[Epoch]:
    """Learns until the last epoch, or until nothing gets better; the network ends with its best weights.

    Only parameters with `requires_grad` learn. The same seed gives the same weights on the same machine, also when the
    process was killed in the middle of an epoch and `fit` is called again with the same checkpoint folder.

    Args:
        model: Inputs -> logits, or logits and those of auxiliary heads by name; stays on the device where it is.
        train, validation: Without validation examples the last epoch counts as the best. Targets of `train` may be shares of
            the classes (mixed pictures): its accuracy then counts the class with the largest share as right.
        method: How it learns.
        goal: The loss, and metrics of your own.
        groups: What learns at which rate; by default all at the method's.
        checkpoint: A folder for `last.safetensors`, to go on from.
        key: What the result depends on beside the arguments; a checkpoint of another key is not resumed.
        watchers: Called after each epoch.

    Returns:
        Two rows an epoch: train and validation.

    Raises:
        InputError: A metric has the name of one of ours, nothing is called what early stopping watches, or torch cannot compile here.
        TrainingFailed: The loss is not a number, or memory does not suffice. The best weights so far stay in the checkpoint.
    """
    check_names(list(goal.metrics), method, has_accuracy=goal.answer is not None)
    key = f"{key} {train.batch_size} {train.seed} {train.num_examples}"
    state = State(model, method, groups=groups, checkpoint=checkpoint, key=key, judged=validation.num_examples > 0)
    run = torch.compile(model) if method.compile else model
    if method.precision == "bfloat16" and (slow := bfloat16_caution(next(model.parameters()).device)):
        say(slow)
    if state.history or state.sums.batch:
        say(f"going on in epoch {state.epochs_done + 1}, where an earlier attempt stopped")
    with reused_memory(), Progress("training", total=method.epochs * len(train)) as bar:
        bar.advance(state.epochs_done * len(train) + state.sums.batch)
        for epoch in range(state.epochs_done + 1, method.epochs + 1):
            if state.has_stopped():
                say(
                    f"stopped after {state.epochs_done} of {method.epochs} epochs: nothing better on validation in the last {method.stop.patience}"
                )
                break
            learned = _train_epoch(run, state, train, epoch, goal, bar)  # type: ignore[arg-type]
            state.end_epoch(learned, _measure(state.measured, validation, learned, goal) if validation.num_examples else None)
            for watch in watchers:
                watch(state.measured, state.history)
    state.finish()
    return state.history


def _train_epoch(model: nn.Module, state: State, train: Batches, epoch: int, goal: Goal, bar: Progress) -> Epoch:
    """The batches of one epoch that are not done yet; gives the row of all of them."""
    method, sums = state.method, state.sums
    device = next(model.parameters()).device
    started, saved, lr = time.perf_counter() - sums.seconds, time.perf_counter(), method.lr
    cards = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cards):  # dropout draws from (seed, epoch) too; the caller's state is left as found
        torch.manual_seed(int(np.random.default_rng([method.seed, epoch - 1, 1]).integers(2**62)))
        state.take_up_chance(device)
        model.train()
        for arrays, answers in train.epoch(epoch - 1, sums.batch):
            inputs, targets = torch.from_numpy(arrays).to(device), torch.from_numpy(answers).to(device)
            lr = state.set_rate(len(train))
            with explained(method, len(targets)):
                with torch.autocast(device.type, torch.bfloat16, enabled=method.precision == "bfloat16"):
                    logits, loss = loss_of(model(inputs), targets, goal, method)
                if not torch.isfinite(loss):
                    raise not_a_number(loss.item(), epoch, train.names(epoch - 1, sums.batch), state.note_names)
                step(model, loss, state.optimizer, method)
            state.stepped()
            sums.batch += 1
            sums.loss += loss.item() * len(targets)
            sums.num_right += goal.num_right(logits, targets) or 0
            sums.seconds = time.perf_counter() - started
            bar.advance(1)
            if time.perf_counter() - saved >= _SAVE_S and sums.batch < len(train):
                state.keep_chance(device)
                state.save()
                saved = time.perf_counter()
    accuracy = sums.num_right / train.num_examples if goal.answer else None
    return Epoch(epoch, "train", sums.loss / train.num_examples, accuracy, lr, sums.seconds)


def loss_of(
    outputs: torch.Tensor | tuple[torch.Tensor, Mapping[str, torch.Tensor]], targets: torch.Tensor, goal: Goal, method: Method
) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and loss of what a network gave, its auxiliary heads weighed in."""
    logits, heads = outputs if isinstance(outputs, tuple) else (outputs, {})
    loss = goal.loss(logits.float(), targets)
    auxiliary = {name: goal.loss(head.float(), targets) for name, head in heads.items()}
    return logits, with_auxiliary(loss, auxiliary, weight=method.auxiliary_weight) if auxiliary else loss


def _penalty(model: nn.Module, method: Method) -> torch.Tensor | float:
    """What large weights cost; biases and norms are free."""
    if not method.l1 and not method.l2:
        return 0.0
    weights = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    return sum((method.l1 * p.abs().sum() + method.l2 * p.square().sum() for p in weights), torch.zeros(()))


def step(model: nn.Module, loss: torch.Tensor, optimizer: torch.optim.Optimizer, method: Method) -> None:
    """One step down, with what holds the weights back."""
    optimizer.zero_grad(set_to_none=True)
    (loss + _penalty(model, method)).backward()  # type: ignore[no-untyped-call]
    if method.clip_norm is not None:
        nn.utils.clip_grad_norm_(model.parameters(), method.clip_norm)
    optimizer.step()


def _measure(model: nn.Module, batches: Batches, learned: Epoch, goal: Goal) -> Epoch:
    """The row of an evaluation; the rate is that of the epoch that was learned."""
    started = time.perf_counter()
    loss, accuracy, metrics = evaluate(model, batches, goal)
    return Epoch(learned.epoch, "validation", loss, accuracy, learned.lr, time.perf_counter() - started, metrics)


def evaluate(model: nn.Module, batches: Batches, goal: Goal = Goal()) -> tuple[float, float | None, dict[str, float]]:
    """Mean loss, accuracy (None where the goal has none), and the metrics of your own, in evaluation mode."""
    logits, targets = logits_of(model, batches), batches.targets[batches.rows]
    given, wanted = torch.from_numpy(logits), torch.from_numpy(targets)
    loss, right = goal.judge(given, wanted).item(), goal.num_right(given, wanted)
    metrics = {name: metric(logits, targets) for name, metric in goal.metrics.items()}
    return loss, None if right is None else right / len(targets), metrics


def predict_logits(model: nn.Module, inputs: Arrays, batch_size: int, *, rows: Ints | None = None) -> Floats:
    """(N, K) logits of an array that lies in memory, or of some of its rows."""
    return logits_of(model, ArrayBatches(inputs, np.zeros(len(inputs), np.int64), rows, batch_size=batch_size))


def logits_of(model: nn.Module, batches: Batches) -> Floats:
    """(N, K) logits in the order of the batches, in evaluation mode; the model's modes are left as they were found."""
    device = next(model.parameters()).device
    with evaluating(model), torch.inference_mode():
        parts = [model(torch.from_numpy(inputs).to(device)).float().cpu().numpy() for inputs, _ in batches.epoch(0)]
    return np.concatenate(parts)
