"""Calibration: probabilities that mean what they say, by one number or by two for each class (Guo et al. 2017, arXiv:1706.04599)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from fovea.bundle.format import Calibration
from fovea.metrics.classification import log_losses
from fovea.types import Floats, Ints

_LIMITS = (0.05, 20.0)
_NUM_FOLDS = 5
_TOLERANCE = 1e-4  # of the largest slope of the mean loss
_FEWEST_A_CLASS = 50  # rows, for its two numbers: of fewer, one standard error is crossed by luck too often
_PULL = 10.0  # pictures' worth, towards no calibration: 22 of 23 right by luck would else make the wrong ones certain

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A calibration, and what it says of the rows that chose it.

    Args:
        calibration: Fitted on all rows.
        held_out: (N, K) probabilities of each row, by a fit that did not see the row or its group.
        note: Why it was chosen, in a sentence; "" where nothing was compared.
    """

    calibration: Calibration
    held_out: Floats
    note: str = ""


def fit_temperature(logits: Floats, true: Ints) -> float:
    """The temperature that minimises the log-likelihood loss of these (validation) answers; 1 where there are none.

    A pull towards 1 (half the squared logarithm, ten times) keeps it from running to zero when every answer is right, which would
    make the next wrong one certain; of some hundred pictures it is hardly felt.

    Args:
        logits: (N, K), before calibration.
        true: (N,) the right classes.
    """
    if len(true) == 0:
        return 1.0
    logits = logits.astype(np.float64)
    rows = np.arange(len(true))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        top = scaled.max(axis=1)
        total = np.log(np.exp(scaled - top[:, None]).sum(axis=1)) + top - scaled[rows, true]
        return float(total.sum() + 0.5 * _PULL * log_temperature**2)

    found = minimize_scalar(loss, bounds=tuple(np.log(_LIMITS)), method="bounded")
    return float(np.exp(found.x))


def fit_vector(logits: Floats, true: Ints) -> Calibration:
    """Vector scaling: behind the temperature a scale and a shift for each class, which minimise the log-likelihood loss.

    A weak pull (half the square) holds each to 1 and 0: the temperature alone.

    Args:
        logits: (N, K), before calibration.
        true: (N,) the right classes; N at least 1.
    """
    temperature = fit_temperature(logits, true)
    warm = logits.astype(np.float64) / temperature
    num_classes, rows = warm.shape[1], np.arange(len(true))

    def loss(flat: Doubles) -> tuple[float, Doubles]:
        log_scale, shift = flat[:num_classes], flat[num_classes:]
        scaled = warm * np.exp(log_scale) + shift
        scaled -= scaled.max(axis=1, keepdims=True)
        unlike = np.exp(scaled)
        total = unlike.sum(axis=1, keepdims=True)
        value = float((np.log(total[:, 0]) - scaled[rows, true]).sum() + 0.5 * np.square(flat).sum())
        unlike /= total
        unlike[rows, true] -= 1
        slope = np.concatenate([(unlike * warm).sum(axis=0) * np.exp(log_scale), unlike.sum(axis=0)])
        return value, slope + flat

    found = minimize(loss, np.zeros(2 * num_classes), jac=True, method="L-BFGS-B", options={"gtol": _TOLERANCE * len(true)}).x
    scale, shift = np.exp(found[:num_classes]), found[num_classes:]
    return Calibration(temperature=temperature, method="vector", scale=scale.tolist(), shift=shift.tolist())


def choose_calibration(logits: Floats, true: Ints, groups: Ints, *, seed: int = 0) -> Calibrated:
    """Temperature or vector scaling, by the log-likelihood of held-out rows in five folds.

    The simpler is taken unless the other is better by more than one standard error of their difference (Breiman et al., "Classification and
    Regression Trees", 1984, section 3.4.3), row by row; and where there are fewer than fifty rows a class.

    Args:
        logits: (N, K) of the validation rows, before calibration.
        true: (N,) their classes.
        groups: (N,) a number for each row: those of one number stand in one fold.
        seed: Draws the folds.
    """
    plain = Calibration(temperature=fit_temperature(logits, true))
    names, numbers = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return Calibrated(plain, calibrated(logits, plain))
    folds = (np.random.default_rng(seed).permutation(len(names)) % _NUM_FOLDS)[numbers]
    by_temperature, by_vector = np.empty(logits.shape, np.float32), np.empty(logits.shape, np.float32)
    enough = len(true) >= _FEWEST_A_CLASS * logits.shape[1]
    for fold in np.unique(folds):
        others, mine = folds != fold, folds == fold
        by_temperature[mine] = calibrated(logits[mine], Calibration(temperature=fit_temperature(logits[others], true[others])))
        if enough:
            by_vector[mine] = calibrated(logits[mine], fit_vector(logits[others], true[others]))
    if not enough:
        return Calibrated(plain, by_temperature)
    gains = log_losses(by_temperature, true) - log_losses(by_vector, true)
    error = float(gains.std(ddof=1)) / len(gains) ** 0.5
    told = f"than one temperature on held-out validation pictures: a loss lower by {gains.mean():.4f}, standard error {error:.4f}"
    if gains.mean() > error:
        return Calibrated(fit_vector(logits, true), by_vector, f"calibrated by a scale and a shift for each class, which was better {told}")
    return Calibrated(plain, by_temperature)


def calibrated(logits: Floats, calibration: Calibration) -> Floats:
    """(N, K) logits -> probabilities, float32."""
    scaled = logits.astype(np.float64) / calibration.temperature
    if calibration.scale is not None and calibration.shift is not None:
        scaled = scaled * np.asarray(calibration.scale) + np.asarray(calibration.shift)
    exponent = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return (exponent / exponent.sum(axis=1, keepdims=True)).astype(np.float32)  # type: ignore[no-any-return]
