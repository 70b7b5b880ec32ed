"""How the learning rate moves: each schedule is a function of the moment alone, so that a resumed training needs no state of it."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fovea.errors import InputError
from fovea.registry import Registry

__all__ = ["SCHEDULES", "Moment", "ScheduleInfo", "lr_factor"]


@dataclass(frozen=True)
class Moment:
    """Where a training stands.

    Args:
        epoch: Passes that are done, with the part of the one under way: 2.5 is halfway through the third.
        epochs: How many there will be; behind a warm-up, what it leaves of them.
        watched: After each finished epoch, the value that early stopping watches; lower is better.
    """

    epoch: float
    epochs: float
    watched: tuple[float, ...] = ()


@dataclass(frozen=True)
class ScheduleInfo:
    """What a schedule states of itself."""

    purpose: str


SCHEDULES: Registry[ScheduleInfo] = Registry("schedule", "fovea.training.schedules")


def lr_factor(name: str, moment: Moment, *, warmup_epochs: float = 0.0, options: Mapping[str, float] | None = None) -> float:
    """What the learning rate is multiplied by at a moment.

    Args:
        name: One of `SCHEDULES.names()`.
        moment: Where the training stands.
        warmup_epochs: The rate rises to its full height in a straight line first; the schedule begins after that.
        options: The schedule's own.

    Raises:
        UnknownName, InputError: No such schedule, or option.
    """
    after = Moment(moment.epoch - warmup_epochs, max(1e-9, moment.epochs - warmup_epochs), moment.watched)
    build: Any = SCHEDULES[name].build
    known = [option for option in inspect.signature(build).parameters if option != "at"]
    if unknown := sorted(set(options or ()) - set(known)):
        raise InputError(
            f"the schedule {name!r} has no option {unknown[0]!r}",
            got=unknown[0],
            expected=f"one of {', '.join(known)}" if known else "none: it has no options",
            fix="leave it out, or choose another --schedule",
        )
    if moment.epoch < warmup_epochs:
        return (moment.epoch + 1e-3) / (warmup_epochs + 1e-3)
    return float(build(after, **(options or {})))
