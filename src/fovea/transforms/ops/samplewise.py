"""Each picture brought to its own mean and deviation."""

from dataclasses import dataclass

import numpy as np

from fovea.errors import InputError
from fovea.transforms.op import OPS, FloatOp, OpInfo
from fovea.types import Floats


@OPS.add(OpInfo("floats", source="Keras ImageDataGenerator's samplewise_center and _std_normalization"), name="samplewise")
@dataclass(frozen=True, kw_only=True)
class Samplewise(FloatOp):
    """Takes each picture's own mean away, and divides by its own standard deviation, over all pixels and channels.

    Args:
        centre: Whether the mean is taken away.
        scale: Whether it is divided by the deviation (plus 1e-6, as in Keras).
    """

    centre: bool = True
    scale: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.centre or self.scale):
            raise InputError(
                f"{self.name} would do nothing", got="centre=False, scale=False", expected="one of them at least", fix="set centre=True"
            )

    def floats(self, values: Floats) -> Floats:
        mean = values.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64)
        result = values - mean.astype(np.float32) if self.centre else values
        if self.scale:
            deviation = values.std(axis=(1, 2, 3), keepdims=True, dtype=np.float64) + 1e-6
            result = result / deviation.astype(np.float32)
        return result
