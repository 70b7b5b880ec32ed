"""What every mix is: a training batch in which pictures are blended with others, and their targets with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from fovea.errors import InputError
from fovea.registry import Registry
from fovea.transforms.limits import check_settings, limited
from fovea.transforms.op import in_words, plain_settings
from fovea.types import Floats, Ints

Batch = TypeVar("Batch", npt.NDArray[np.uint8], Floats)


@dataclass(frozen=True, slots=True)
class MixInfo:
    """The facts that a mix states of itself.

    Args:
        source: The paper.
    """

    source: str


MIXES: Registry[MixInfo] = Registry("mix", "fovea.transforms.mixes")


@dataclass(frozen=True, kw_only=True)
class Mix(ABC):
    """What all mixes share.

    Args:
        chance: How often a batch is mixed.
        alpha: Of the Beta(alpha, alpha) distribution that the share of the other picture is drawn from: 1 is each share
            as likely, a small one is mostly nearly all of the one or of the other.
    """

    chance: float = limited(1.0, low=0, high=1)
    alpha: float = limited(1.0, low=1e-3, high=1e3)

    def __post_init__(self) -> None:
        check_settings(self, name=self.name)

    @property
    def name(self) -> str:
        """Its name in the registry: the class's, in lower case."""
        return type(self).__name__.lower()

    def settings(self) -> dict[str, Any]:
        """Its settings as JSON values."""
        return plain_settings(self)

    def __str__(self) -> str:
        """Its name with its settings, as in "mixup(chance=1, alpha=0.2)"."""
        return in_words(self.name, self.settings())

    def __call__(self, batch: Batch, targets: Floats, rng: np.random.Generator) -> tuple[Batch, Floats]:
        """Mixes each picture with another of the same batch; one share and one order are drawn for the whole batch.

        The same count of numbers is drawn from `rng` whether the batch is mixed or not.

        Args:
            batch: uint8 or float32 (B, H, W, 3); left as it was.
            targets: float32 (B, K), one-hot or already soft; left as they were.
            rng: Where chance comes from.

        Returns:
            Both, of the same shapes and types. Each row of targets keeps its sum.

        Raises:
            InputError: They do not belong together, or the targets are class numbers.
        """
        _check_batch(batch, targets)
        turn = np.random.default_rng(rng.integers(0, 2**63, 2).tolist())
        if turn.random() >= self.chance:
            return batch.copy(), targets.copy()
        others = turn.permutation(len(batch))
        mixed, share = self.blend(batch, others, float(turn.beta(self.alpha, self.alpha)), turn)
        return mixed, ((1 - share) * targets + share * targets[others]).astype(np.float32)

    @abstractmethod
    def blend(self, batch: Batch, others: Ints, share: float, rng: np.random.Generator) -> tuple[Batch, float]:
        """The mixed pictures, and the share of the others that they really have.

        Args:
            batch: (B, H, W, 3).
            others: (B,): which picture each is mixed with.
            share: Of the others, 0 to 1, as it was drawn.
            rng: For what else is drawn.
        """


def _check_batch(batch: npt.NDArray[np.uint8] | Floats, targets: Floats) -> None:
    if batch.ndim != 4 or batch.shape[3] != 3 or batch.dtype not in (np.uint8, np.float32):
        raise InputError(
            "this is no batch of pictures",
            got=f"{batch.dtype} {batch.shape}",
            expected="uint8 or float32 (B, H, W, 3)",
            fix="stack pictures of one size",
        )
    if targets.ndim != 2 or len(targets) != len(batch) or targets.dtype != np.float32:
        raise InputError(
            "mixing needs a row of class shares for each picture",
            got=f"{targets.dtype} {targets.shape} for {len(batch)} pictures",
            expected=f"float32 ({len(batch)}, K)",
            fix="turn class numbers into rows: np.eye(num_classes, dtype=np.float32)[targets]",
        )
