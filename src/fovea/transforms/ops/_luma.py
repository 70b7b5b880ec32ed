"""Grey as people see it: the weights of ITU-R BT.601, which Pillow's "L" has too."""

import numpy as np
import numpy.typing as npt

LUMA = np.array([0.299, 0.587, 0.114])
TO_LUMA = np.tile(LUMA, (3, 1))  # (3, 3): every channel becomes grey


def without_offset(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(3, 3) -> (3, 4) that adds nothing."""
    return np.concatenate([matrix, np.zeros((3, 1))], axis=1)
