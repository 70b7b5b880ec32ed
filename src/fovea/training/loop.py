"""The training loop: plain, deterministic by seed, resumable after any batch."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fovea.errors import TrainingFailed
from fovea.loading.batches import ArrayBatches, Arrays, Batches
from fovea.progress import Progress, say
from fovea.training.checkpoint import LAST, load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from fovea.types import Floats, Ints

_SAVE_S = 60.0  # between two checkpoints within an epoch: what a kill may cost, against a second of writing for a large network


@dataclass(frozen=True)
class Schedule:
    """How long and how fast."""

    epochs: int
    batch_size: int
    lr: float
    patience: int
    seed: int


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    epoch: int
    split: str
    loss: float
    accuracy: float
    lr: float
    seconds: float


@dataclass
class Progressed:
    """How far a training has come: all that a checkpoint holds beside tensors."""

    history: list[Epoch]
    best_loss: float = float("inf")
    stale: int = 0  # epochs since the best one
    batch: int = 0  # of the epoch that is under way: batches that are done, with their sums
    loss_sum: float = 0.0
    num_right: int = 0
    seconds: float = 0.0
    random: torch.Tensor | None = None  # torch's chance at that batch


def fit(
    model: nn.Module,
    train: Batches,
    validation: Batches,
    *,
    schedule: Schedule,
    checkpoint: Path | None = None,
    key: str = "",
    on_epoch: Callable[[list[Epoch]], None] | None = None,
) -> list[Epoch]:
    """Adam on cross-entropy; stops when the validation loss has not fallen for `patience` epochs, and keeps the best weights.

    Only parameters with `requires_grad` learn. The same seed gives the same weights on the same machine, also when the
    process was killed in the middle of an epoch and `fit` is called again with the same checkpoint file.

    Args:
        model: Inputs -> logits; ends with its best weights, on the device where it is.
        train, validation: Without validation examples the last epoch counts as the best. Targets of `train` may be shares of
            the classes (mixed pictures): its accuracy then counts the class with the largest share as right.
        schedule: How long and how fast.
        checkpoint: A folder for `last.safetensors`, to go on from.
        key: What the result depends on beside the arguments; a checkpoint of another key is not resumed.
        on_epoch: Called after each epoch with the history so far.

    Returns:
        Two rows an epoch: train and validation.

    Raises:
        TrainingFailed: The loss is not a number; the best weights so far stay in the checkpoint.
    """
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=schedule.lr)
    key = f"{key} {asdict(schedule)}"
    so_far, best = _resume(model, optimizer, checkpoint, key)

    def save() -> None:
        if checkpoint:
            random = {} if so_far.random is None else {"state": so_far.random}
            groups = {"model": model.state_dict(), "best": best, "optimizer": optimizer_tensors(optimizer), "random": random}
            save_checkpoint(checkpoint / LAST, groups=groups, state={"key": key, **asdict(replace(so_far, random=None))})

    done = len(so_far.history) // 2
    if done or so_far.batch:
        say(f"going on in epoch {done + 1}, where an earlier attempt stopped")
    with Progress("training", total=schedule.epochs) as bar:
        bar.advance(done)
        for epoch in range(done, schedule.epochs):
            if so_far.stale >= schedule.patience:
                break
            loss, accuracy = _train_epoch(model, optimizer, train, schedule, epoch, so_far, save)
            so_far.history.append(Epoch(epoch + 1, "train", loss, accuracy, schedule.lr, so_far.seconds))
            started = time.perf_counter()
            loss, accuracy = evaluate(model, validation) if validation.num_examples else (loss, accuracy)
            so_far.history.append(Epoch(epoch + 1, "validation", loss, accuracy, schedule.lr, time.perf_counter() - started))
            improved = loss < so_far.best_loss or not validation.num_examples
            if improved:
                so_far.best_loss, best = loss, _copy(model)
            so_far.stale = 0 if improved else so_far.stale + 1
            so_far = Progressed(so_far.history, so_far.best_loss, so_far.stale)
            save()
            if on_epoch:
                on_epoch(so_far.history)
            bar.advance(1)
    model.load_state_dict(best)
    return so_far.history


def _train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    train: Batches,
    schedule: Schedule,
    epoch: int,
    so_far: Progressed,
    save: Callable[[], None],
) -> tuple[float, float]:
    """The batches of one epoch that are not done yet; gives mean loss and accuracy of all of them."""
    device = next(model.parameters()).device
    started, saved = time.perf_counter() - so_far.seconds, time.perf_counter()
    with torch.random.fork_rng(devices=[]):  # dropout draws from (seed, epoch) too; the caller's state is left as found
        torch.manual_seed(int(np.random.default_rng([schedule.seed, epoch, 1]).integers(2**62)))
        if so_far.random is not None:
            torch.set_rng_state(so_far.random)
        model.train()
        for pixels, answers in train.epoch(epoch, so_far.batch):
            inputs, targets = torch.from_numpy(pixels).to(device), torch.from_numpy(answers).to(device)
            logits = model(inputs)
            loss = F.cross_entropy(logits, targets)
            if not torch.isfinite(loss):
                raise TrainingFailed(
                    f"the loss is no longer a number in epoch {epoch + 1}",
                    got=f"loss {loss.item()}",
                    expected="a finite loss",
                    fix="train again with a smaller --lr",
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            so_far.batch += 1
            so_far.loss_sum += loss.item() * len(targets)
            hard = targets if targets.ndim == 1 else targets.argmax(1)
            so_far.num_right += int((logits.argmax(1) == hard).sum())
            so_far.seconds = time.perf_counter() - started
            if time.perf_counter() - saved >= _SAVE_S and so_far.batch < len(train):
                so_far.random = torch.get_rng_state()
                save()
                saved = time.perf_counter()
    return so_far.loss_sum / train.num_examples, so_far.num_right / train.num_examples


def evaluate(model: nn.Module, batches: Batches) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    logits = torch.from_numpy(logits_of(model, batches))
    targets = torch.from_numpy(batches.targets[batches.rows])
    return F.cross_entropy(logits, targets).item(), (logits.argmax(1) == targets).float().mean().item()


def predict_logits(model: nn.Module, inputs: Arrays, batch_size: int, *, rows: Ints | None = None) -> Floats:
    """(N, K) logits of an array that lies in memory, or of some of its rows."""
    return logits_of(model, ArrayBatches(inputs, np.zeros(len(inputs), np.int64), rows, batch_size=batch_size))


def logits_of(model: nn.Module, batches: Batches) -> Floats:
    """(N, K) logits in the order of the batches, in evaluation mode; the model's modes are left as they were found."""
    device = next(model.parameters()).device
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            parts = [model(torch.from_numpy(inputs).to(device)).float().cpu().numpy() for inputs, _ in batches.epoch(0)]
    finally:
        for part, training in modes:
            part.training = training
    return np.concatenate(parts)


def _resume(
    model: nn.Module, optimizer: torch.optim.Optimizer, checkpoint: Path | None, key: str
) -> tuple[Progressed, dict[str, torch.Tensor]]:
    """How far an earlier process came, and its best weights; the model and the optimizer are set to where it was."""
    found = load_checkpoint(checkpoint / LAST) if checkpoint else None
    if not found or found[1].pop("key", None) != key:
        return Progressed([]), _copy(model)
    groups, state = found
    model.load_state_dict(groups["model"])
    restore_optimizer(optimizer, groups["optimizer"])
    state["history"] = [Epoch(**row) for row in state["history"]]
    return Progressed(**(state | {"random": groups.get("random", {}).get("state")})), groups["best"]


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
