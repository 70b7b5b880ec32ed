"""Examples in batches, in an order that is drawn from the seed and the epoch: what a training loop asks for, and nothing else."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from fovea.types import Floats, Ints, TargetArray

Arrays = npt.NDArray[np.uint8] | Floats  # pictures (B, H, W, 3), or embeddings (B, D)


class Batches(ABC):
    """The `rows` of some data in batches. The same seed gives the same batches, whoever asks for them, and from where on.

    Args:
        rows: Which rows, and in which order where nothing is shuffled.
        targets: Of all rows, (N, ...): the target of row i is `targets[i]`.
        batch_size: Examples in each. A last one that would hold a single example joins its neighbour: batch norm cannot
            learn from one picture.
        shuffle: Whether each epoch has an order of its own.
        seed: Of that order.
        balanced: Each example is drawn by chance, all classes equally often, so that rare ones come again within an epoch. For
            targets that are one class each.
    """

    def __init__(self, rows: Ints, targets: TargetArray, *, batch_size: int, shuffle: bool, seed: int, balanced: bool = False) -> None:
        self.rows, self.targets = np.asarray(rows, np.int64), targets
        self.batch_size, self.shuffle, self.seed, self.balanced = batch_size, shuffle, seed, balanced

    @property
    def num_examples(self) -> int:
        """In an epoch."""
        return len(self.rows)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self.num_examples, self.batch_size)
        return whole + (rest > 1 or (rest == 1 and not whole))

    def places(self, epoch: int, start_batch: int = 0) -> Iterator[Ints]:
        """For each batch from `start_batch` on, the places in `rows` of its examples."""
        count, rng = self.num_examples, np.random.default_rng([self.seed, epoch])
        if self.balanced:
            _, classes, sizes = np.unique(self.targets[self.rows], return_inverse=True, return_counts=True)
            order = rng.choice(count, size=count, p=1 / sizes[classes] / len(sizes))
        else:
            order = rng.permutation(count) if self.shuffle else np.arange(count)
        for batch in range(start_batch, len(self)):
            yield order[batch * self.batch_size : count if batch == len(self) - 1 else (batch + 1) * self.batch_size]

    def names(self, epoch: int, batch: int) -> list[str]:
        """What the examples of one batch are called, in messages."""
        return [self.name_of(int(self.rows[place])) for place in next(self.places(epoch, batch))]

    def name_of(self, row: int) -> str:
        """What one example is called."""
        return f"example {row}"

    @abstractmethod
    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, TargetArray]]:
        """The batches of one epoch, inputs (B, ...) and targets (B, ...), from `start_batch` on: the same rest as without it.

        Targets that were mixed are shares of the classes, float32 (B, K).
        """


class ArrayBatches(Batches):
    """Batches of an array that lies in memory: embeddings, or a few pictures.

    Args:
        inputs: (N, ...).
        rows: By default all.
    """

    def __init__(
        self,
        inputs: Arrays,
        targets: TargetArray,
        rows: Ints | None = None,
        *,
        batch_size: int = 32,
        shuffle: bool = False,
        seed: int = 0,
        balanced: bool = False,
    ) -> None:
        rows = np.arange(len(inputs)) if rows is None else rows
        super().__init__(rows, targets, batch_size=batch_size, shuffle=shuffle, seed=seed, balanced=balanced)
        self.inputs = inputs

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, TargetArray]]:
        for places in self.places(epoch, start_batch):
            rows = self.rows[places]
            taken: Arrays = self.inputs[rows]  # a copy
            yield taken, self.targets[rows]
