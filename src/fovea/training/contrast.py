"""Learning without labels: two views of a picture are alike, and unlike those of all others (SimCLR, arXiv:2002.05709)."""

import itertools
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from fovea.loading.batches import Arrays
from fovea.loading.loader import Loader
from fovea.models.modes import evaluating
from fovea.models.network import PixelBackbone
from fovea.types import Ints

_NEVER_LEARNED = 1_000_000  # an epoch beyond all that are learned from
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


def twins_found(body: nn.Module, views: Loader, *, batches: int = 8) -> tuple[int, int]:
    """Of how many pictures the other view is the nearest of its batch, and of how many pictures were asked about.

    By the cosine of embeddings less their mean, in evaluation mode: unlike the share while learning, it can be asked of any weights, also
    of those before any learning.

    Args:
        body: Left as it was found.
        views: `Pairs`, of an epoch from which nothing is learned, the same at each call.
        batches: How many are looked at, at most.
    """
    found = asked = 0
    with evaluating(body), torch.inference_mode():
        for pictures, twins in itertools.islice(views.epoch(_NEVER_LEARNED), batches):
            vectors = body(torch.from_numpy(np.asarray(pictures))).float()
            vectors = F.normalize(vectors - vectors.mean(dim=0), dim=1)
            alike = (vectors @ vectors.T).fill_diagonal_(-2)
            found += int((alike.argmax(dim=1).numpy() == twins)[: len(twins) // 2].sum())
            asked += len(twins) // 2
    return found, asked


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
