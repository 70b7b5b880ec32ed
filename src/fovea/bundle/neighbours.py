"""Some of the pictures that a model was trained on, as it sees them: what an answer is explained with by example."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fovea.bundle.refusal import unit
from fovea.errors import BundleError
from fovea.types import Floats

FILE = "neighbours.npz"
_Arrays = Mapping[str, npt.NDArray[np.generic]]


@dataclass(frozen=True)
class Neighbour:
    """One training picture beside the one that is explained.

    Args:
        path: Its name within the training data.
        label: Its class.
        similarity: Cosine of the two embeddings less the training pictures' mean: 1 the same, 0 no more alike than any two.
        row: Its place among the training pictures that were kept.
    """

    path: str
    label: str
    similarity: float
    row: int

    def to_json(self) -> dict[str, object]:
        return {"path": self.path, "label": self.label, "similarity": self.similarity}


@dataclass(frozen=True)
class Examples:
    """The training pictures that are most alike, nearest first: those of the answer's class, and those of any other."""

    answer: str
    supporting: tuple[Neighbour, ...]
    opposing: tuple[Neighbour, ...]

    def to_json(self) -> dict[str, object]:
        return {
            "answer": self.answer,
            "for": [each.to_json() for each in self.supporting],
            "against": [each.to_json() for each in self.opposing],
        }


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Training embeddings with what they belong to.

    Args:
        embeddings: (M, D), as the shipped model gives them.
        paths, labels: (M,) of the same pictures.
    """

    embeddings: Floats
    paths: tuple[str, ...]
    labels: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.paths)

    def examples(self, embedding: Floats, answer: str, *, count: int = 3) -> Examples:
        """The training pictures that speak for an answer, and those that speak against it.

        Args:
            embedding: (D,) of the picture.
            answer: The class that was answered, or that is asked about.
            count: At most so many of each.
        """
        centre = self.embeddings.mean(axis=0, dtype=np.float64).astype(np.float32)
        alike = unit(self.embeddings - centre) @ unit((embedding - centre)[None])[0]
        nearest = [Neighbour(self.paths[row], self.labels[row], float(alike[row]), int(row)) for row in np.argsort(-alike, kind="stable")]
        return Examples(
            answer,
            tuple([each for each in nearest if each.label == answer][:count]),
            tuple([each for each in nearest if each.label != answer][:count]),
        )

    def some(self, *, most: int = 500, seed: int = 0) -> "Neighbours":
        """Some of the pictures, of each class equally many as far as there are.

        Args:
            most: How many: of 1,280 numbers each, 500 add 1.3 MB to a bundle.
            seed: Draws them.
        """
        order = np.random.default_rng(seed).permutation(len(self))
        turns: dict[str, int] = {}
        turn = []
        for row in order:
            turn.append(turns.get(self.labels[row], 0))
            turns[self.labels[row]] = turn[-1] + 1
        kept = np.sort(order[np.argsort(turn, kind="stable")[:most]])
        return Neighbours(self.embeddings[kept], tuple(self.paths[row] for row in kept), tuple(self.labels[row] for row in kept))

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The content of `neighbours.npz`: half precision, if it can hold them, orders neighbours as single does, in half the bytes."""
        with np.errstate(over="ignore"):
            half = self.embeddings.astype(np.float16)
        return {
            "embeddings": half if np.isfinite(half).all() else self.embeddings,
            "paths": np.array(self.paths),
            "labels": np.array(self.labels),
        }


def read_neighbours(arrays: _Arrays | None, *, path: object, width: int | None = None) -> Neighbours | None:
    """What a bundle brings along to explain by example; None where it brings nothing.

    Args:
        arrays: The content of `neighbours.npz`.
        path: Of the bundle, for messages.
        width: Of the model's embeddings, where it is known.

    Raises:
        BundleError: The file's parts do not belong together or not to the model, or hold what is no number.
    """
    if arrays is None:
        return None
    try:
        embeddings = np.asarray(arrays["embeddings"], np.float32)
        paths, labels = (_texts(arrays[name]) for name in ("paths", "labels"))
        whole = (
            embeddings.ndim == 2
            and len(embeddings) == len(paths) == len(labels) > 0
            and embeddings.shape[1] == (width or embeddings.shape[1])
        )
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole or not np.isfinite(embeddings).all():
        raise BundleError(
            f"{FILE} of the bundle {str(path)!r} is not whole, or of another model",
            got=", ".join(f"{name} {values.shape}" for name, values in arrays.items()) + (", with NaN or infinity" if whole else ""),
            expected=f"finite embeddings (M, {width or 'D'}), paths (M,) and labels (M,)",
            fix="copy the whole bundle again, or train again",
        )
    return Neighbours(embeddings, paths, labels)


def _texts(values: npt.NDArray[np.generic]) -> tuple[str, ...]:
    if values.ndim != 1 or values.dtype.kind != "U":
        raise TypeError("no row of texts")
    return tuple(map(str, values.tolist()))
