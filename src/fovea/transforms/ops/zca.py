"""Pictures whose pixels no longer depend on their neighbours."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np

from fovea.errors import InputError
from fovea.files import hash_json
from fovea.transforms.limits import limited
from fovea.transforms.op import OPS, FloatOp, OpInfo
from fovea.types import Floats, Pixels

_MOST_NUMBERS = 2**27  # of the directions that are kept, in float32: half a GiB


def _none() -> Floats:
    return np.zeros((0, 0), np.float32)


@OPS.add(
    OpInfo(
        "floats",
        source="Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images, appendix A",
        example=lambda: ZcaWhitening.fit(np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)),
    ),
    name="zca_whitening",
)
@dataclass(frozen=True, kw_only=True, eq=False)
class ZcaWhitening(FloatOp):
    """Turns pictures so that all their values are uncorrelated over the training pictures and equally strong, and stay alike.

    With C the covariance of the flattened training pictures, each picture x becomes (C + epsilon I)^(-1/2) (x - mean).
    `ZcaWhitening.fit(pictures)` measures it; all pictures must be of one size, and small: each of N training pictures adds
    one direction of H * W * 3 numbers, at most H * W * 3 of them.

    Args:
        mean: (H, W, 3).
        directions: (D, H * W * 3), orthonormal, of the covariance.
        gains: (D,): what each direction is multiplied by; what lies outside all of them is divided by the root of epsilon.
        epsilon: Added to each variance, of values from 0 to 1, so that directions without variance are not blown up.
    """

    mean: Floats = field(default_factory=_none)
    directions: Floats = field(default_factory=_none)
    gains: Floats = field(default_factory=_none)
    epsilon: float = limited(1e-6, low=1e-12, high=1)  # Keras's zca_epsilon

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mean.ndim != 3 or self.directions.shape != (len(self.gains), self.mean.size):
            raise InputError(
                f"{self.name} must be fitted first",
                got=f"mean {self.mean.shape}, directions {self.directions.shape}, gains {self.gains.shape}",
                expected="what ZcaWhitening.fit measures",
                fix="ZcaWhitening.fit(training_pictures)",
            )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZcaWhitening) and self.settings() == other.settings()

    def __hash__(self) -> int:
        return hash(hash_json(self.settings()))

    @classmethod
    def fit(cls, pictures: Pixels, *, epsilon: float = 1e-6) -> Self:
        """Measures training pictures.

        Args:
            pictures: uint8 (N, H, W, 3), of the training split alone.
            epsilon: As above.

        Raises:
            InputError: Fewer than two pictures, of no RGB, or too large for what has to be kept.
        """
        if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8 or len(pictures) < 2:
            raise InputError(
                "whitening is measured on several pictures of one size",
                got=f"{pictures.dtype} {pictures.shape}",
                expected="uint8 (N, H, W, 3), N of 2 or more",
                fix="resize the training pictures to one size, and stack them",
            )
        count, size = len(pictures), int(np.prod(pictures.shape[1:]))
        if min(count, size) * size > _MOST_NUMBERS:
            raise InputError(
                f"whitening pictures of {pictures.shape[2]} x {pictures.shape[1]} px would keep too much",
                got=f"{min(count, size):,} directions of {size:,} numbers",
                expected=f"at most {_MOST_NUMBERS:,} numbers",
                fix=f"use smaller pictures, or measure on {_MOST_NUMBERS // size:,} of them",
            )
        flat = pictures.reshape(count, size).astype(np.float64) / 255
        mean = flat.mean(axis=0)
        _, lengths, directions = np.linalg.svd(flat - mean, full_matrices=False)
        # the covariance is directions^T diag(lengths^2 / N) directions; outside them the variance is 0
        gains = 1 / np.sqrt(lengths**2 / count + epsilon)
        return cls(
            mean=(255 * mean).reshape(pictures.shape[1:]).astype(np.float32),
            directions=directions.astype(np.float32),
            gains=gains.astype(np.float32),
            epsilon=epsilon,
        )

    def floats(self, values: Floats) -> Floats:
        """(B, H, W, 3) in levels -> the same shape, of about unit variance.

        Raises:
            InputError: The pictures are of another size than those that it was fitted on.
        """
        if values.shape[1:] != self.mean.shape:
            raise InputError(
                f"{self.name} was fitted on pictures of another size",
                got=values.shape[1:],
                expected=self.mean.shape,
                fix="fit it on pictures of the size that the model takes",
            )
        # what lies outside the directions grows a thousandfold, and with it what float32 rounds, which differs by processor and batch
        flat = ((values - self.mean).astype(np.float64) / 255).reshape(len(values), -1)
        directions = self.directions.astype(np.float64)
        along = flat @ directions.T
        result = (along * self.gains) @ directions
        if len(directions) < flat.shape[1]:
            result += (flat - along @ directions) / np.sqrt(self.epsilon)
        return result.reshape(values.shape).astype(np.float32)
