"""What every solver is: a function from embeddings and targets to a dense layer, its penalty chosen by cross-validation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from fovea.data import assign_folds
from fovea.registry import Registry
from fovea.types import Floats, Ints, Item, TargetArray

NUM_FOLDS = 5


@dataclass(frozen=True)
class Solved:
    """The fitted weights (K, D) and bias (K,), for embeddings as they are, and how the regularisation was chosen.

    `search` holds (C, mean loss over the folds, its standard deviation).
    """

    weight: Floats
    bias: Floats
    strength: float
    search: list[tuple[float, float, float]]
    note: str


@dataclass(frozen=True)
class SolverInfo:
    """What a solver states of itself."""

    minimises: str


# A solver is a function (inputs (N, D), targets, groups (N,), *, num_outputs, seed) -> Solved.
SOLVERS: Registry[SolverInfo] = Registry("solver", "fovea.training.solvers")


def solve(name: str, inputs: Floats, targets: TargetArray, groups: Ints, *, num_outputs: int, seed: int) -> Solved:
    """A dense layer by the solver of that name.

    Args:
        name: In the registry.
        inputs: (N, D) embeddings, as the backbone gave them.
        targets: As the solver's loss takes them.
        groups: (N,) a number for each row: those of one number stand in one fold.
        num_outputs: K.
        seed: Draws the folds.
    """
    return cast(Solved, SOLVERS[name].build(inputs, targets, groups, num_outputs=num_outputs, seed=seed))


def deal_rows(groups: Ints, strata: Sequence[Sequence[str]], *, seed: int) -> Ints | None:
    """(N,) a fold for each row, strata spread evenly and no group divided; None where there are not two groups.

    Args:
        groups: (N,).
        strata: One or several names for each row.
        seed: Of the folds.
    """
    num_folds = min(NUM_FOLDS, len(np.unique(groups)))
    if num_folds < 2:
        return None
    items = [Item(str(row), group=str(group)) for row, group in enumerate(groups)]
    return np.array(assign_folds(items, [item.path for item in items], num_folds=num_folds, seed=seed, strata=strata), np.int64)
