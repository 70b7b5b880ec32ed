"""Optimizers by name. A file here registers one or several; torch's own are in `standard.py`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from fovea.registry import Registry

__all__ = ["OPTIMIZERS", "OptimizerInfo", "create_optimizer"]


@dataclass(frozen=True)
class OptimizerInfo:
    """What an optimizer states of itself.

    Args:
        source: The paper.
        lr: A rate to begin with, for a network from nothing.
    """

    source: str
    lr: float


OPTIMIZERS: Registry[OptimizerInfo] = Registry("optimizer", "fovea.training.optimizers")


def create_optimizer(name: str, groups: Iterable[dict[str, Any]], *, lr: float, weight_decay: float = 0.0) -> torch.optim.Optimizer:
    """An optimizer by name.

    Args:
        name: One of `OPTIMIZERS.names()`.
        groups: Dictionaries with "params" and, where they differ, "lr".
        lr: Of groups that name none.
        weight_decay: As the optimizer means it: decoupled for adamw, else the gradient of an L2 penalty.

    Raises:
        UnknownName: No such optimizer.
    """
    optimizer = OPTIMIZERS[name].build(list(groups), lr=lr, weight_decay=weight_decay)
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(f"the optimizer {name!r} builds a {type(optimizer).__name__}, not a torch Optimizer")
    return optimizer
