"""Pictures laid over each other."""

from dataclasses import dataclass

import cv2
import numpy as np

from fovea.transforms.limits import limited
from fovea.transforms.mix import MIXES, Batch, Mix, MixInfo
from fovea.types import Ints


@MIXES.add(MixInfo(source="arXiv:1710.09412"), name="mixup")
@dataclass(frozen=True, kw_only=True)
class MixUp(Mix):
    """Each picture becomes a weighted sum of itself and another, and its target the same sum of both targets.

    As in the paper, one share for the batch, and the other pictures are the batch in another order.
    """

    alpha: float = limited(0.2, low=1e-3, high=1e3)  # the paper's for ImageNet

    def blend(self, batch: Batch, others: Ints, share: float, rng: np.random.Generator) -> tuple[Batch, float]:
        mixed = np.empty_like(batch)
        for row, other in enumerate(others):
            cv2.addWeighted(batch[row], 1 - share, batch[other], share, 0.0, dst=mixed[row])
        return mixed, share
