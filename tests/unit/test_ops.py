"""Every operation sits the public exam, the exam finds what is false, and settings that cannot be are errors."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from fovea.errors import FoveaError, InputError, UnknownName
from fovea.registry import Entry
from fovea.testing.exam import ExamFailed
from fovea.testing.ops import check_op
from fovea.transforms import OPS, Augmentation, Op, create_op
from fovea.transforms import augmentation as augmentation_module
from fovea.transforms.fuse import warp_mask
from fovea.transforms.op import Curve, FloatOp, Geometry, Kind, Lots, OpInfo, PixelOp, generator
from fovea.transforms.steps import Counts, SizePx, Warp, matrix, move_points
from fovea.types import Floats, Pixels, Sample

# what the issue that asked for them names
ASKED = {
    "horizontal_flip", "vertical_flip", "rotation", "shift", "zoom", "shear", "perspective", "random_crop", "centre_crop",
    "random_resized_crop", "scale_jitter", "channel_shift", "custom", "brightness", "contrast", "saturation", "hue", "gamma", "grey",
    "blur", "noise", "jpeg", "occlusion", "erasing", "samplewise", "featurewise", "zca_whitening", "rand_augment", "trivial_augment",
}  # fmt: skip
NAMES = OPS.names()


def picture(height: int = 40, width: int = 50, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def apply(op: Op, pixels: Pixels, seed: int = 0) -> Pixels:
    return Augmentation((op,))(Sample(pixels), np.random.default_rng(seed)).pixels


def only(name: str, **settings: Any) -> Op:
    return create_op(name, chance=1.0, **settings)


# --- the exam


def test_what_was_asked_for_is_there() -> None:
    assert set(NAMES) >= ASKED
    assert len(NAMES) == len(set(NAMES)) >= 35


@pytest.mark.parametrize("name", NAMES)
def test_every_operation_passes_the_exam(name: str) -> None:
    check_op(name)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rotation", {"turn_range": (-0.5, 0.5)}),
        ("rotation", {"turn_range": (0.25, 0.25), "fill": "wrap"}),
        ("zoom", {"part_range": (0.7, 1.5), "keep_proportions": False}),
        ("zoom", {"part_range": (2.5, 4.0)}),  # shrinks by more than two
        ("shift", {"x_range": (-0.3, 0.3), "y_range": (-0.2, 0.2), "fill": "nearest"}),
        ("shear", {"x_range": (-0.1, 0.1), "y_range": (-0.05, 0.05)}),
        ("perspective", {"distortion_range": (0.4, 0.4)}),
        ("random_resized_crop", {"area_range": (0.3, 1.0)}),
        ("scale_jitter", {"short_side_range": (100, 200), "crop_px": 90}),
        ("rand_augment", {"num_ops": 4, "strength": 0.5}),
        ("erasing", {"content": "grey", "area_range": (0.1, 0.2)}),
    ],
)
def test_other_settings_pass_too(name: str, settings: dict[str, Any]) -> None:
    check_op(create_op(name, **settings))


@dataclass(frozen=True, kw_only=True)
class Mirror(Geometry):
    """Mirrors left and right."""

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        return Warp(matrix((-1.0, 0.0, size_px[1]), (0.0, 1.0, 0.0)), size_px)


@dataclass(frozen=True, kw_only=True)
class MovesInSecret(PixelOp):
    """Mirrors the pixels, as an operation that leaves places where they are."""

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        return pixels[:, ::-1]


@dataclass(frozen=True, kw_only=True)
class ShiftsInSecret(PixelOp):
    """Moves the pixels by one."""

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        return np.roll(pixels, 1, axis=1)


@dataclass(frozen=True, kw_only=True)
class ChanceOfItsOwn(PixelOp):
    """Draws from the system."""

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        pixels[0, 0] = np.random.default_rng().integers(0, 256, 3)
        return pixels


@dataclass(frozen=True, kw_only=True)
class Constant(Curve):
    """Draws, and does always the same."""

    num_draws = 1

    def curve(self, values: Floats, counts: Counts, lots: Lots) -> Floats:
        return values / 2


@dataclass(frozen=True, kw_only=True)
class TakesWhatItWants(PixelOp):
    """Draws more numbers when it is applied."""

    def draw(self, rng: np.random.Generator, size_px: SizePx) -> Any:
        steps = super().draw(rng, size_px)
        if steps:
            rng.random()
        return steps

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        return 255 - pixels


@dataclass(frozen=True, kw_only=True)
class OtherSize(PixelOp):
    """Gives a part."""

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        return pixels[2:]


@dataclass(frozen=True, kw_only=True)
class NeverChecks(Geometry):
    """Takes any settings."""

    def __post_init__(self) -> None:
        return

    def warp(self, lots: Lots, size_px: SizePx) -> Warp:
        return Warp(np.eye(3), size_px)


@dataclass(frozen=True, kw_only=True)
class MixesRows(FloatOp):
    """Centres by the mean of the batch."""

    def floats(self, values: Floats) -> Floats:
        return values - values.mean()


@dataclass(frozen=True, kw_only=True)
class WritesIntoItsInput(FloatOp):
    """Saves memory."""

    def floats(self, values: Floats) -> Floats:
        values -= 1
        return values


@contextmanager
def _registered(build: type[Op], kind: Kind, name: str = "") -> Iterator[str]:
    name = name or build().name
    OPS._entries[name] = Entry(name, build, OpInfo(kind, source="none"), "here")
    try:
        yield name
    finally:
        del OPS._entries[name]


def test_a_stranger_passes() -> None:
    with _registered(Mirror, "geometry") as name:
        check_op(name)


@pytest.mark.parametrize(
    ("build", "kind", "message"),
    [
        (MovesInSecret, "pixels", "it moves the picture by"),
        (ShiftsInSecret, "pixels", "it moves the picture by"),
        (ChanceOfItsOwn, "pixels", "gives two results"),
        (Constant, "curve", "seeds give one result"),
        (TakesWhatItWants, "pixels", "how many numbers it draws"),
        (OtherSize, "pixels", "masks are not of its picture's size"),
        (NeverChecks, "geometry", "chance=nan is accepted"),
        (Mirror, "pixels", "it is of kind 'pixels' and is no PixelOp"),
        (MixesRows, "floats", "depend on the rest of its batch"),
        (WritesIntoItsInput, "floats", "it changes its input"),
    ],
)
def test_the_exam_finds_what_is_false(build: type[Op], kind: Kind, message: str) -> None:
    with _registered(build, kind) as name, pytest.raises(ExamFailed) as caught:
        check_op(name)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"operation {name}")


def test_the_exam_sees_targets_that_do_not_follow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points, boxes and masks moved as if the picture's last pixel were its edge: one pixel beside the paint."""

    def beside(points: Floats, forward: Any) -> Floats:
        return move_points(points, forward) - np.array([1, 0], np.float32)

    def mask_beside(mask: Pixels, warp: Warp) -> Pixels:
        return np.roll(warp_mask(mask, warp), -1, axis=1)

    check_op("horizontal_flip")
    monkeypatch.setattr(augmentation_module, "move_points", beside)
    with pytest.raises(ExamFailed, match=r"a point lies [01]\.\d\d px beside its paint"):
        check_op("horizontal_flip")
    monkeypatch.undo()
    boxes = augmentation_module._move_boxes
    monkeypatch.setattr(augmentation_module, "_move_boxes", lambda *args: np.clip(boxes(*args) - np.float32([1, 0, 1, 0]), 0, None))
    with pytest.raises(ExamFailed, match=r"a box lies [01]\.\d\d px beside its painted corners"):
        check_op("horizontal_flip")
    monkeypatch.undo()
    monkeypatch.setattr(augmentation_module, "warp_mask", mask_beside)
    with pytest.raises(ExamFailed, match=r"a mask (lies [01]\.\d\d px beside|leaves) its paint"):
        check_op("horizontal_flip")


# --- settings that cannot be


def check_error(error: FoveaError, *says: str) -> None:
    first, *rest = str(error).split("\n")
    assert [part for part in says if part not in first] == []
    assert [line.split(":")[0].strip() for line in rest] == ["got", "expected", "fix"]
    assert all(part.strip() for part in error.to_json().values())
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("name", "settings", "says", "fix"),
    [
        ("rotation", {"turn_range": (0.2, -0.1)}, "rotation: turn_range is reversed", "turn_range=(-0.1, 0.2)"),
        ("rotation", {"turn_range": (-30, 30)}, "rotation: turn_range cannot reach -30", "allows is -1"),
        ("rotation", {"turn_range": 0.1}, "rotation: turn_range is not a range", "two numbers"),
        ("rotation", {"chance": -0.5}, "rotation: chance cannot be -0.5", "allows is 0"),
        ("rotation", {"chance": 50}, "rotation: chance cannot be 50", "allows is 1"),
        ("rotation", {"chance": math.nan}, "rotation: chance cannot be nan", "a number from 0 to 1"),
        ("rotation", {"fill": "mirror"}, "rotation: fill is none of its choices", "'reflect'"),
        ("zoom", {"part_range": (0, 1.2)}, "zoom: part_range cannot reach 0", "0.05"),
        ("gamma", {"gamma_range": (1.08, 0.9)}, "gamma: gamma_range is reversed", "(0.9, 1.08)"),
        ("posterize", {"bits_range": (4.5, 8)}, "posterize: bits_range cannot reach 4.5", "allows is 4"),
        ("random_crop", {"crop_px": 0}, "random_crop: crop_px cannot be 0", "allows is 1"),
        ("random_crop", {}, "random_crop needs crop_px", "crop_px"),
        ("scale_jitter", {"short_side_range": (200, 512)}, "a crop of 224 px is larger than the smallest picture", "200 or less"),
        ("occlusion", {"greys": (0, 300)}, "occlusion: greys must be levels", "(0, 128, 255)"),
        ("occlusion", {"greys": ()}, "occlusion: greys must be levels", "(0, 128, 255)"),
        ("rotation", {"turns": (0, 1)}, "rotation has no setting 'turns'", "turn_range"),
        ("samplewise", {"centre": False}, "samplewise would do nothing", "centre=True"),
        ("samplewise", {"chance": 0.5}, "samplewise: chance is none of its choices", "1.0"),
        ("featurewise", {"deviation": (1, 0, 1)}, "featurewise: deviation cannot be (1, 0, 1)", "Featurewise.fit"),
        ("featurewise", {"mean": (1, 2)}, "featurewise: mean cannot be (1, 2)", "Featurewise.fit"),
        ("zca_whitening", {}, "zca_whitening must be fitted first", "ZcaWhitening.fit"),
        ("custom", {"function": 3}, "custom needs a function", "my_function"),
        ("rand_augment", {"num_ops": 0}, "rand_augment: num_ops cannot be 0", "allows is 1"),
    ],
)
def test_settings_that_cannot_be(name: str, settings: dict[str, Any], says: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        create_op(name, **settings)
    check_error(caught.value, says)
    assert fix in caught.value.fix


def test_an_unknown_operation_names_the_near_ones() -> None:
    with pytest.raises(UnknownName) as caught:
        create_op("rotate")
    check_error(caught.value, "no augmentation operation is called 'rotate'")
    assert "rotation" in caught.value.fix


@pytest.mark.parametrize(
    ("name", "settings"), [("random_crop", {"crop_px": 51}), ("centre_crop", {"crop_px": 41}), ("occlusion", {"patch_px": 41})]
)
def test_larger_than_the_picture(name: str, settings: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        apply(create_op(name, **settings), picture(40, 50))
    check_error(caught.value, "larger than the picture")
    assert "50 x 40 px" in caught.value.got
    assert "40 px" in caught.value.expected


def test_generators_of_neighbouring_lots_differ() -> None:
    lots = [0.5, np.nextafter(0.5, 1), 0.0, 1 - 2**-53]
    assert len({generator(lot).integers(2**62) for lot in lots}) == 4
