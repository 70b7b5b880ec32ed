"""Multinomial logistic regression on standardised embeddings, its regularisation chosen by cross-validation on these rows only."""

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from fovea.loading.parallel import map_ordered
from fovea.metrics.classification import negative_log_likelihood
from fovea.progress import Progress
from fovea.training.standardise import Standardised
from fovea.types import Floats, Ints

# Inverse strength of the L2 penalty, from strong to weak. The loss along it has one valley, so the walk ends once it rises.
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
_DEFAULT_STRENGTH = 1e-2  # where a class has a single picture and nothing can be compared
_NUM_FOLDS = 5
_MOST_COMPARED = 10_000  # pictures that the choice is made on; the final fit takes all
_MAX_ITERATIONS = 1_000


@dataclass(frozen=True)
class Logistic:
    """The fitted weights (K, D) and bias (K,), for embeddings as they are, and how the regularisation was chosen.

    `search` holds (C, mean log-likelihood loss over the folds, its standard deviation).
    """

    weight: Floats
    bias: Floats
    strength: float
    search: list[tuple[float, float, float]]
    note: str


def fit_logistic(inputs: Floats, targets: Ints, *, num_classes: int, seed: int) -> Logistic:
    """Fits on (N, D) embeddings and (N,) classes.

    Args:
        inputs: As the backbone gave them.
        targets: Each of the classes at least once.
        num_classes: K.
        seed: Draws the folds.
    """
    search = _compare(inputs, targets, seed)
    strength = min(search, key=lambda row: row[1])[0] if search else _DEFAULT_STRENGTH
    weight, bias = _Path(inputs, targets).fit(strength)
    if len(weight) != num_classes:
        raise ValueError(f"{len(weight)} of {num_classes} classes stand among the training rows")
    note = (
        f"regularisation C = {strength:g} had the lowest log-likelihood loss in {_NUM_FOLDS}-fold cross-validation on the training pictures"
        if search
        else f"a class has a single training picture, so the regularisation stayed at its default, C = {strength:g}"
    )
    return Logistic(weight, bias, strength, search, note)


class _Path:
    """Fits of ever weaker regularisation on the same rows, each beginning where the one before ended."""

    def __init__(self, inputs: Floats, targets: Ints) -> None:
        self._scale = Standardised(inputs)
        self._inputs, self._targets = self._scale.apply(inputs), targets
        self._model = LogisticRegression(solver="lbfgs", max_iter=_MAX_ITERATIONS, warm_start=True)

    def fit(self, strength: float) -> tuple[Floats, Floats]:
        self._model.C = strength
        with warnings.catch_warnings():
            # a weakly regularised fit of separable classes has no end to converge to; cross-validation judges it all the same
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._model.fit(self._inputs, self._targets)
        weight, bias = self._model.coef_.astype(np.float32), self._model.intercept_.astype(np.float32)
        if len(weight) == 1:  # two classes: scikit-learn fits the difference of their logits
            weight, bias = np.concatenate([-weight / 2, weight / 2]), np.concatenate([-bias / 2, bias / 2])
        return self._scale.fold(weight, bias)


def _compare(inputs: Floats, targets: Ints, seed: int) -> list[tuple[float, float, float]]:
    if len(targets) > _MOST_COMPARED:
        chosen = np.random.default_rng(seed).permutation(len(targets))[:_MOST_COMPARED]
        if len(np.unique(targets[chosen])) == len(np.unique(targets)):
            inputs, targets = inputs[chosen], targets[chosen]
    num_folds = min(_NUM_FOLDS, int(np.bincount(targets)[np.unique(targets)].min()))
    if num_folds < 2:
        return []
    splits = list(StratifiedKFold(num_folds, shuffle=True, random_state=seed).split(inputs, targets))
    paths = [_Path(inputs[train], targets[train]) for train, _ in splits]

    def loss(fold: int, strength: float) -> float:
        weight, bias = paths[fold].fit(strength)
        held_out = splits[fold][1]
        return negative_log_likelihood(_softmax(inputs[held_out] @ weight.T + bias), targets[held_out])

    search: list[tuple[float, float, float]] = []
    with Progress("choosing the regularisation", total=len(_STRENGTHS)) as bar, threadpool_limits(1, user_api="blas"):
        for strength in _STRENGTHS:
            losses = list(map_ordered(lambda fold, strength=strength: loss(fold, strength), range(num_folds)))  # type: ignore[misc]
            search.append((strength, float(np.mean(losses)), float(np.std(losses))))
            bar.advance(1)
            if len(search) > 1 and search[-1][1] > search[-2][1]:
                break
    return search


def out_of_fold(inputs: Floats, targets: Ints, folds: Ints, *, num_classes: int) -> tuple[Floats, float]:
    """What a fit that saw nothing of a row's fold says of the row: probabilities (N, K), and the regularisation that was taken.

    It is the strongest whose loss is within one standard error of the lowest (Breiman et al., "Classification and Regression
    Trees", 1984, section 3.4.3): a fit that follows single rows would also follow those whose labels are wrong.

    Args:
        inputs: (N, D) embeddings.
        targets: (N,) classes; what a class's only fold holds is given no probability of that class.
        folds: (N,) the number of each row's fold.
        num_classes: K.
    """
    held_out = [np.flatnonzero(folds == fold) for fold in np.unique(folds)]
    present = [np.unique(targets[folds != fold]) for fold in np.unique(folds)]
    paths = [_Path(inputs[folds != fold], np.searchsorted(present[i], targets[folds != fold])) for i, fold in enumerate(np.unique(folds))]

    def answers(i: int, strength: float) -> Floats:
        found = np.zeros((len(held_out[i]), num_classes), np.float32)
        if len(present[i]) > 1:
            weight, bias = paths[i].fit(strength)
            found[:, present[i]] = _softmax(inputs[held_out[i]] @ weight.T + bias)
        else:
            found[:, present[i]] = 1
        return found

    tried: list[tuple[float, float, list[Floats]]] = []  # mean loss, its standard error, the answers
    with Progress("asking whether labels fit", total=len(_STRENGTHS)) as bar, threadpool_limits(1, user_api="blas"):
        for strength in _STRENGTHS:
            found = list(map_ordered(lambda i, strength=strength: answers(i, strength), range(len(held_out))))  # type: ignore[misc]
            losses = [negative_log_likelihood(part, targets[rows]) for part, rows in zip(found, held_out, strict=True)]
            tried.append((float(np.mean(losses)), float(np.std(losses) / np.sqrt(len(losses))), found))
            bar.advance(1)
            if len(tried) > 1 and tried[-1][0] > tried[-2][0]:
                break
    lowest, error, _ = min(tried, key=lambda row: row[0])
    chosen = next(i for i, row in enumerate(tried) if row[0] <= lowest + error)
    probabilities = np.zeros((len(targets), num_classes), np.float32)
    for rows, part in zip(held_out, tried[chosen][2], strict=True):
        probabilities[rows] = part
    return probabilities, _STRENGTHS[chosen]


def _softmax(logits: Floats) -> Floats:
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return exponent / exponent.sum(axis=1, keepdims=True)  # type: ignore[no-any-return]
