"""What every augmentation operation is: settings, chance drawn once, and steps that follow from what was drawn.

An operation is one file in `ops/`: a frozen dataclass that extends one of the five kinds below, registered with its facts.

    @OPS.add(OpInfo("geometry", source="..."), name="rotation")
    @dataclass(frozen=True, kw_only=True)
    class Rotation(FilledGeometry):
        "Turns the picture about its centre."
        num_draws = 1
        turn_range: Range = limited((-0.1, 0.1), low=-1, high=1, unit="of a turn")

        def warp(self, lots, size_px): ...

Chance enters as `num_draws` uniform numbers in [0, 1), the lots. An operation takes the same count of them from the
generator whether it is applied or not, so that what one operation draws never depends on another.
"""

from __future__ import annotations

import functools
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt

from fovea.files import hash_bytes
from fovea.registry import Registry
from fovea.transforms.limits import check_settings, limited, one_of
from fovea.transforms.steps import Counts, Fill, FillMode, MixChannels, Paint, Recolour, SizePx, Step, Warp
from fovea.types import Floats, Pixels

Range = tuple[float, float]
Lots = Sequence[float]
Kind = Literal["geometry", "curve", "channels", "pixels", "floats", "policy"]


@dataclass(frozen=True, slots=True)
class Strength:
    """One row of the tables of RandAugment and TrivialAugment: an operation that grows from nothing to its strongest.

    Args:
        name: As the papers call it, for example "shear_x".
        build: The operation at one strength, in its own unit; it is always applied.
        rand: The strongest value in RandAugment, arXiv:1909.13719.
        trivial: The strongest value in TrivialAugment's wide table, arXiv:2103.10158.
        weakest: The value that changes nothing, or least.
        signed: Whether the value's sign is drawn too.
    """

    name: str
    build: Callable[[float], Op]
    rand: float
    trivial: float
    weakest: float = 0.0
    signed: bool = False


@dataclass(frozen=True, slots=True)
class OpInfo:
    """The facts that an operation states of itself.

    Args:
        kind: What it changes: "geometry" (places), "curve" (each channel's levels), "channels" (each pixel's colour),
            "pixels" (anything else that leaves places where they are), "floats" (to float32, and the same in training,
            validation, test and production), "policy" (other operations, chosen by chance).
        source: The paper, text or library that it follows.
        example: Builds one for the exam, where it cannot be built without settings.
        strengths: How RandAugment and TrivialAugment use it, if they do.
    """

    kind: Kind
    source: str
    example: Callable[[], Op] | None = None
    strengths: tuple[Strength, ...] = ()


Chance = np.random.Generator | random.Random  # where numbers come from

OPS: Registry[OpInfo] = Registry("augmentation operation", "fovea.transforms.ops")


@dataclass(frozen=True, kw_only=True)
class Op(ABC):
    """What all operations share.

    Args:
        chance: How often it is applied, 0 (never) to 1 (always).
    """

    num_draws: ClassVar[int] = 0  # uniform numbers that it needs beside that of its chance

    chance: float = limited(1.0, low=0, high=1)

    def __post_init__(self) -> None:
        for entry in fields(self):
            if isinstance(value := getattr(self, entry.name), list):  # as JSON and YAML give ranges
                object.__setattr__(self, entry.name, tuple(value))
        check_settings(self, name=self.name)

    @property
    def name(self) -> str:
        """Its name in the registry: the class's, in lower case with "_" between words."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__).lower()

    def draw(self, rng: Chance, size_px: SizePx) -> tuple[Step, ...]:
        """Draws once what happens to one picture and all that belongs to it.

        Args:
            rng: `1 + num_draws` uniform numbers are taken from it, whatever they are.
            size_px: The picture's height and width.

        Returns:
            The steps; none where chance says so.

        Raises:
            InputError: A picture of this size cannot be treated so, for example one smaller than the crop.
        """
        first, *lots = uniform(rng, 1 + self.num_draws)
        return self.steps(lots, size_px) if first < self.chance else ()

    @abstractmethod
    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        """What to do to a picture of this size, given `num_draws` uniform numbers: a pure function of the two."""

    def settings(self) -> dict[str, Any]:
        """Its settings as JSON values; arrays and functions as their hash or name."""
        return plain_settings(self)

    def __str__(self) -> str:
        """Its name with its settings, as in "rotation(chance=1, fill=reflect, turn_range=(-0.1, 0.1))"."""
        told = self.settings()
        if told.get("fill") != "constant":
            told.pop("fill_value", None)
        return in_words(self.name, told)


@dataclass(frozen=True, kw_only=True)
class Geometry(Op):
    """Moves places; one that looks outside the picture extends `FilledGeometry`."""

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return (self.warp(lots, size_px),)

    @abstractmethod
    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        """From places in the result to places in the picture; see `Warp`."""


@dataclass(frozen=True, kw_only=True)
class FilledGeometry(Geometry):
    """Moves places, and shows what lies outside the picture.

    Args:
        fill: What is shown there: "reflect", "nearest", "constant" or "wrap"; masks follow, with 0 for "constant".
        fill_value: The grey of "constant".
    """

    fill: FillMode = one_of("reflect", "reflect", "nearest", "constant", "wrap")
    fill_value: int = limited(0, low=0, high=255, whole=True)

    @property
    def filling(self) -> Fill:
        return Fill(self.fill, self.fill_value)


@dataclass(frozen=True, kw_only=True)
class Curve(Op):
    """Changes each channel's levels, whatever the place: at most one table look-up, together with its neighbours."""

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return (Recolour(partial(self._curve, lots)),)

    def _curve(self, lots: Lots, values: Floats, counts: Counts) -> Floats:
        return self.curve(values, counts, lots)

    @abstractmethod
    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        """What the 256 levels of each channel become; see `Recolour`. `values` is not to be written into."""


@dataclass(frozen=True, kw_only=True)
class Channels(Op):
    """Mixes the three channels of each pixel: at most one matrix, together with its neighbours."""

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return (MixChannels(self.mix(lots)),)

    @abstractmethod
    def mix(self, lots: Lots) -> npt.NDArray[np.float64]:
        """(3, 4): new channels from the old ones and 1, in levels."""


@dataclass(frozen=True, kw_only=True)
class PixelOp(Op):
    """Changes pixels in any way that leaves places, and the size, as they are: boxes, masks and points stay."""

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return (Paint(partial(self._paint, lots)),)

    def _paint(self, lots: Lots, pixels: Pixels) -> Pixels:
        return self.paint(pixels, lots)

    @abstractmethod
    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        """uint8 (H, W, 3) -> the same shape; `pixels` is its own and may be written into and returned."""


@dataclass(frozen=True, kw_only=True)
class FloatOp(Op):
    """Brings finished pictures to float32, the same way in training, validation, test and production.

    Pictures are uint8 until they are batches, so it makes no step: `Augmentation.floats` applies it to a batch, of any
    split, and it can only stand at the end of an augmentation.
    """

    chance: float = one_of(1.0, 1.0, 0.0)  # a picture that is centred now and then would be two different inputs

    def __str__(self) -> str:
        return f"{super().__str__()}, as floats, in every split"

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return ()

    @abstractmethod
    def floats(self, values: Floats) -> Floats:
        """float32 (B, H, W, 3) in levels -> the same shape; `values` is not to be written into."""


def pick(bounds: Range, lot: float) -> float:
    """The number that lies the share `lot` of the way through a range."""
    low, high = bounds
    return low + lot * (high - low)


def pick_whole(low: int, high: int, lot: float) -> int:
    """One of low, low + 1, ..., high, each as likely."""
    return low + min(int(lot * (high - low + 1)), high - low)


def chance_of(*key: int) -> random.Random:
    """Chance for one picture, from the numbers that name it: the same wherever and whenever it is drawn.

    Python's generator and not numpy's, which takes four times as long to be made anew for each picture.
    """
    return random.Random(functools.reduce(lambda found, number: found << 64 | number % 2**64, key, 1))


def uniform(rng: Chance, count: int) -> list[float]:
    """`count` numbers in [0, 1)."""
    return [rng.random() for _ in range(count)] if isinstance(rng, random.Random) else rng.random(count).tolist()


def generator(lot: float) -> np.random.Generator:
    """A generator of its own for an operation that needs many numbers, from one of its lots."""
    return np.random.Generator(np.random.SFC64(int(lot * 2**53)))


def plain_settings(settings: Any) -> dict[str, Any]:
    """The fields of a dataclass as JSON values; arrays and functions as their hash or name."""
    return {entry.name: _plain(getattr(settings, entry.name)) for entry in fields(settings)}


def in_words(name: str, settings: Mapping[str, object]) -> str:
    """As in "rotation(chance=1, turn_range=(-0.1, 0.1))"."""
    return f"{name}({', '.join(f'{key}={_words(value)}' for key, value in settings.items())})"


def _words(value: object) -> str:
    if isinstance(value, list):
        return f"({', '.join(map(_words, value))})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _plain(value: object) -> Any:
    if isinstance(value, np.ndarray):
        return hash_bytes(str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
    if isinstance(value, Op):
        return {"name": value.name, **value.settings()}
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if callable(value):
        return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"
    return value
