"""All pictures brought to the mean and deviation of the training pictures."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np

from fovea.errors import InputError
from fovea.transforms.limits import is_number
from fovea.transforms.op import OPS, FloatOp, OpInfo
from fovea.types import Floats, Pixels

Triple = tuple[float, float, float]


@OPS.add(
    OpInfo(
        "floats",
        source="Keras ImageDataGenerator's featurewise_center and _std_normalization",
        example=lambda: Featurewise(mean=(124.0, 116.0, 104.0), deviation=(58.0, 57.0, 57.0)),
    ),
    name="featurewise",
)
@dataclass(frozen=True, kw_only=True)
class Featurewise(FloatOp):
    """Takes away each channel's mean over the training pictures, and divides by its standard deviation.

    `Featurewise.fit(pictures)` measures both.

    Args:
        mean: Of red, green and blue, in levels; zeros take nothing away.
        deviation: Of red, green and blue, in levels; ones divide by nothing.
    """

    mean: Triple = (0.0, 0.0, 0.0)
    deviation: Triple = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, least in (("mean", -np.inf), ("deviation", 0)):
            values = getattr(self, key)
            if len(values) != 3 or not all(is_number(value) and value > least for value in values):
                raise InputError(
                    f"{self.name}: {key} cannot be {values!r}",
                    got=repr(values),
                    expected=f"three numbers{' above 0' if key == 'deviation' else ''}, in levels",
                    fix="measure them on the training pictures with Featurewise.fit",
                )

    @classmethod
    def fit(cls, pictures: Iterable[Pixels], *, centre: bool = True, scale: bool = True) -> Self:
        """Measures training pictures, one by one, in exact integers.

        Args:
            pictures: uint8 (H, W, 3), of any sizes; or an array (N, H, W, 3). Of the training split alone.
            centre, scale: Which of the two the operation does.

        Raises:
            InputError: There are none, or they are no uint8 RGB pictures.
        """
        num, total, squares = 0, np.zeros(3, np.int64), np.zeros(3, np.int64)
        for pixels in pictures:
            if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
                raise InputError(
                    "these are no RGB pictures", got=f"{pixels.dtype} {pixels.shape}", expected="uint8 (H, W, 3)", fix="decode them first"
                )
            levels = pixels.reshape(-1, 3).astype(np.int64)
            num, total, squares = num + len(levels), total + levels.sum(axis=0), squares + (levels**2).sum(axis=0)
        if not num:
            raise InputError("there are no pictures to measure", got="0 pictures", expected="training pictures", fix="pass them")
        mean = total / num
        deviation = np.sqrt(np.maximum(squares / num - mean**2, 0)) + 1e-6  # as in Keras: a channel of one level is not divided by 0
        return cls(mean=_triple(mean if centre else np.zeros(3)), deviation=_triple(deviation if scale else np.ones(3)))

    def floats(self, values: Floats) -> Floats:
        return np.asarray((values - np.array(self.mean, np.float32)) / np.array(self.deviation, np.float32), np.float32)


def _triple(values: np.ndarray) -> Triple:
    red, green, blue = values.tolist()
    return red, green, blue
