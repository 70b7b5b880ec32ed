"""One class for each picture: multinomial logistic regression."""

import numpy as np

from fovea.training.logistic import fit_logistic
from fovea.training.solvers.solver import SOLVERS, Solved, SolverInfo
from fovea.types import Floats, Ints, TargetArray


@SOLVERS.add(SolverInfo(minimises="log-likelihood loss of one class for each picture, with an L2 penalty"))
def logistic(inputs: Floats, targets: TargetArray, groups: Ints, *, num_outputs: int, seed: int) -> Solved:
    """As `fit_logistic`."""
    return fit_logistic(inputs, targets.astype(np.int64, copy=False), groups, num_classes=num_outputs, seed=seed)
