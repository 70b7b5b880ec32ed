"""Ways to learn, compared on pictures that they had not learned from, and which of them is taken."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.metrics.intervals import wilson
from fovea.types import Floats, Ints

NUM_NEIGHBOURS = 10
_LUCK = 20  # pictures at which one standard error counts double


@dataclass
class Way:
    """One way to learn, and what came of it on pictures that it had not learned from.

    Args:
        name: In words.
        strategy, backbone, head: As in the settings; a depth stands behind the backbone.
        rows: Of the compared pictures those that it answered.
        right: Whether it was right on each of them.
        loss: Mean log-likelihood loss there, in nats; None where it was not asked.
        seconds: That it took.
        verdict: Why it was taken or not, in words.
    """

    name: str
    strategy: str
    backbone: str
    head: str
    rows: Ints = field(default_factory=lambda: np.zeros(0, np.int64))
    right: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    loss: float | None = None
    seconds: float = 0.0
    verdict: str = ""

    @property
    def accuracy(self) -> float:
        """Share of the pictures that it answered; 0 where it was not asked."""
        return float(self.right.mean()) if len(self.right) else 0.0

    def better_than(self, other: "Way") -> tuple[float, float]:
        """By how much it is right more often on the pictures that both answered, and how much of that may be luck.

        That is one standard error, and more of few pictures: of several ways the luckiest is seen, and ten pictures make one lucky.
        """
        both, mine, theirs = np.intersect1d(self.rows, other.rows, assume_unique=True, return_indices=True)
        if not len(both):
            return 0.0, 0.0
        apart = self.right[mine].astype(np.float64) - other.right[theirs]
        return float(apart.mean()), float(apart.std() / len(both) ** 0.5) * (1 + _LUCK / len(both))

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` and the report have it."""
        n = len(self.right)
        measured = {"accuracy": self.accuracy, "accuracy_ci95": list(wilson(int(self.right.sum()), n)), "loss": self.loss} if n else {}
        return {
            "name": self.name, "strategy": self.strategy, "backbone": self.backbone, "head": self.head, "n": n, **measured,
            "seconds": round(self.seconds, 2), "verdict": self.verdict,
        }  # fmt: skip


def taken(ways: Sequence[Way]) -> Way:
    """The first, and so the simplest, of those that no other is better than by more than one standard error, on the pictures that both answered.

    Each pair is compared on pictures of its own, so that they may beat one another in a circle: then it is the one that is beaten by least.
    """
    beaten = [max(apart - unsure for apart, unsure in (other.better_than(way) for other in ways)) for way in ways]
    return next((way for way, by in zip(ways, beaten, strict=True) if by <= 0), ways[int(np.argmin(beaten))])


def neighbours(vectors: Floats, targets: Ints, groups: Ints, *, k: int = NUM_NEIGHBOURS) -> npt.NDArray[np.bool_]:
    """(N,) whether the k nearest others, by the cosine of standardised vectors, name the right class. Pictures of one group do not count for each other."""
    scaled = (vectors - vectors.mean(0)) / (vectors.std(0) + 1e-6)
    scaled /= np.linalg.norm(scaled, axis=1, keepdims=True) + 1e-12
    hits = []
    for start in range(0, len(scaled), 512):
        part = slice(start, start + 512)
        alike = scaled[part] @ scaled.T
        alike[groups[part][:, None] == groups[None]] = -np.inf
        nearest = np.argpartition(-alike, min(k, len(scaled)) - 1, axis=1)[:, :k]
        weight = np.maximum(np.take_along_axis(alike, nearest, 1), 0)
        votes = np.zeros((len(nearest), int(targets.max()) + 1))
        np.add.at(votes, (np.arange(len(nearest))[:, None], targets[nearest]), weight)
        hits.append(votes.argmax(1) == targets[part])
    return np.concatenate(hits)
