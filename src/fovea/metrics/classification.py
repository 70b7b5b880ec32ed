"""Measures of a classifier: `probabilities` is float (N, K), `true` is int (N,) with the index of the right class."""

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Ints


def accuracy(probabilities: Floats, true: Ints) -> float:
    """Share of the pictures whose most probable class is the right one."""
    return float((probabilities.argmax(axis=1) == true).mean())


def top_k_accuracy(probabilities: Floats, true: Ints, *, k: int) -> float:
    """Share of the pictures whose right class is among the `k` most probable."""
    own = probabilities[np.arange(len(true)), true]
    return float(((probabilities > own[:, None]).sum(axis=1) < k).mean())


def confusion_matrix(probabilities: Floats, true: Ints) -> Ints:
    """(K, K) counts: rows are the true class, columns the predicted one."""
    num_classes = probabilities.shape[1]
    cells = true * num_classes + probabilities.argmax(axis=1)
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes).astype(np.int64)


def negative_log_likelihood(probabilities: Floats, true: Ints) -> float:
    """Mean of -log(probability of the right class), in nats; the least confident answer counts as 1e-12, not as 0."""
    return float(log_losses(probabilities, true).mean())


def log_losses(probabilities: Floats, true: Ints) -> npt.NDArray[np.float64]:
    """(N,) the same of each picture."""
    own = probabilities[np.arange(len(true)), true].astype(np.float64)
    return -np.log(np.clip(own, 1e-12, 1.0))


def reliability(probabilities: Floats, true: Ints, *, num_bins: int = 15) -> list[dict[str, float]]:
    """How often answers of a given confidence are right: bins of equal width over the confidence, empty ones left out.

    Source: Guo et al. 2017, arXiv:1706.04599 (15 bins there).
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    index = np.minimum((confidence * num_bins).astype(int), num_bins - 1)
    bins = []
    for number in np.unique(index):
        inside = index == number
        bins.append(
            {
                "lo": float(number / num_bins),
                "hi": float((number + 1) / num_bins),
                "n": int(inside.sum()),
                "confidence": float(confidence[inside].mean()),
                "accuracy": float(right[inside].mean()),
            }
        )
    return bins
