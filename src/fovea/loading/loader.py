"""Pictures in batches for training: read, augmented and put together by threads while the model works on the batch before."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fovea.errors import InputError
from fovea.loading.batches import Arrays, Batches
from fovea.loading.parallel import map_ordered, num_threads
from fovea.types import Floats, Ints, TargetArray

if TYPE_CHECKING:
    from fovea.loading.scaling import Scaling
    from fovea.loading.stored import StoredPictures
    from fovea.transforms import Augmentation

_TURN = 8  # pictures a turn of a thread: the threads share a batch, so that the first one comes soon and few are in memory
_MOST_PARTS = 16  # batches whose memory is looked after
_COUNTS_REFERENCES = sys.implementation.name == "cpython" and getattr(sys, "_is_gil_enabled", lambda: True)()
_UNUSED = 2  # references: the list's, and that of the question


@dataclass(frozen=True)
class _Turn:
    """Some pictures of one batch, and where they go."""

    batch: Arrays
    places: Ints
    here: range  # within the batch
    is_last: bool


@dataclass
class _Room:
    """Memory for batches, which is used again when nobody holds any part of what was made in it.

    The system hands out memory page by page, at each page's first use, which takes a sixth of the time of a whole epoch.
    """

    shape: tuple[int, ...]
    is_float: bool
    parts: list[Arrays] = field(default_factory=list)

    def take(self, count: int) -> Arrays:
        """An array of `count` pictures."""
        for place in range(len(self.parts) if _COUNTS_REFERENCES and count <= self.shape[0] else 0):
            if sys.getrefcount(self.parts[place]) == _UNUSED:
                return self.parts[place][:count]
        shape = (max(count, self.shape[0]), *self.shape[1:])
        part: Arrays = np.empty(shape, np.float32) if self.is_float else np.empty(shape, np.uint8)
        self.parts.append(part)
        del self.parts[:-_MOST_PARTS]  # somebody keeps them all
        return part[:count]  # every array that leaves here, and each made of it, holds a reference to the part


class Loader(Batches):
    """Batches of pictures, (B, S, S, 3) in one piece of memory, always made ahead of their use: uint8, or floats where `scaling` says.

    Order, augmentation and pixels depend on the seed, the epoch and the place of a picture in `rows` alone: on no number of
    threads, on no cache, and not on where an epoch was taken up. Threads, not processes: OpenCV, the decoders and numpy's
    copies release Python's lock, so it is the same on every system and in notebooks, and nothing is pickled or copied.

    Args:
        pictures: What is read; at a margin over `size_px` where it is augmented, else exactly of that size.
        rows: Which of them.
        targets: Of all of them, (N,) class numbers, or (N, K) where a target is no single class.
        batch_size: Pictures in a batch.
        size_px: Side of what the model receives.
        augmentation: Drawn anew for each picture in each epoch; None gives the pictures as they are. Where it mixes the
            pictures of a batch, targets are shares of the classes.
        num_classes: Needed where pictures with class numbers are mixed.
        scaling: Gives float32, normalised for the network; without it the network does that itself.
        shuffle: Whether each epoch has an order of its own.
        seed: Of the order and of the augmentation.
        balanced: All classes are drawn equally often.
        threads: By default one for each core.
        prefetch: Batches that are being made, or wait, while one is in use.

    Raises:
        InputError: There is no augmentation, and the pictures have another size; or they are mixed, and a class has no column.
    """

    def __init__(
        self,
        pictures: StoredPictures,
        rows: Ints,
        targets: TargetArray,
        *,
        batch_size: int,
        size_px: int,
        augmentation: Augmentation | None = None,
        num_classes: int = 0,
        scaling: Scaling | None = None,
        shuffle: bool,
        seed: int,
        balanced: bool = False,
        threads: int | None = None,
        prefetch: int = 3,
    ) -> None:
        super().__init__(rows, targets, batch_size=batch_size, shuffle=shuffle, seed=seed, balanced=balanced)
        self.pictures, self.size_px, self.threads, self.prefetch = pictures, size_px, threads or num_threads(), prefetch
        self.scaling, self.num_classes = scaling, num_classes
        self.augmentation = None if augmentation is None or augmentation.is_identity else augmentation
        self.mixing = augmentation if augmentation is not None and augmentation.mixes else None
        if self.mixing and targets.ndim == 1 and not 0 <= int(np.max(targets, initial=0)) < num_classes:
            raise InputError(
                "pictures are mixed, and not every class has a column in their targets",
                got=f"num_classes={num_classes}, class {int(np.max(targets, initial=0))}",
                expected="num_classes above every class number",
                fix="pass the number of classes",
            )
        if self.augmentation is None and pictures.size_px != size_px:
            raise InputError(
                "pictures that are not augmented must have the size that the model receives",
                got=f"{pictures.size_px} px",
                expected=f"{size_px} px",
                fix="pass the pictures of the model's own preprocessing",
            )

    def name_of(self, row: int) -> str:
        return self.pictures.items[row].path

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, TargetArray]]:
        from fovea.transforms.op import chance_of

        def fill(turn: _Turn) -> _Turn:
            for here in turn.here:
                place = int(turn.places[here])
                pixels = self.pictures.read(int(self.rows[place]))
                if self.augmentation is not None:
                    pixels = self.augmentation.pixels(pixels, chance_of(self.seed, epoch, place), self.size_px)
                if self.scaling is not None:
                    self.scaling.into(turn.batch[here], pixels)
                else:
                    turn.batch[here] = pixels
            return turn

        turns_ahead = self.prefetch * -(-self.batch_size // _TURN)
        ahead = max(2, -(-turns_ahead // self.threads))
        number = start_batch
        for turn in map_ordered(fill, self._turns(epoch, start_batch), threads=self.threads, ahead=ahead):
            if turn.is_last:
                targets = self.targets[self.rows[turn.places]]
                yield self._mixed(self.mixing, turn.batch, targets, epoch, number) if self.mixing else (turn.batch, targets)
                number += 1
        self.pictures.flush()

    def _mixed(self, mixing: Augmentation, batch: Arrays, targets: TargetArray, epoch: int, number: int) -> tuple[Arrays, Floats]:
        rng = np.random.default_rng([self.seed, epoch, self.num_examples + number])  # behind those of the pictures
        shares = np.eye(self.num_classes, dtype=np.float32)[targets] if targets.ndim == 1 else targets.astype(np.float32)
        return mixing.mixed(batch, shares, rng)  # type: ignore[type-var]  # either kind of batch, but no mixture of the two

    def _turns(self, epoch: int, start_batch: int) -> Iterator[_Turn]:
        room = _Room((self.batch_size, self.size_px, self.size_px, 3), self.scaling is not None)
        for places in self.places(epoch, start_batch):
            batch = room.take(len(places))
            starts = range(0, len(places), _TURN)
            for start in starts:
                yield _Turn(batch, places, range(start, min(start + _TURN, len(places))), is_last=start == starts[-1])
