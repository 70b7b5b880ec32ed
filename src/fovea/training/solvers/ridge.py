"""Numbers: ridge regression, its penalty chosen by cross-validation, all of it in closed form."""

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from fovea.training.solvers.solver import SOLVERS, Solved, SolverInfo, deal_rows
from fovea.training.standardise import Standardised
from fovea.types import Floats, Ints, TargetArray

# Inverse strength of the penalty, as with logistic regression: minimised is C * summed squared error / 2 + |weights|^2 / 2.
_STRENGTHS = tuple(float(c) for c in np.logspace(-7, 1, 17))
_DEFAULT_STRENGTH = 1e-3
_MOST_COMPARED = 10_000  # pictures that the choice is made on; the final fit takes all

Doubles = npt.NDArray[np.float64]


@SOLVERS.add(SolverInfo(minimises="squared error, with an L2 penalty"))
def ridge(inputs: Floats, targets: TargetArray, groups: Ints, *, num_outputs: int, seed: int) -> Solved:
    """Fits on (N, D) embeddings and (N, T) numbers; one penalty for all of them.

    Source: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634.
    """
    true = targets.astype(np.float64).reshape(len(targets), num_outputs)
    with threadpool_limits(1, user_api="blas"):
        search = _compare(inputs, true, groups, seed)
        strength = min(search, key=lambda row: row[1])[0] if search else _DEFAULT_STRENGTH
        weight, bias = _Fits(inputs, true).fit(strength)
    note = (
        f"regularisation C = {strength:g} had the lowest squared error in cross-validation on the training pictures"
        if search
        else f"all training pictures belong together, so the regularisation stayed at its default, C = {strength:g}"
    )
    return Solved(weight, bias, strength, search, note)


def _compare(inputs: Floats, true: Doubles, groups: Ints, seed: int) -> list[tuple[float, float, float]]:
    """For each strength the squared error of held-out rows, in variances of each number so that all count alike."""
    if len(true) > _MOST_COMPARED:
        chosen = np.random.default_rng(seed).permutation(len(true))[:_MOST_COMPARED]
        inputs, true, groups = inputs[chosen], true[chosen], groups[chosen]
    folds = deal_rows(groups, [("",)] * len(true), seed=seed)
    if folds is None:
        return []
    variance = np.where(true.var(axis=0) > 0, true.var(axis=0), 1)
    errors: list[list[float]] = [[] for _ in _STRENGTHS]
    for fold in np.unique(folds):
        fits = _Fits(inputs[folds != fold], true[folds != fold])
        for found, strength in zip(errors, _STRENGTHS, strict=True):
            weight, bias = fits.fit(strength)
            said = inputs[folds == fold] @ weight.T + bias
            found.append(float((np.square(said - true[folds == fold]).mean(axis=0) / variance).mean()))
    return [(strength, float(np.mean(found)), float(np.std(found))) for strength, found in zip(_STRENGTHS, errors, strict=True)]


class _Fits:
    """Fits of any penalty on the same rows, from one decomposition of the smaller of X X' and X' X."""

    def __init__(self, inputs: Floats, true: Doubles) -> None:
        self._scale = Standardised(inputs)
        self._inputs = self._scale.apply(inputs)
        self._mean = true.mean(axis=0)
        centred = true - self._mean
        self._wide = self._inputs.shape[1] > len(self._inputs)  # more features than rows
        gram = self._inputs @ self._inputs.T if self._wide else self._inputs.T @ self._inputs
        self._values, self._vectors = np.linalg.eigh(gram.astype(np.float64))
        self._turned = self._vectors.T @ (centred if self._wide else self._inputs.T @ centred)

    def fit(self, strength: float) -> tuple[Floats, Floats]:
        """The weights (T, D) and bias (T,) for embeddings as they are."""
        found = self._vectors @ (self._turned / (np.maximum(self._values, 0) + 1 / strength)[:, None])
        weight = (self._inputs.T @ found if self._wide else found).T
        return self._scale.fold(weight.astype(np.float32), self._mean.astype(np.float32))
