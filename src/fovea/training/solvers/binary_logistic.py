"""Any number of labels for each picture: a logistic regression for each label, all with the same penalty."""

import numpy as np

from fovea.loading.parallel import map_ordered
from fovea.metrics.multi_label import binary_log_loss
from fovea.training.logistic import DEFAULT_STRENGTH, MOST_COMPARED, FitPath, sigmoid, walk
from fovea.training.solvers.solver import SOLVERS, Solved, SolverInfo, deal_rows
from fovea.types import Floats, Ints, TargetArray


@SOLVERS.add(SolverInfo(minimises="summed log-likelihood loss of each label by itself, with an L2 penalty"))
def binary_logistic(inputs: Floats, targets: TargetArray, groups: Ints, *, num_outputs: int, seed: int) -> Solved:
    """Fits on (N, D) embeddings and (N, K) of 0 and 1; one penalty for all labels, since each alone has too few pictures to choose."""
    true = targets.astype(np.float32, copy=False)
    search = _compare(inputs, true, groups, seed)
    strength = min(search, key=lambda row: row[1])[0] if search else DEFAULT_STRENGTH
    weight, bias = FitPath(inputs, true, num_outputs, loss=_each_by_itself).fit(strength)
    note = (
        f"regularisation C = {strength:g}, the same for all {num_outputs} labels, had the lowest log-likelihood loss in cross-validation on "
        "the training pictures"
        if search
        else f"all training pictures belong together, so the regularisation stayed at its default, C = {strength:g}"
    )
    return Solved(weight, bias, strength, search, note)


def _compare(inputs: Floats, true: Floats, groups: Ints, seed: int) -> list[tuple[float, float, float]]:
    if len(true) > MOST_COMPARED:
        chosen = np.random.default_rng(seed).permutation(len(true))[:MOST_COMPARED]
        inputs, true, groups = inputs[chosen], true[chosen], groups[chosen]
    folds = deal_rows(groups, [tuple(map(str, np.flatnonzero(row))) or ("",) for row in true], seed=seed)
    if folds is None:
        return []
    numbers = np.unique(folds)
    paths = {fold: FitPath(inputs[folds != fold], true[folds != fold], true.shape[1], loss=_each_by_itself) for fold in numbers}

    def loss(fold: int, strength: float) -> float:
        weight, bias = paths[fold].fit(strength)
        return binary_log_loss(sigmoid(inputs[folds == fold] @ weight.T + bias), true[folds == fold])

    walked = walk("choosing the regularisation", lambda strength: (list(map_ordered(lambda fold: loss(fold, strength), numbers)), None))
    return [(strength, float(np.mean(found)), float(np.std(found))) for strength, found, _ in walked]


def _each_by_itself(logits: Floats, true: TargetArray) -> tuple[float, Floats]:
    """The loss of (N, K) logits, mean over pictures of the sum over labels, and its slope."""
    probabilities = sigmoid(logits)
    p = np.maximum(np.where(true > 0, probabilities, 1 - probabilities), 1e-30)
    return -float(np.log(p).sum(dtype=np.float64) / len(true)), probabilities - true
