"""Sets up refusal: which training embeddings a bundle takes along, and from which distance on a picture is refused."""

import math

import numpy as np

from fovea.bundle.refusal import Refusal, unit
from fovea.types import Floats, Ints

_K = 5  # one neighbour alone may be a picture that does not belong; 50 were worse where there are few (benchmarks/questions/refusal.py)
_MOST_KEPT = 1_000  # of 1,280 numbers each they add 5.1 MB to a bundle; twice as many are hardly better
_LEAST_A_CLASS = 5


def fit_refusal(
    train: Floats,
    targets: Ints,
    validation: Floats,
    *,
    false_refusal: float = 0.05,
    k: int = _K,
    most_kept: int = _MOST_KEPT,
    seed: int = 0,
) -> Refusal | None:
    """Refusal by distance to training embeddings, its threshold set so that so many pictures like these are refused by mistake.

    The threshold is the finite-sample quantile: a new picture, drawn like those of validation, is refused with at most that chance.

    Args:
        train: (N, D) embeddings of the training pictures.
        targets: (N,) their classes: each is taken along, evenly.
        validation: (M, D) embeddings of pictures that were not learned from.
        false_refusal: The share of them to refuse, 0 to 1.
        k: Which neighbour counts.
        most_kept: Training embeddings to take along; five of each class in any case.
        seed: Draws them.

    Returns:
        None where there are too few validation pictures to promise it: 19 are needed for 5 %.
    """
    rank = math.ceil(round((len(validation) + 1) * (1 - false_refusal), 9))
    if not len(train) or rank > len(validation):
        return None
    kept = _evenly(targets, most_kept, seed)
    centre = train.mean(axis=0, dtype=np.float64).astype(np.float32)
    found = Refusal(centre, unit(train[kept] - centre), min(k, len(kept)), 0.0, false_refusal, len(validation))
    threshold = float(np.sort(found.scores(validation))[rank - 1])
    return Refusal(found.centre, found.vectors, found.k, threshold, false_refusal, found.n)


def _evenly(targets: Ints, most: int, seed: int) -> Ints:
    """Rows, sorted: of each class equally many, as far as there are, drawn by chance."""
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(targets))
    classes, numbers = np.unique(targets[shuffled], return_inverse=True)
    places = np.zeros(len(targets), np.int64)  # of each row among those of its class
    for number in range(len(classes)):
        mine = numbers == number
        places[mine] = np.arange(mine.sum())
    most = max(most, _LEAST_A_CLASS * len(classes))
    return np.sort(shuffled[np.argsort(places, kind="stable")[:most]])
