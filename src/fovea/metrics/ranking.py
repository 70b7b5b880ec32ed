"""How well probabilities put the pictures of a class before all others, whatever threshold is set: one class versus the rest.

`probabilities` is float (N, K), `true` is int (N,). Means over classes leave out those that no picture, or every picture, belongs to.
"""

import numpy as np
import numpy.typing as npt

from fovea.metrics.intervals import percentile_interval
from fovea.types import Floats, Ints

Doubles = npt.NDArray[np.float64]

_MOST_STEPS = 30_000_000  # pictures x classes x resamples: about a second
_FEWEST_RESAMPLES = 50  # below these the ends of a 95 % interval are the outermost two or three draws
_BLOCK = 1_000_000  # weights that are held at once
_GRID = np.linspace(0, 1, 41)


def roc_auc(probabilities: Floats, true: Ints) -> float | None:
    """Mean over the classes of the area under the ROC curve; None where no class can be told from others.

    It is how often a picture of the class gets a higher probability of it than a picture of another class, ties as one half.
    Source: Hanley and McNeil 1982, doi:10.1148/radiology.143.1.7063747.
    """
    return _mean(areas(probabilities, true)[0][0])


def average_precision(probabilities: Floats, true: Ints) -> float | None:
    """Mean over the classes of the mean precision at each newly found picture; None where no class can be told from others."""
    return _mean(areas(probabilities, true)[1][0])


def areas(probabilities: Floats, true: Ints, weights: Doubles | None = None) -> tuple[Doubles, Doubles]:
    """ROC AUC and average precision of each class: (W, K) each, NaN for a class that none or all of the pictures belong to.

    Args:
        probabilities, true: As above.
        weights: (W, N) how often each picture counts; by default once, and W is 1.
    """
    weights = np.ones((1, len(true))) if weights is None else weights
    found = [_areas(*_counts(probabilities[:, k], true == k, weights)) for k in range(probabilities.shape[1])]
    return np.stack([auc for auc, _ in found], axis=1), np.stack([precision for _, precision in found], axis=1)


def ranking_intervals(
    probabilities: Floats, true: Ints, *, num_resamples: int = 200, seed: int = 0
) -> tuple[tuple[float, float] | None, tuple[float, float] | None]:
    """Bootstrap 95 % intervals of `roc_auc` and `average_precision`.

    None where a mean itself is None, or where there are too many pictures and classes to draw them anew often enough in about a second.
    """
    n, num_classes = probabilities.shape
    whole = [_mean(values[0]) for values in areas(probabilities, true)]
    num_resamples = min(num_resamples, _MOST_STEPS // (n * num_classes))
    if num_resamples < _FEWEST_RESAMPLES:
        return None, None
    rng, drawn, turn = np.random.default_rng(seed), list[tuple[Doubles, Doubles]](), max(1, _BLOCK // n)
    for start in range(0, num_resamples, turn):
        rows = min(turn, num_resamples - start)
        picked = rng.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        drawn.append(areas(probabilities, true, np.bincount(picked.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)))
    ends = [
        None if value is None else percentile_interval(value, means[np.isfinite(means)].tolist(), n=n)
        for value, means in zip(whole, (_means(np.concatenate(parts)) for parts in zip(*drawn, strict=True)), strict=True)
    ]
    return ends[0], ends[1]


def curves(probabilities: Floats, true: Ints) -> dict[str, list[list[float]]] | None:
    """The ROC and the precision-recall curve, their means over the classes: {"roc": [[x, y], ...], "precision_recall": [...]}.

    ROC: the share of the others that is let in (x), the share of the class that is found (y), averaged at equal x (Fawcett 2006,
    doi:10.1016/j.patrec.2005.10.010); x lies denser near 0, where good models differ. Precision-recall: the share that is found
    (x), the share of those named that is right (y). None where no class can be told from others.
    """
    rocs, precisions = [], []
    for k in range(probabilities.shape[1]):
        hits, misses = _counts(probabilities[:, k], true == k, np.ones((1, len(true))))
        hits, misses = hits[0], misses[0]
        if not hits[-1] or not misses[-1]:
            continue
        rocs.append(np.interp(_GRID**2, np.append(0, misses / misses[-1]), np.append(0, hits / hits[-1])))
        first = np.searchsorted(hits / hits[-1], _GRID - 1e-12)  # the highest threshold that finds so many
        precisions.append((hits / (hits + misses))[first])
    if not rocs:
        return None
    pairs = {"roc": (_GRID**2, np.mean(rocs, axis=0)), "precision_recall": (_GRID, np.mean(precisions, axis=0))}
    return {name: [[round(float(x), 4), round(float(y), 4)] for x, y in zip(*both, strict=True)] for name, both in pairs.items()}


def _counts(scores: Floats, positive: npt.NDArray[np.bool_], weights: Doubles) -> tuple[Doubles, Doubles]:
    """(W, G) pictures of the class, and others, at or above each of the G distinct scores, from the highest down."""
    order = np.argsort(-scores, kind="stable")
    last = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of each run of equal scores
    weighted, mine = weights[:, order], positive[order]
    return np.cumsum(weighted * mine, axis=1)[:, last], np.cumsum(weighted * ~mine, axis=1)[:, last]


def _areas(hits: Doubles, misses: Doubles) -> tuple[Doubles, Doubles]:
    num_hits, num_misses = hits[:, -1], misses[:, -1]
    known = (num_hits > 0) & (num_misses > 0)
    new_hits, new_misses = np.diff(hits, prepend=0), np.diff(misses, prepend=0)
    area = (new_misses * (hits - new_hits / 2)).sum(axis=1)
    precise = (new_hits * hits / np.maximum(hits + misses, 1)).sum(axis=1)
    nothing = np.full(len(hits), np.nan)
    return (
        np.divide(area, num_hits * num_misses, out=nothing.copy(), where=known),
        np.divide(precise, num_hits, out=nothing, where=known),
    )


def _means(values: Doubles) -> Doubles:
    """(W, K) -> (W,) means over the classes that are not NaN; NaN where all are."""
    known = np.isfinite(values)
    count = known.sum(axis=1)
    return np.divide(np.where(known, values, 0).sum(axis=1), count, out=np.full(len(values), np.nan), where=count > 0)  # type: ignore[no-any-return]


def _mean(values: Doubles) -> float | None:
    found = float(_means(values[None])[0])
    return found if np.isfinite(found) else None
