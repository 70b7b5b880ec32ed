"""The training loop: plain, deterministic by seed, resumable after any epoch."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional as F

from fovea.errors import TrainingFailed
from fovea.progress import Progress
from fovea.training.checkpoint import LAST, load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from fovea.types import Floats, Ints

Inputs = npt.NDArray[np.uint8] | Floats  # pictures (N, H, W, 3), or embeddings (N, D)


@dataclass(frozen=True)
class Examples:
    """What is learned from: the `rows` of `inputs`, which may lie in a file mapped into memory, and of `targets`."""

    inputs: Inputs
    targets: Ints
    rows: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Ints) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs and targets at these places of `rows`."""
        rows = self.rows[index]
        return torch.from_numpy(np.ascontiguousarray(self.inputs[rows])), torch.from_numpy(self.targets[rows])


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


def fit(
    model: nn.Module,
    train: Examples,
    validation: Examples,
    *,
    schedule: Schedule,
    checkpoint: Path | None = None,
    key: str = "",
    on_epoch: Callable[[list[Epoch]], None] | None = None,
) -> list[Epoch]:
    """Adam on cross-entropy; stops when the validation loss has not fallen for `patience` epochs, and keeps the best weights.

    Only parameters with `requires_grad` learn. The same seed gives the same weights on the same machine, also when the
    process was killed and `fit` is called again with the same checkpoint file.

    Args:
        model: Inputs -> logits; ends with its best weights.
        train, validation: Without validation examples the last epoch counts as the best.
        schedule: How long and how fast.
        checkpoint: A folder for `last.safetensors`, to go on from.
        key: What the result depends on beside the arguments; a checkpoint of another key is not resumed.
        on_epoch: Called after each epoch with the history so far.

    Returns:
        Two rows an epoch: train and validation.

    Raises:
        TrainingFailed: The loss is not a number; the best weights so far stay in the checkpoint.
    """
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=schedule.lr)
    history: list[Epoch] = []
    best_loss, best, stale = float("inf"), _copy(model), 0
    key = f"{key} {asdict(schedule)}"
    if checkpoint and (found := load_checkpoint(checkpoint / LAST)) and found[1]["key"] == key:
        groups, state = found
        model.load_state_dict(groups["model"])
        restore_optimizer(optimizer, groups["optimizer"])
        history = [Epoch(**row) for row in state["history"]]
        best_loss, best, stale = state["best_loss"], groups["best"], state["stale"]

    done = len(history) // 2
    with Progress("training", total=schedule.epochs) as bar:
        bar.advance(done)
        for epoch in range(done, schedule.epochs):
            if stale >= schedule.patience:
                break
            started = time.perf_counter()
            loss, accuracy = _train_epoch(model, optimizer, train, schedule, epoch)
            history.append(Epoch(epoch + 1, "train", loss, accuracy, schedule.lr, time.perf_counter() - started))
            started = time.perf_counter()
            loss, accuracy = evaluate(model, validation, schedule.batch_size) if len(validation) else (loss, accuracy)
            history.append(Epoch(epoch + 1, "validation", loss, accuracy, schedule.lr, time.perf_counter() - started))
            improved = loss < best_loss or not len(validation)
            best_loss, best, stale = (loss, _copy(model), 0) if improved else (best_loss, best, stale + 1)
            if checkpoint:
                state = {"key": key, "history": [asdict(row) for row in history], "best_loss": best_loss, "stale": stale}
                save_checkpoint(
                    checkpoint / LAST,
                    groups={"model": model.state_dict(), "best": best, "optimizer": optimizer_tensors(optimizer)},
                    state=state,
                )
            if on_epoch:
                on_epoch(history)
            bar.advance(1)
    model.load_state_dict(best)
    return history


def _train_epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, train: Examples, schedule: Schedule, epoch: int
) -> tuple[float, float]:
    """One pass over the training examples in an order drawn from (seed, epoch); gives mean loss and accuracy."""
    total = right = 0.0
    order = np.random.default_rng([schedule.seed, epoch]).permutation(len(train))
    with torch.random.fork_rng(devices=[]):  # dropout draws from (seed, epoch) too; the caller's state is left as found
        torch.manual_seed(int(np.random.default_rng([schedule.seed, epoch, 1]).integers(2**62)))
        model.train()
        for rows in _batches(order, schedule.batch_size):
            inputs, targets = train.take(rows)
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
            total += loss.item() * len(rows)
            right += (logits.argmax(1) == targets).sum().item()
    return total / len(train), right / len(train)


def evaluate(model: nn.Module, examples: Examples, batch_size: int) -> tuple[float, float]:
    """Mean cross-entropy and accuracy."""
    logits = torch.from_numpy(predict_logits(model, examples.inputs, batch_size, rows=examples.rows))
    targets = torch.from_numpy(examples.targets[examples.rows])
    return F.cross_entropy(logits, targets).item(), (logits.argmax(1) == targets).float().mean().item()


def predict_logits(model: nn.Module, inputs: Inputs, batch_size: int, *, rows: Ints | None = None) -> Floats:
    """(N, K) logits of all inputs, or of these rows, in evaluation mode; the model's modes are left as they were found."""
    rows = np.arange(len(inputs)) if rows is None else rows
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.inference_mode():
            parts = [model(torch.from_numpy(np.ascontiguousarray(inputs[turn]))).float().numpy() for turn in _batches(rows, batch_size)]
    finally:
        for part, training in modes:
            part.training = training
    return np.concatenate(parts)


def _batches(order: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    """Runs of `size` rows. A last one of a single row joins its neighbour: batch norm cannot learn from one picture."""
    starts = list(range(0, len(order), size))
    if len(starts) > 1 and len(order) - starts[-1] == 1:
        starts.pop()
    return (order[start : (end if end is not None else len(order))] for start, end in zip(starts, [*starts[1:], None], strict=True))


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
