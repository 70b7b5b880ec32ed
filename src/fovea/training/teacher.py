"""A student learns from what its teacher says of each varied picture: no labels are needed, and no two epochs are alike."""

import json
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import cv2
import numpy as np
import torch
from torch import nn

from fovea.bundle.bundle import Bundle
from fovea.embeddings.embedder import run_batches
from fovea.errors import writing
from fovea.files import write_json
from fovea.loading.batches import Batches
from fovea.loading.segments import reserve
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.progress import Progress
from fovea.training.checkpoint import VIEWS
from fovea.training.standardise import Standardised
from fovea.types import Floats, Pixels

_OUTPUTS = ("embedding", "probabilities")
_NOTE_S = 60.0  # between two notes: what a kill may cost


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


class Remembered(Batches):
    """The variations of a few epochs, and what the teacher said of them, kept on the disk and shown again and again in new orders.

    To vary a picture and to ask a large teacher takes longer than a step of a small student: of a long training it is then
    done once for each variation, and not once for each time that it is shown. Used in a `with` block, at whose end the files go; where it
    ends early they stay, and the teacher is not asked again about what it has said.

    Args:
        taught: Asked for its epochs 0 to `num_views`.
        num_views: Variations of each picture. Which one an epoch shows differs from picture to picture.
        folder: Where the files are kept.
        key: What they depend on beside the arguments; those of another key are not gone on with.
    """

    def __init__(self, taught: Taught, num_views: int, *, folder: Path, key: str) -> None:
        super().__init__(taught.rows, taught.targets, batch_size=taught.batch_size, shuffle=taught.shuffle, seed=taught.seed)
        self.taught, self.num_views, self.key = taught, num_views, key
        count, side = num_views * taught.num_examples, taught.size_px
        answers = taught.teacher.num_features + taught.teacher.num_classes
        self._note, *places = [folder / name for name in VIEWS]
        self._files: list[BinaryIO] = []
        self._num_known = self._noted() if all(place.exists() for place in places) else 0
        with writing(folder):
            if not self._num_known:
                self._note.unlink(missing_ok=True)  # before what it tells of is written over
            for place, num_bytes in zip(places, (count * side * side * 3, count * answers * 2), strict=True):
                self._files.append(open(place, "r+b" if self._num_known else "w+b"))  # noqa: SIM115 - closed at the end of the block
                reserve(self._files[-1].fileno(), num_bytes)
        self._pixels = np.memmap(self._files[0], np.uint8, "r+", shape=(count, side, side, 3))
        self._answers = np.memmap(self._files[1], np.float16, "r+", shape=(count, answers))

    def __enter__(self) -> Self:
        try:
            self._ask()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        for file in self._files:
            file.close()
        if kind is None:
            for name in VIEWS:
                (self._note.parent / name).unlink(missing_ok=True)

    def _ask(self) -> None:
        noted = time.perf_counter()
        with Progress("asking the teacher", total=len(self._pixels)) as bar:
            for view in range(self.num_views):
                known = max(0, self._num_known - view * len(self))
                bar.advance(min(known * self.batch_size, self.num_examples))
                if known >= len(self):
                    continue
                for places, (pixels, answers) in zip(self.taught.places(view, known), self.taught.epoch(view, known), strict=True):
                    kept = view * self.num_examples + places
                    self._pixels[kept], self._answers[kept] = pixels, answers
                    self._num_known += 1
                    bar.advance(len(places))
                    if time.perf_counter() - noted >= _NOTE_S:
                        self._take_note()
                        noted = time.perf_counter()
        self._take_note()

    def _noted(self) -> int:
        """How many batches an earlier attempt has kept, over all views."""
        try:
            found = json.loads(self._note.read_bytes())
            return int(found["batches"]) if found["key"] == self.key else 0
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def _take_note(self) -> None:
        """What is noted lies on the disk by then."""
        self._pixels.flush()
        self._answers.flush()
        write_json(self._note, {"key": self.key, "batches": self._num_known})

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Pixels, Floats]]:
        for places in self.places(epoch, start_batch):
            kept = (epoch + places) % self.num_views * self.num_examples + places
            yield self._pixels[kept], self._answers[kept].astype(np.float32)

    def name_of(self, row: int) -> str:
        return self.taught.name_of(row)


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
