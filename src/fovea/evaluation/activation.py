"""From logits to answers, by the activation that a task names, with one temperature so that probabilities mean what they say."""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit

from fovea.bundle.format import Calibration
from fovea.evaluation.calibrate import calibrated, fit_temperature
from fovea.tasks.task import Activation
from fovea.types import Floats, TargetArray

_LIMITS = (0.05, 20.0)  # as for one class each


def settle_temperature(activation: Activation, logits: Floats, targets: TargetArray) -> float:
    """The temperature with the lowest log-likelihood loss on these (validation) answers; 1 where answers are no probabilities.

    Args:
        activation: What turns logits into answers.
        logits: (N, K), before calibration.
        targets: Of the same rows.
    """
    if activation == "softmax":
        return fit_temperature(logits, targets.astype(np.int64, copy=False))
    if activation == "identity" or not len(targets):
        return 1.0
    wide, true = logits.astype(np.float64), targets.astype(np.float64)

    def loss(log_temperature: float) -> float:
        scaled = wide / np.exp(log_temperature)
        # log(1 + exp(x)) - x y, in a form that does not overflow; the weak pull towards 1 is that of `fit_temperature`
        return float((np.logaddexp(0, scaled) - scaled * true).sum() + 0.5 * log_temperature**2)

    return float(np.exp(minimize_scalar(loss, bounds=tuple(np.log(_LIMITS)), method="bounded").x))


def activated(activation: Activation, logits: Floats, temperature: float) -> Floats:
    """(N, K) logits -> answers (N, K), float32."""
    if activation == "softmax":
        return calibrated(logits, Calibration(temperature=temperature))
    if activation == "sigmoid":
        return expit(logits.astype(np.float64) / temperature).astype(np.float32)  # type: ignore[no-any-return]
    return logits.astype(np.float32)
