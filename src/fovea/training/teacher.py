"""A student learns from what its teacher says of each varied picture: no labels are needed, and no two epochs are alike."""

from collections import deque
from collections.abc import Iterable, Iterator

import cv2
import numpy as np
import torch
from torch import nn

from fovea.bundle.bundle import Bundle
from fovea.embeddings.embedder import run_batches
from fovea.loading.batches import Batches
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.training.standardise import Standardised
from fovea.types import Floats, Pixels

_OUTPUTS = ("embedding", "probabilities")


class Teacher:
    """A bundle that answers for pictures of its own size: (B, S, S, 3) -> (B, D + K), its embedding at deviation 1, then its probabilities.

    Args:
        bundle: The trained network.
        pictures: Some batches, to learn how far its embedding spreads.
    """

    def __init__(self, bundle: Bundle, pictures: Batches) -> None:
        self.bundle = bundle
        self.size_px = bundle.info.preprocessing.size_px
        shown = (at_size(pixels, self.size_px) for pixels, _ in pictures.epoch(0))  # type: ignore[arg-type]
        self.scale = Standardised(np.concatenate([embedding for embedding, _ in run_batches(bundle.engine, shown, _OUTPUTS)]))
        self.num_features, self.num_classes = len(self.scale.mean), len(bundle.class_names)

    def answers(self, pictures: Iterable[Pixels]) -> Iterator[Floats]:
        """For each batch of pictures, in order."""
        for embedding, probabilities in run_batches(self.bundle.engine, pictures, _OUTPUTS):
            yield np.concatenate([self.scale.apply(embedding), probabilities], axis=1)


class Taught(Batches):
    """Batches of pictures at the student's size, each with what the teacher says of that very picture.

    Args:
        views: Pictures at the larger of the two sizes, varied or not.
        teacher: Answers.
        size_px: The student's.
    """

    def __init__(self, views: Batches, teacher: Teacher, size_px: int) -> None:
        super().__init__(views.rows, views.targets, batch_size=views.batch_size, shuffle=views.shuffle, seed=views.seed)
        self.views, self.teacher, self.size_px = views, teacher, size_px

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Pixels, Floats]]:
        seen: deque[Pixels] = deque()  # what the teacher is looking at

        def shown() -> Iterator[Pixels]:
            for pixels, _ in self.views.epoch(epoch, start_batch):
                seen.append(at_size(pixels, self.size_px))  # type: ignore[arg-type]
                yield at_size(pixels, self.teacher.size_px)  # type: ignore[arg-type]

        for answers in self.teacher.answers(shown()):
            yield seen.popleft(), answers

    def name_of(self, row: int) -> str:
        return self.views.name_of(row)


class Student(nn.Module):
    """A network that also guesses its teacher's embedding: uint8 (B, S, S, 3) -> (B, D + K). The guess is for learning alone."""

    def __init__(self, body: PixelBackbone, *, num_features: int, num_classes: int) -> None:
        super().__init__()
        own = body.backbone.num_features
        self.network = Network(body, LinearHead(own, num_classes, 0.0))
        self.guess = nn.Linear(own, num_features)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        embedding, logits = self.network.answers(pixels)
        return torch.cat([self.guess(embedding), logits], dim=1)


def at_size(pixels: Pixels, size_px: int) -> Pixels:
    """(B, S, S, 3) -> (B, size_px, size_px, 3), averaged over areas where it is made smaller."""
    if pixels.shape[1] == size_px:
        return pixels
    way = cv2.INTER_AREA if size_px < pixels.shape[1] else cv2.INTER_LINEAR
    return np.stack([cv2.resize(picture, (size_px, size_px), interpolation=way) for picture in pixels]).astype(np.uint8, copy=False)
