"""Learning without labels: two views of a picture are alike, and unlike those of all others (SimCLR, arXiv:2002.05709)."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fovea.loading.batches import Arrays
from fovea.loading.loader import Loader
from fovea.models.network import PixelBackbone
from fovea.types import Ints

_WIDTH = 128  # of the vectors that are compared; what is kept lies before them


class Pairs(Loader):
    """Every picture twice in a batch, in two views: (2B, S, S, 3), the first views and then the second ones in the same order.

    `rows` holds the rows twice, one after the other, and `batch_size` counts views. A target is the place, in the batch, of the other view.
    """

    def places(self, epoch: int, start_batch: int = 0) -> Iterator[Ints]:
        half, pairs = len(self.rows) // 2, self.batch_size // 2
        order = np.random.default_rng([self.seed, epoch]).permutation(half)
        for batch in range(start_batch, len(self)):
            chosen = order[batch * pairs : half if batch == len(self) - 1 else (batch + 1) * pairs]
            yield np.concatenate([chosen, chosen + half])

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, Ints]]:
        for views, _ in super().epoch(epoch, start_batch):
            here = np.arange(len(views))
            yield views, np.roll(here, len(views) // 2)


class Contrast(nn.Module):
    """Views (2B, S, S, 3) -> how alike each is to each other one, (2B, 2B): logits of which one is its twin.

    Args:
        body: What is learned.
        temperature: Divides the cosines; small ones look at the nearest strangers alone.
    """

    def __init__(self, body: PixelBackbone, *, temperature: float) -> None:
        super().__init__()
        self.body, self.temperature = body, temperature
        width = body.backbone.num_features
        self.project = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, _WIDTH))

    def forward(self, views: torch.Tensor) -> torch.Tensor:
        vectors = F.normalize(self.project(self.body(views)).float(), dim=1)
        alike = vectors @ vectors.T / self.temperature
        return alike.masked_fill(torch.eye(len(views), dtype=torch.bool, device=alike.device), -1e4)  # nothing is its own twin
