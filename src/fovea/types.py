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
TargetArray = Ints | Floats  # what a loss takes: class numbers (N,), shares of the classes (N, K), or numbers (N, K)

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
    points: Floats = field(default_factory=lambda: np.zeros((0, 2), np.float32))  # (P, 2): x y, where boxes have their edges


@dataclass(frozen=True, slots=True)
class Sample:
    """One decoded picture with its targets: what transforms take and give."""

    pixels: Pixels
    path: str = ""
    label: str | None = None
    targets: Targets = field(default_factory=Targets)


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a full decode found out about a picture file, measured once by `data.facts` and kept by the file's content.

    Args:
        width_px, height_px: As people see it (after rotation).
        format, mode: How it was kept, for example "jpeg" and "rgb".
        orientation: EXIF, 1 to 8.
        scale: By what it was shrunk while it was decoded (1, 2, 4 or 8); what follows was measured on that.
        camera: EXIF make and model, or "".
        sharpness: How steep its steepest edges are: about 2.4 for a photo, 0.5 for one that is blurred by 1.5 % of its side.
        colour_spread: Root mean square distance of its colours from their mean, 0 to about 220.
        colourfulness: How far its most colourful hundredth is from grey, 0 to 255.
        border: Mean red, green and blue of its outermost sixteenth.
        hashes: Perceptual hashes of the whole and of parts of it, 8 bytes each.
        thumbnail: (64, 64) grey, uint8; None where it was left in the store.
    """

    width_px: int
    height_px: int
    format: str
    mode: str
    orientation: int
    scale: int
    camera: str
    sharpness: float
    colour_spread: float
    colourfulness: int
    border: tuple[int, int, int]
    hashes: bytes
    thumbnail: npt.NDArray[np.uint8] | None = field(default=None, repr=False, compare=False)


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
