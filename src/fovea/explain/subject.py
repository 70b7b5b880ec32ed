"""What is explained: pictures in, one score out, and what lies between, as far as it can be seen."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import cv2
import numpy as np

from fovea.types import Floats

# What a method may need beyond scores: the maps of a layer; gradients (torch); the weights of a head that reads the maps'
# means; attention between the places of a picture; ReLUs.
Need = Literal["maps", "gradients", "pooled_head", "attention", "relus"]

Margins = tuple[tuple[int, int], tuple[int, int]]
NO_MARGINS: Margins = ((0, 0), (0, 0))
_RIM = 0.9  # of the outermost cell's heat at the rim itself: less than at its middle, so that the hottest place is there
TURN = 16  # pictures that are answered at once


class Subject(ABC):
    """A model as the methods see it. It answers as in production (eval mode) and is left exactly as it was found.

    Pictures are (B, H, W, 3): uint8 RGB as `Preprocessing.apply` gives them, or float32 that the model takes as they are.

    Args (of the class):
        offers: What it can give beyond scores.
        layer: Whose maps are meant, by name; "" where there are none.
        notes: What was chosen and why, in plain sentences.
        class_names: Of the outputs, in their order; empty where nobody has named them.
        margins_px: How many pixels of the picture lie under no cell of the maps, ((top, bottom), (left, right)): some, where convolutions
            are not padded.
    """

    offers: frozenset[Need] = frozenset()
    layer: str = ""
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    margins_px: Margins = NO_MARGINS

    @abstractmethod
    def scores(self, pictures: Any, target: int) -> Floats:
        """(B, H, W, 3) -> (B,): the score of `target` for each picture, before softmax where there is one."""

    @abstractmethod
    def answer(self, pictures: Any) -> Floats:
        """(B, H, W, 3) -> (B, K): what the model says, as people read it (probabilities, for a classifier)."""

    def find(self, pixels: Any) -> None:  # noqa: B027 - nothing to find is the usual case
        """Whatever has to be found out with a picture before `offers` is known; raises InputError where a wish cannot be met."""

    def first(self, pixels: Any) -> tuple[Floats, Callable[[int], float]]:
        """One picture (H, W, 3) -> its answers (K,), and its score for any target. What was looked at is kept until `forget`."""
        return self.answer(pixels[None])[0], lambda target: float(self.scores(pixels[None], target)[0])

    def forget(self) -> None:  # noqa: B027 - as is nothing to forget
        """Lets go of the picture that `first` was asked about."""

    def maps(self, pictures: Any) -> Floats:
        """(B, H, W, 3) -> (B, C, h, w): the maps of `layer`, where the subject offers "maps"."""
        raise NotImplementedError(f"{type(self).__name__} shows no maps")

    def pooled_head(self, target: int) -> Floats:
        """(C,): by how much each map's mean raises the score of `target`, where the subject offers "pooled_head"."""
        raise NotImplementedError(f"{type(self).__name__} has no head that reads the maps' means")

    def name_of(self, target: int) -> str:
        """What an output is called."""
        return self.class_names[target] if target < len(self.class_names) else f"output {target}"

    def top(self, answer: Floats, count: int) -> list[tuple[str, float]]:
        """The largest answers of one picture, (K,), with their names."""
        order: Sequence[int] = (-answer).argsort(kind="stable")[:count].tolist()
        return [(self.name_of(index), float(answer[index])) for index in order]


def spread(cells: Floats, height: int, width: int, margins_px: Margins = NO_MARGINS) -> Floats:
    """(h, w) -> (H, W), bilinear, each cell where its middle looks; into the margins, which the outermost see too, it reaches, a little fainter."""
    (top, bottom), (left, right) = margins_px
    seen_px = height - top - bottom, width - left - right
    inner = np.asarray(cv2.resize(cells, seen_px[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    if margins_px == NO_MARGINS:
        return inner
    rows, columns = (
        np.pad(np.ones(side), ends, mode="linear_ramp", end_values=_RIM) for side, ends in zip(seen_px, margins_px, strict=True)
    )
    return np.pad(inner, margins_px, mode="edge") * np.outer(rows, columns).astype(np.float32)
