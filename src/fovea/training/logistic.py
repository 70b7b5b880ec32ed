"""Multinomial logistic regression on standardised embeddings, its regularisation chosen by cross-validation on these rows only."""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from fovea.data import assign_folds
from fovea.loading.parallel import map_ordered
from fovea.metrics.classification import negative_log_likelihood
from fovea.progress import Progress
from fovea.training.solvers.solver import Solved
from fovea.training.standardise import Standardised
from fovea.types import Floats, Ints, Item, TargetArray

# Inverse strength of the L2 penalty, from strong to weak. The loss along it has one valley, so the walk ends once it rises.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
DEFAULT_STRENGTH = 1e-2  # where a class has a single picture and nothing can be compared
_NUM_FOLDS = 5
MOST_COMPARED = 10_000  # pictures that the choice is made on; the final fit takes all
_MAX_ITERATIONS = 1_000
_SMALL = 1e9  # rows x features x classes: smaller products gain next to nothing from threads of BLAS, which wait for one another in a loop
_TOLERANCE = 1e-4  # of the largest slope of the mean loss: closer, no held-out loss changes in its third digit


def fit_logistic(inputs: Floats, targets: Ints, groups: Ints, *, num_classes: int, seed: int, scale: Standardised | None = None) -> Solved:
    """Fits on (N, D) embeddings and (N,) classes.

    Args:
        inputs: As the backbone gave them.
        targets: Each of the classes at least once.
        groups: (N,) a number for each row: those of one number stand in one fold.
        num_classes: K.
        seed: Draws the folds.
        scale: Of the embeddings; by default that of the rows of each fit.
    """
    search = _compare(inputs, targets, groups, seed, scale)
    strength = min(search, key=lambda row: row[1])[0] if search else DEFAULT_STRENGTH
    with threadpool_limits(1 if inputs.size * num_classes < _SMALL else None, user_api="blas"):
        weight, bias = FitPath(inputs, targets, num_classes, scale=scale).fit(strength)
    note = (
        f"regularisation C = {strength:g} had the lowest log-likelihood loss in {_NUM_FOLDS}-fold cross-validation on the training pictures"
        if search
        else f"a class has a single training picture or group, so the regularisation stayed at its default, C = {strength:g}"
    )
    return Solved(weight, bias, strength, search, note)


def fit_near(inputs: Floats, targets: Ints, weight: Floats, bias: Floats, *, strength: float, scale: Standardised) -> tuple[Floats, Floats]:
    """Logistic regression that is pulled towards weights which are there already, and not towards zero.

    Minimises C * summed loss + |weights - before|^2 / 2: a few new pictures move the head only as far as they must.

    Args:
        inputs: (N, D) embeddings of the new pictures.
        targets: (N,) classes.
        weight, bias: (K, D) and (K,), as they are.
        strength: C; the smaller, the less it moves.
        scale: In whose units a weight's change counts: of the pictures that it was learned from.
    """
    path = FitPath(inputs, targets, len(bias), scale=scale, centre=(weight, bias))
    with threadpool_limits(1, user_api="blas"):
        return path.fit(strength)


class FitPath:
    """Fits of ever weaker regularisation on the same rows, each beginning where the one before ended.

    L-BFGS of SciPy on this very loss (`loss` gives its value for (N, K) logits, and its slope; by default that of one class each), and not scikit-learn's model, whose import alone takes longer than all the fits.
    """

    def __init__(
        self,
        inputs: Floats,
        targets: TargetArray,
        num_classes: int,
        *,
        scale: Standardised | None = None,
        centre: tuple[Floats, Floats] | None = None,
        loss: Callable[[Floats, TargetArray], tuple[float, Floats]] | None = None,
    ) -> None:
        self._scale = scale or Standardised(inputs)
        self._inputs, self._targets, self._loss = self._scale.apply(inputs), targets, loss or _one_of_all
        self._centre = np.zeros((num_classes, inputs.shape[1] + 1))  # the weights, and last the bias
        if centre:
            self._centre[:, :-1], self._centre[:, -1] = centre[0] * self._scale.deviation, centre[1] + centre[0] @ self._scale.mean
        self._found = self._centre.copy()

    def fit(self, strength: float) -> tuple[Floats, Floats]:
        """The weights (K, D) and bias (K,) that minimise C * summed loss + |weights|^2 / 2."""
        count = len(self._targets)
        penalty = 1 / (strength * count)

        def loss(flat: Floats) -> tuple[float, Floats]:
            found = flat.reshape(self._found.shape)
            narrow = found.astype(np.float32)
            mean, unlike = self._loss(self._inputs @ narrow[:, :-1].T + narrow[:, -1], self._targets)
            slope = np.empty_like(found)
            moved = found[:, :-1] - self._centre[:, :-1]
            slope[:, :-1] = unlike.T @ self._inputs / count + penalty * moved
            slope[:, -1] = unlike.mean(axis=0, dtype=np.float64)
            return mean + 0.5 * penalty * float(np.square(moved).sum()), slope.ravel()

        # a weakly regularised fit of separable classes has no end to converge to; cross-validation judges it all the same
        options = {"maxiter": _MAX_ITERATIONS, "gtol": _TOLERANCE}
        self._found = minimize(loss, self._found.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(self._found.shape)
        return self._scale.fold(self._found[:, :-1].astype(np.float32), self._found[:, -1].astype(np.float32))


def _compare(inputs: Floats, targets: Ints, groups: Ints, seed: int, scale: Standardised | None = None) -> list[tuple[float, float, float]]:
    if len(targets) > MOST_COMPARED:
        chosen = np.random.default_rng(seed).permutation(len(targets))[:MOST_COMPARED]
        if len(np.unique(targets[chosen])) == len(np.unique(targets)):
            inputs, targets, groups = inputs[chosen], targets[chosen], groups[chosen]
    num_folds = min(_NUM_FOLDS, *(len(np.unique(groups[targets == target])) for target in np.unique(targets)))
    if num_folds < 2:
        return []
    folds = deal(targets, groups, num_folds=num_folds, seed=seed)
    num_classes = int(targets.max()) + 1

    def path(fold: int) -> FitPath:
        return FitPath(inputs[folds != fold], targets[folds != fold], num_classes, scale=scale)

    paths = list(map_ordered(path, range(num_folds)))

    def loss(fold: int, strength: float) -> float:
        weight, bias = paths[fold].fit(strength)
        held_out = folds == fold
        return negative_log_likelihood(_softmax(inputs[held_out] @ weight.T + bias), targets[held_out])

    def losses(strength: float) -> tuple[list[float], None]:
        return list(map_ordered(lambda fold: loss(fold, strength), range(num_folds))), None

    walked = walk("choosing the regularisation", losses)
    return [(strength, float(np.mean(found)), float(np.std(found))) for strength, found, _ in walked]


def deal(targets: Ints, groups: Ints, *, num_folds: int, seed: int) -> Ints:
    """(N,) a fold for each row: each class spread evenly over the folds, no group divided."""
    items = [Item(str(i), label=f"{target:06d}", group=str(group)) for i, (target, group) in enumerate(zip(targets, groups, strict=True))]
    return np.array(assign_folds(items, [item.path for item in items], num_folds=num_folds, seed=seed), np.int64)


Found = TypeVar("Found")


def walk(purpose: str, losses: Callable[[float], tuple[list[float], Found]]) -> list[tuple[float, list[float], Found]]:
    """From strong to weak regularisation until the mean of the folds' losses rises: the strength, the losses, what was found."""
    walked: list[tuple[float, list[float], Found]] = []
    with Progress(purpose, total=len(_STRENGTHS)) as bar, threadpool_limits(1, user_api="blas"):
        for strength in _STRENGTHS:
            walked.append((strength, *losses(strength)))
            bar.advance(1)
            if len(walked) > 1 and np.mean(walked[-1][1]) > np.mean(walked[-2][1]):
                break
    return walked


def out_of_fold(inputs: Floats, targets: Ints, folds: Ints, *, num_classes: int) -> tuple[Floats, float]:
    """What a fit that learned from no row of a row's fold says of the row: probabilities (N, K), and the regularisation that all folds would take.

    It is the strongest whose loss is within one standard error of the lowest (Breiman et al., "Classification and Regression
    Trees", 1984, section 3.4.3): a fit that follows single rows would also follow those whose labels are wrong. Each fold's is chosen by the
    losses of the other folds, so that no row has a say in what it is asked with.

    Args:
        inputs: (N, D) embeddings.
        targets: (N,) classes; what a class's only fold holds is given no probability of that class.
        folds: (N,) the number of each row's fold.
        num_classes: K.
    """
    held_out = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    present = [np.unique(targets[folds != fold]) for fold in np.unique(folds)]
    paths = [
        FitPath(inputs[folds != fold], np.searchsorted(classes, targets[folds != fold]), len(classes))
        for fold, classes in zip(np.unique(folds), present, strict=True)
    ]

    def answer(i: int, strength: float) -> Floats:
        weight, bias = paths[i].fit(strength)
        probabilities = np.zeros((len(held_out[i]), num_classes), np.float32)
        probabilities[:, present[i]] = _softmax(inputs[held_out[i]] @ weight.T + bias)
        return probabilities

    def answers(strength: float) -> tuple[list[float], list[Floats]]:
        found = list(map_ordered(lambda i: answer(i, strength), range(len(held_out))))
        return [negative_log_likelihood(part, targets[rows]) for part, rows in zip(found, held_out, strict=True)], found

    tried = walk("asking whether labels fit", answers)
    losses = np.array([row for _, row, _ in tried])
    probabilities = np.zeros((len(targets), num_classes), np.float32)
    for i, rows in enumerate(held_out):
        probabilities[rows] = tried[_strongest(np.delete(losses, i, axis=1) if len(held_out) > 1 else losses)][2][i]
    return probabilities, tried[_strongest(losses)][0]


def _strongest(losses: Floats) -> int:
    """Of (S, F) losses, from strong to weak, one for each fold: the first whose mean is within one standard error of the lowest."""
    means = losses.mean(axis=1)
    best = losses[means.argmin()]
    return int(np.argmax(means <= best.mean() + best.std() / len(best) ** 0.5))


def _one_of_all(logits: Floats, targets: TargetArray) -> tuple[float, Floats]:
    """The loss of (N, K) logits whose rows are of one class each, mean over rows, and its slope."""
    unlike, rows = _softmax(logits), np.arange(len(targets))
    mean = -float(np.log(np.maximum(unlike[rows, targets], 1e-30)).mean(dtype=np.float64))
    unlike[rows, targets] -= 1
    return mean, unlike


def sigmoid(logits: Floats) -> Floats:
    """Each logit's probability by itself."""
    from scipy.special import expit

    return expit(logits)  # type: ignore[no-any-return]


def _softmax(logits: Floats) -> Floats:
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
