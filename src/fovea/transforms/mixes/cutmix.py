"""Pictures with a part of another."""

import math
from dataclasses import dataclass

import numpy as np

from fovea.transforms.mix import MIXES, Batch, Mix, MixInfo
from fovea.types import Ints


@MIXES.add(MixInfo(source="arXiv:1905.04899"), name="cutmix")
@dataclass(frozen=True, kw_only=True)
class CutMix(Mix):
    """Each picture receives a rectangle of another, at the same place, and its target the share that is really covered.

    As in the paper: the rectangle has the picture's proportions and the drawn share of its area, its centre lies anywhere,
    and what falls outside the picture is lost.
    """

    def blend(self, batch: Batch, others: Ints, share: float, rng: np.random.Generator) -> tuple[Batch, float]:
        spans = []
        for side, lot in zip(batch.shape[1:3], rng.random(2).tolist(), strict=True):
            half, centre = side * math.sqrt(share) / 2, side * lot
            spans.append(slice(max(0, round(centre - half)), min(side, round(centre + half))))
        mixed = batch.copy()
        mixed[:, spans[0], spans[1]] = batch[others, spans[0], spans[1]]
        covered = (spans[0].stop - spans[0].start) * (spans[1].stop - spans[1].start)
        return mixed, covered / (batch.shape[1] * batch.shape[2])
