"""The nouns that travel between the stages, and the alphabet of shapes.

    B batch, T frames, C channels, H W pixels, N objects, K classes, D features, L tokens

Pictures are uint8 (H, W, 3) RGB until the model, then float32 (B, C, H, W) in channels-last memory. Boxes are float32
(N, 4): x0 y0 x1 y1 in pixel edges. Masks are uint8 (N, H, W). Fractions are 0 to 1 everywhere but in words for people.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import torch

Pixels = npt.NDArray[np.uint8]  # (H, W, 3) RGB
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True)
class Item:
    """One picture's address and what is known of it before it is decoded.

    Args:
        path: Its name within the source, unique there; what messages and tables show.
        label: The class name, or None where the picture has none (pictures to predict).
        split: Where the data puts it, or None where Fovea decides.
        group: Pictures of one group (patient, camera, burst) never fall into two splits.
    """

    path: str
    label: str | None = None
    split: Split | None = None
    group: str | None = None


@dataclass(frozen=True, slots=True)
class Targets:
    """What a source knows of a picture beyond its class."""

    boxes: Floats = field(default_factory=lambda: np.zeros((0, 4), np.float32))  # (N, 4)
    box_labels: tuple[str, ...] = ()
    masks: npt.NDArray[np.uint8] | None = None  # (N, H, W), 1 on the object


@dataclass(frozen=True, slots=True)
class Sample:
    """One decoded picture with its targets: what transforms take and give."""

    pixels: Pixels
    path: str = ""
    label: str | None = None
    targets: Targets = field(default_factory=Targets)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a full decode found out about a picture file: the sides as people see it (after rotation), and how it was kept."""

    width_px: int
    height_px: int
    format: str
    mode: str
    orientation: int


@dataclass(frozen=True)
class FeatureMaps:
    """A backbone's maps, from fine to coarse, each (B, C_i, H_i, W_i); `Backbone` says how H_i follows from H and the stride."""

    maps: tuple[torch.Tensor, ...]
    strides: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.maps)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.maps[index]


class Prediction(ABC):
    """What a model says of one picture; one final class per task."""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """The fields of `predict --json`, without the path."""

    @abstractmethod
    def describe(self, top: int) -> str:
        """The answer in a few words, with the `top` best alternatives where there are any."""

    @abstractmethod
    def draw(self, pixels: Pixels) -> Pixels:
        """The picture with the answer painted on a copy of it, (H', W', 3)."""
