"""Temperature scaling: one number that makes confidence mean what it says (Guo et al. 2017, arXiv:1706.04599)."""

import numpy as np
from scipy.optimize import minimize_scalar

from fovea.types import Floats, Ints

_LIMITS = (0.05, 20.0)


def fit_temperature(logits: Floats, true: Ints) -> float:
    """The temperature that minimises the log-likelihood loss of these (validation) answers; 1 where there are none.

    A weak pull towards 1 (one picture's worth: half the squared logarithm) keeps it from running to zero when every
    answer is right, which would make the next wrong one certain.

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
        return float(total.sum() + 0.5 * log_temperature**2)

    found = minimize_scalar(loss, bounds=tuple(np.log(_LIMITS)), method="bounded")
    return float(np.exp(found.x))


def calibrated(logits: Floats, temperature: float) -> Floats:
    """(N, K) logits -> probabilities, float32."""
    scaled = logits.astype(np.float64) / temperature
    exponent = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return (exponent / exponent.sum(axis=1, keepdims=True)).astype(np.float32)  # type: ignore[no-any-return]
