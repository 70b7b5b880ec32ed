"""Where a training stands: network, optimizer, moving average, history, and the place within an epoch. Saved and taken up exactly."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from fovea.errors import InputError
from fovea.files import hash_json, write_atomic
from fovea.progress import say
from fovea.training.checkpoint import FAILED, LAST, load_checkpoint, optimizer_tensors, restore_optimizer, save_checkpoint
from fovea.training.method import Method
from fovea.training.optimizers import create_optimizer
from fovea.training.schedules import Moment, lr_factor

_HASHED = ("data, pictures or weights", "layers")  # of what a checkpoint depends on: no text for people

ParameterGroups = Sequence[dict[str, Any]]  # {"params": [...], "lr": ...}, as torch's optimizers take them


@dataclass(frozen=True)
class Epoch:
    """One row of `history.csv`."""

    epoch: int
    split: str
    loss: float
    accuracy: float | None  # None where nothing is simply right or wrong
    lr: float
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)  # of your own, a column each

    def row(self) -> dict[str, Any]:
        """The row as it is written, your metrics between ours."""
        return {
            "epoch": self.epoch,
            "split": self.split,
            "loss": self.loss,
            **({} if self.accuracy is None else {"accuracy": self.accuracy}),
            **self.metrics,
            "lr": self.lr,
            "seconds": self.seconds,
        }

    def value(self, column: str) -> float:
        """A column, built in or your own."""
        return float(self.metrics[column] if column in self.metrics else getattr(self, column))


@dataclass
class Sums:
    """Of the epoch that is under way."""

    batch: int = 0  # batches that are done
    loss: float = 0.0
    num_right: int = 0
    seconds: float = 0.0


def history_table(history: Sequence[Epoch]) -> tuple[list[str], list[list[Any]]]:
    """Head and rows of `history.csv`; a metric that a row has not is empty there."""
    columns = list(dict.fromkeys(name for row in history for name in row.row())) or ["epoch", "split", "loss", "accuracy", "lr", "seconds"]
    columns = [*(name for name in columns if name not in ("lr", "seconds")), "lr", "seconds"]
    return columns, [[row.row().get(name, "") for name in columns] for row in history]


class State:
    """Everything that a training changes.

    Args:
        model: Learns in place.
        method: How.
        groups: What the optimizer moves, with a rate of its own where a group names one; by default all that may learn.
        checkpoint: A folder; None keeps nothing.
        key: What the result depends on beside the method.
        judged: Whether there is validation; without it the last epoch counts as the best, and nothing ends it early.
    """

    def __init__(
        self,
        model: nn.Module,
        method: Method,
        *,
        groups: ParameterGroups | None = None,
        checkpoint: Path | None = None,
        key: str = "",
        judged: bool = True,
    ) -> None:
        self.model, self.method, self._judged = model, method, judged
        learning = [p for p in model.parameters() if p.requires_grad]
        if not learning:
            raise InputError(
                "nothing is left to learn", got="all parameters are frozen", expected="some that are not", fix="thaw a part of it"
            )
        self.optimizer = create_optimizer(
            method.optimizer, groups or [{"params": learning}], lr=method.lr, weight_decay=method.weight_decay
        )
        self._full_lr = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.average = _average(model, method.ema_decay)
        self.history: list[Epoch] = []
        self.sums = Sums()
        self.random: dict[str, torch.Tensor] = {}  # torch's chance within the epoch that is under way
        self.best = _copy(self.measured)
        self._path = checkpoint / LAST if checkpoint else None
        layers = hash_json([[name, list(tensor.shape)] for name, tensor in model.state_dict().items()])
        rates = [[float(group["lr"]), len(group["params"])] for group in self.optimizer.param_groups]
        self._key = {"data, pictures or weights": key, "layers": layers, "what learns at which rate": rates, **asdict(method)}
        self._resume()

    @property
    def measured(self) -> nn.Module:
        """What is measured and kept: the moving average where there is one."""
        return self.average.module if self.average is not None else self.model

    @property
    def epochs_done(self) -> int:
        return sum(row.split == "train" for row in self.history)

    def watched(self) -> list[float]:
        """The value that early stopping watches, after each epoch."""
        return [row.value(self.method.stop.monitor) for row in self.history if row.split == "validation"]

    def has_stopped(self) -> bool:
        """Whether it has waited long enough for a better epoch."""
        return self._judged and bool(self.history) and self.method.stop.best_and_stale(self.watched())[1] >= self.method.stop.patience

    def set_rate(self, num_batches: int) -> float:
        """Moves the learning rate to where the schedule has it now; gives that of the last group, the head's."""
        watched = self.method.stop.lower_is_better(self.watched())
        moment = Moment(self.epochs_done + self.sums.batch / max(1, num_batches), self.method.epochs, watched)
        method = self.method
        factor = lr_factor(method.schedule, moment, warmup_epochs=method.warmup_epochs, options=method.schedule_options)
        for group, lr in zip(self.optimizer.param_groups, self._full_lr, strict=True):
            group["lr"] = lr * factor
        return self._full_lr[-1] * factor

    def stepped(self) -> None:
        """After each step: the moving average follows."""
        if self.average is not None:
            self.average.update_parameters(self.model)

    def end_epoch(self, train: Epoch, validation: Epoch | None) -> None:
        """Notes an epoch, and keeps its weights where it is the best so far."""
        self.history += [train, validation] if validation else [train]
        if is_best(self.method, self.history):
            self.best = _copy(self.measured)
        self.sums, self.random = Sums(), {}
        self.save()

    def keep_chance(self, device: torch.device) -> None:
        """Notes where torch's chance stands within the epoch: on the processor, and on the card where it learns."""
        states = [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]
        self.random = {str(place): state for place, state in enumerate(states)}

    def take_up_chance(self, device: torch.device) -> None:
        """Goes on from there, where an earlier process stopped within an epoch."""
        if "0" in self.random:
            torch.set_rng_state(self.random["0"])
        if "1" in self.random and device.type == "cuda":
            torch.cuda.set_rng_state(self.random["1"], device)

    def note_names(self, names: Sequence[str]) -> Path | None:
        """Writes the pictures of a batch down, one a line; where there is no checkpoint, nowhere."""
        return write_atomic(self._path.parent / FAILED, "".join(f"{name}\n" for name in names)) if self._path else None

    def finish(self) -> None:
        """The network gets the weights that are kept."""
        kept = self.best if self.method.stop.restore_best else self.measured.state_dict()
        self.model.load_state_dict(kept)

    def save(self) -> None:
        """Writes everything, but no weights that are no numbers: the next loss tells."""
        if not self._path or not all(torch.isfinite(p).all() for p in self.model.parameters()):
            return
        groups = {"model": self.model.state_dict(), "best": self.best, "optimizer": optimizer_tensors(self.optimizer)}
        if self.average is not None:
            groups["average"] = self.average.state_dict()
        if self.random:
            groups["random"] = self.random
        state = {"key": self._key, "history": [asdict(row) for row in self.history], "sums": asdict(self.sums)}
        save_checkpoint(self._path, groups=groups, state=state)

    def _resume(self) -> None:
        """Takes up what an earlier process of the same method and data has saved."""
        found = load_checkpoint(self._path) if self._path else None
        if not found:
            if self._path and self._path.exists():
                say(f"what an earlier attempt has learned cannot be read, and is begun anew ({self._path})")
            return
        groups, state = found
        if (key := json.loads(json.dumps(self._key))) != (theirs := state.get("key")):
            theirs = theirs if isinstance(theirs, dict) else {}
            differ = [
                name if isinstance(value, list) or name in _HASHED else f"{name} {theirs.get(name)!r}, now {value!r}"
                for name, value in key.items()
                if theirs.get(name) != value
            ]
            say(f"what an earlier attempt has learned is of other settings or data, and is not gone on from ({'; '.join(differ)})")
            return
        self.model.load_state_dict(groups["model"])
        restore_optimizer(self.optimizer, groups.get("optimizer", {}))
        if self.average is not None:
            self.average.load_state_dict(groups["average"])
        self.best = groups["best"]
        self.history = [Epoch(**row) for row in state["history"]]
        self.sums, self.random = Sums(**state["sums"]), groups.get("random", {})


def is_best(method: Method, history: Sequence[Epoch]) -> bool:
    """Whether the last epoch is the best so far; without validation the last one always is."""
    watched = [row.value(method.stop.monitor) for row in history if row.split == "validation"]
    return not watched or method.stop.best_and_stale(watched)[1] == 0


def _average(model: nn.Module, decay: float | None) -> AveragedModel | None:
    """A moving average of the weights and statistics."""
    if decay is None:
        return None
    return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)  # type: ignore[no-untyped-call]


def _copy(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
