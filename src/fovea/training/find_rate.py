"""The learning-rate range test: the rate rises from far too low to far too high, and the loss tells where it learns (arXiv:1506.01186)."""

import copy
import math
from dataclasses import dataclass
from itertools import count
from typing import Any

import torch
from torch import nn

from fovea.errors import TrainingFailed
from fovea.loading.batches import Batches
from fovea.progress import Progress, say
from fovea.training.loop import Goal, loss_of
from fovea.training.loop import step as step_down
from fovea.training.method import Method
from fovea.training.optimizers import create_optimizer
from fovea.training.state import ParameterGroups

_KEPT = 0.9  # of the moving average of the loss
_DIVERGED = 4.0  # times the best loss: from here on it only gets worse
_FELL = 0.02  # less than this is chance
_SHARE = 0.1  # of the rate with the lowest loss: there it still falls steadily


@dataclass(frozen=True)
class RateCurve:
    """What each rate came to.

    Args:
        rates: Rising, one for each step.
        losses: Smoothed.
        suggested: A tenth of the rate at which the loss was lowest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggested: float

    def to_json(self) -> dict[str, Any]:
        return {"suggested": self.suggested, "rates": list(self.rates), "losses": list(self.losses)}


def find_rate(
    model: nn.Module,
    train: Batches,
    *,
    method: Method,
    goal: Goal = Goal(),  # noqa: B008 - frozen
    groups: ParameterGroups | None = None,
    lowest: float = 1e-6,
    highest: float = 1.0,
    steps: int = 100,
) -> RateCurve:
    """Trains a copy for `steps` batches while the rate rises by the same factor at each; the model stays as it is.

    Args:
        model: Inputs -> logits; only what has `requires_grad` learns.
        train: Its batches, epoch after epoch as far as they are needed.
        method: The optimizer, and what holds the weights back.
        goal: The loss.
        groups: What learns at which rate: all rise together, in the proportion that they have.
        lowest, highest: The first and the last rate.
        steps: At most so many; it ends when the loss is four times the best.

    Raises:
        TrainingFailed: The loss is not a number at the lowest rate already.
    """
    trial = copy.deepcopy(model).train()
    device = next(trial.parameters()).device
    twins = dict(zip(model.parameters(), trial.parameters(), strict=True))
    own = [{"params": [twins[p] for p in group["params"]], "lr": group.get("lr", method.lr)} for group in groups or ()]
    own = own or [{"params": [p for p in trial.parameters() if p.requires_grad], "lr": method.lr}]
    shares = [group["lr"] / own[-1]["lr"] for group in own]  # the last group is the head
    optimizer = create_optimizer(method.optimizer, own, lr=lowest, weight_decay=method.weight_decay)
    rates, losses, average, best = list[float](), list[float](), 0.0, math.inf
    batches = (batch for epoch in count() for batch in train.epoch(epoch))
    with torch.random.fork_rng(devices=[]), Progress("trying learning rates", total=steps) as bar:
        torch.manual_seed(method.seed)
        for step, (arrays, answers) in zip(range(steps), batches, strict=False):
            rate = lowest * (highest / lowest) ** (step / max(1, steps - 1))
            for group, share in zip(optimizer.param_groups, shares, strict=True):
                group["lr"] = rate * share
            _, loss = loss_of(trial(torch.from_numpy(arrays).to(device)), torch.from_numpy(answers).to(device), goal, method)
            average = _KEPT * average + (1 - _KEPT) * loss.item()
            smooth = average / (1 - _KEPT ** (step + 1))
            if not math.isfinite(smooth) or smooth > _DIVERGED * best:
                break
            best = min(best, smooth)
            rates.append(rate)
            losses.append(smooth)
            step_down(trial, loss, optimizer, method)
            bar.advance(1)
    if rates and min(losses) > losses[0] * (1 - _FELL):
        say(f"at no rate did the loss fall by more than {_FELL:.0%}: the suggested one says little; try more --steps")
    if not rates:
        raise TrainingFailed(
            "the loss is no number at any rate",
            got=f"at a rate of {lowest:g}",
            expected="a finite loss",
            fix="look at the pictures, or begin with other weights",
        )
    return RateCurve(tuple(rates), tuple(losses), rates[losses.index(min(losses))] * _SHARE)
