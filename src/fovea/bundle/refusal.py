"""Refusal: whether a picture is like nothing that the model was shown, told by its embedding.

The score is the cosine distance to the k-th nearest of some training embeddings (Sun et al. 2022, arXiv:2204.06507), with their mean taken away
first: what all pictures share says nothing. It was chosen on real photos, beside Mahalanobis distances and scores of the logits:
`benchmarks/questions/refusal.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.errors import BundleError
from fovea.types import Floats

FILE = "refusal.npz"
METHOD = "nearest_neighbours"
_LENGTH = 1e-12  # of a vector that is as good as zero


@dataclass(frozen=True, eq=False)
class Refusal:
    """What tells strange pictures from known ones.

    Args:
        centre: (D,) mean of the training embeddings.
        vectors: (M, D) some of them, less the centre, of length 1.
        k: Which neighbour counts.
        threshold: A picture whose score is larger is refused.
        false_refusal: The share of pictures like the known ones that is refused, as it was asked for.
        n: Validation pictures that set the threshold.
    """

    centre: Floats
    vectors: Floats
    k: int
    threshold: float
    false_refusal: float
    n: int

    def scores(self, embedding: Floats) -> Floats:
        """(B, D) embeddings -> (B,) distances, 0 (the same picture) to 2."""
        near = unit(embedding - self.centre) @ self.vectors.T
        return (1 - np.partition(near, -self.k, axis=1)[:, -self.k]).astype(np.float32)

    def judge(self, embedding: Floats) -> dict[str, npt.NDArray[Any]]:
        """{"refused": (B,) bool} of a model's embeddings."""
        return {"refused": self.scores(embedding) > self.threshold}

    def to_json(self) -> dict[str, Any]:
        """As it stands in `bundle.json` under `refusal`."""
        return {
            "method": METHOD,
            "k": self.k,
            "threshold": self.threshold,
            "false_refusal": self.false_refusal,
            "n": self.n,
            "file": FILE,
        }

    def arrays(self) -> dict[str, Floats]:
        """The content of `refusal.npz`."""
        return {"centre": self.centre, "vectors": self.vectors}


def unit(vectors: Floats) -> Floats:
    """Each row brought to length 1; one of zeros stays."""
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _LENGTH)).astype(np.float32)  # type: ignore[no-any-return]


def read_refusal(said: Mapping[str, Any] | None, arrays: Mapping[str, Floats] | None, *, path: object) -> Refusal | None:
    """What a bundle brings along to refuse with; None where it brings nothing.

    Args:
        said: `refusal` of its `bundle.json`.
        arrays: Of its `refusal.npz`.
        path: The bundle, for the error.

    Raises:
        BundleError: Its parts do not belong together, or are of a kind that is not known here.
    """
    if said is None:
        return None
    if said.get("method") != METHOD:
        raise BundleError(
            f"the bundle {str(path)!r} refuses pictures in a way that this Fovea does not know",
            got=f"method {said.get('method')!r}",
            expected=f"method {METHOD!r}",
            fix="open it with a newer copy of Fovea",
        )
    try:
        numbers = {"threshold": float(said["threshold"]), "false_refusal": float(said["false_refusal"])}
        found = Refusal(arrays["centre"], arrays["vectors"], k=int(said["k"]), n=int(said["n"]), **numbers)  # type: ignore[index]
        whole = found.centre.shape == found.vectors.shape[1:] and 1 <= found.k <= len(found.vectors)
    except (KeyError, TypeError, ValueError, IndexError):
        whole = False
    if not whole:
        raise BundleError(
            f"the bundle {str(path)!r} lacks what it needs to refuse pictures",
            got=f"no whole {FILE}" if arrays is not None else f"no {FILE}",
            expected=f"{FILE} with centre (D,) and vectors (M, D), and k, threshold, false_refusal and n in bundle.json",
            fix="copy the whole bundle again, or train again",
        )
    return found
