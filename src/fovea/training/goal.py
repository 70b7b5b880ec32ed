"""From a method and a loss's name to what is made small: the part of `Method` that is the loss's."""

from functools import partial
from typing import Any

import torch

from fovea.errors import InputError
from fovea.losses.loss import LOSSES
from fovea.training.loop import Goal
from fovea.training.method import Method
from fovea.types import TargetArray


def goal_of(
    method: Method, targets: TargetArray, num_classes: int, device: torch.device | str = "cpu", loss: str = "cross_entropy"
) -> Goal:
    """The loss with the method's smoothing; rare classes count more where it says so.

    Args:
        method: How to learn.
        targets: Of the training rows.
        num_classes: K, columns of the network's outputs.
        device: Where it learns.
        loss: A name from `losses`.

    Raises:
        InputError: The method asks of the loss what it cannot do.
    """
    check_method(method, loss)
    entry = LOSSES[loss]
    options: dict[str, Any] = {"label_smoothing": method.label_smoothing} if entry.info.smooths else {}
    if method.balance == "weights" and entry.info.weigh is not None:
        options["class_weights"] = torch.tensor(entry.info.weigh(targets, num_classes), dtype=torch.float32, device=device)
    pure: Any = entry.build
    return Goal(partial(pure, **options), pure, entry.info.metrics, entry.info.answer, entry.info.wanted)


def check_method(method: Method, loss: str) -> None:
    """Whether a loss can do what a method asks of it.

    Raises:
        InputError: It cannot; the option is named.
    """
    info = LOSSES[loss].info
    words = loss.replace("_", " ")
    told = (
        ("--label-smoothing", f"{method.label_smoothing:g}", bool(method.label_smoothing) and not info.smooths),
        ("--balance", "weights", method.balance == "weights" and info.weigh is None),
        ("--balance", "sampling", method.balance == "sampling" and not info.samples),
        ("--monitor", "accuracy", method.stop.monitor == "accuracy" and info.answer is None),
    )
    for option, value, wrong in told:
        if wrong:
            raise InputError(
                f"{option} {value} has no meaning where {words} is made small",
                got=f"{option} {value}",
                expected=f"targets that this fits; here they are {info.targets}",
                fix=f"leave {option} out",
            )
