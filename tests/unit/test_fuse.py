"""One warp in place of several: the same places, and a better picture."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from fovea.transforms import Augmentation, Op, create_op
from fovea.transforms.fuse import carry_out, fuse, warp_pixels
from fovea.transforms.preprocessing import square
from fovea.transforms.steps import Fill, MixChannels, Paint, Recolour, Step, Warp, matrix, move_points
from fovea.types import Floats, Pixels, Sample, Targets

SIDE = 200
CHAINS: dict[str, list[Op]] = {
    "light": [create_op("horizontal_flip"), create_op("rotation"), create_op("zoom")],
    "all": [
        create_op("rotation", turn_range=(-0.05, 0.05)),
        create_op("shift", x_range=(-0.05, 0.05), y_range=(-0.05, 0.05)),
        create_op("shear", x_range=(-0.02, 0.02)),
        create_op("zoom", part_range=(0.9, 1.1), keep_proportions=False),
        create_op("vertical_flip"),
        create_op("perspective", distortion_range=(0.0, 0.1)),
    ],
    "crops": [create_op("rotation"), create_op("random_crop", crop_px=170), create_op("random_resized_crop", area_range=(0.5, 1.0))],
}


def drawn(ops: Sequence[Op], seed: int, size_px: tuple[int, int] = (SIDE, SIDE)) -> list[Step]:
    return Augmentation(tuple(ops)).draw(np.random.default_rng(seed), size_px)


def kinds(steps: Sequence[Step]) -> list[str]:
    return [type(step).__name__ for step in steps]


def spots() -> tuple[Floats, list[Pixels]]:
    """A painted grid of places, each as a soft spot on a picture of its own channel."""
    places = np.array([[x, y] for x in (70.5, 100.2, 130.1) for y in (69.8, 100.7, 131.0)], np.float32)
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    layers = [255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 3.0**2)) for x, y in places]
    canvases = [np.rint(np.stack(layers[i : i + 3], axis=2)).astype(np.uint8) for i in range(0, 9, 3)]
    return places, canvases


def centres(canvases: Sequence[Pixels]) -> npt.NDArray[np.float64]:
    """(9, 2): where the spots are; NaN for one that is cut off."""
    found = []
    for canvas in canvases:
        for channel in range(3):
            rows, columns = np.nonzero(canvas[:, :, channel] >= 100)
            weights = canvas[rows, columns, channel].astype(float)
            whole = (
                len(rows)
                and rows.min() > 0
                and rows.max() < canvas.shape[0] - 1
                and columns.min() > 0
                and columns.max() < canvas.shape[1] - 1
            )
            found.append([(columns + 0.5) @ weights / weights.sum(), (rows + 0.5) @ weights / weights.sum()] if whole else [np.nan, np.nan])
    return np.array(found)


# --- the same places


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("size_px", [None, 180, 64])
def test_the_fused_warp_agrees_with_one_by_one(name: str, size_px: int | None) -> None:
    """A painted grid, boxes and masks, to within half a pixel of the result."""
    result_px = (size_px, size_px) if size_px else None
    places, canvases = spots()
    compared = 0
    for seed in range(12):
        steps = drawn(CHAINS[name], seed)
        fused = fuse(steps, (SIDE, SIDE), result_px)
        one_by_one = [*steps, *fuse([], steps[-1].size_px if isinstance(steps[-1], Warp) else (SIDE, SIDE), result_px)]
        assert kinds(fused) == ["Warp"]
        assert len(one_by_one) >= 2
        together = centres([carry_out(fused, canvas) for canvas in canvases])
        apart = centres([carry_out(one_by_one, canvas) for canvas in canvases])
        both = ~np.isnan(together).any(axis=1) & ~np.isnan(apart).any(axis=1)
        compared += int(both.sum())
        assert np.abs(together - apart)[both].max() <= 0.5
        [warp] = [step for step in fused if isinstance(step, Warp)]
        assert np.abs(together - move_points(places, np.linalg.inv(warp.matrix)))[both].max() <= 0.5
    assert compared >= 60


@pytest.mark.parametrize("name", CHAINS)
def test_boxes_and_masks_agree_with_one_by_one(name: str) -> None:
    """A painted ellipse and its box, moved by one operation after the other, lie where one warp puts the mask and the box."""
    mask = np.zeros((1, SIDE, SIDE), np.uint8)
    cv2.ellipse(mask[0], (100, 90), (32, 18), 25, 0, 360, 1, cv2.FILLED)
    rows, columns = np.nonzero(mask[0])
    box = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)
    corners = box[0][[0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    sample = Sample(np.repeat(255 * mask[0][:, :, None], 3, axis=2), targets=Targets(box, ("ellipse",), mask, corners))
    whole = 0
    for seed in range(12):
        steps = drawn(CHAINS[name], seed)
        moved = Augmentation(tuple(CHAINS[name]))(sample, np.random.default_rng(seed))
        paint = (carry_out(steps, sample.pixels)[:, :, 0] >= 128).astype(np.uint8)
        points = corners
        for step in steps:
            assert isinstance(step, Warp)
            points = move_points(points, np.linalg.inv(step.matrix))
        expected = np.concatenate([points.min(axis=0), points.max(axis=0)])
        limits = np.array([*moved.pixels.shape[1::-1]] * 2)
        np.testing.assert_allclose(moved.targets.boxes[0], np.clip(expected, 0, limits), atol=1e-3)
        [together] = [] if moved.targets.masks is None else moved.targets.masks
        rim = cv2.morphologyEx(paint, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        assert not ((together != paint) & ~rim).any()
        off = np.argwhere(together).mean(axis=0) - np.argwhere(paint).mean(axis=0)
        assert np.abs(off).max() <= 0.5
        whole += bool((expected[:2] >= 0).all() and (expected[2:] <= limits[2:]).all())
    assert whole >= 8


# --- a better picture


def waves(places: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A picture as a function of places (..., 2), with detail down to 4 px: (..., 3) in 0..255."""
    rng = np.random.default_rng(3)
    total = np.zeros((*places.shape[:-1], 3))
    for _ in range(24):
        length, angle, phase = np.exp(rng.uniform(np.log(4), np.log(40))), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi, 3)
        along = places @ np.array([np.cos(angle), np.sin(angle)]) * (2 * np.pi / length)
        total += np.sin(along[..., None] + phase)
    return np.clip(128 + 16 * total, 0, 255)


def supersampled(size_px: tuple[int, int], backward: npt.NDArray[np.float64], times: int = 4) -> npt.NDArray[np.float64]:
    """The true picture: `times` x `times` looks at the function within each pixel."""
    height, width = size_px
    rows, columns = (np.mgrid[: height * times, : width * times] + 0.5) / times
    seen = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ backward.T
    fine = waves(seen[..., :2] / seen[..., 2:])
    return fine.reshape(height, times, width, times, 3).mean(axis=(1, 3))


def psnr(pixels: Pixels, truth: npt.NDArray[np.float64]) -> float:
    inner = slice(4, -4)  # the picture's own edge is no question of interpolation
    return float(10 * np.log10(255**2 / np.mean((pixels[inner, inner] - truth[inner, inner]) ** 2)))


def test_one_interpolation_looks_better() -> None:
    """Against the truth, sampled 4 x 4 times a pixel: at least 3 dB better each time."""
    side = 96
    picture = np.rint(supersampled((side, side), np.eye(3))).astype(np.uint8)
    ops = [
        create_op("rotation", turn_range=(-0.05, 0.05)),
        create_op("zoom", part_range=(0.6, 0.7)),  # so that nothing is filled, which has no truth
        create_op("shift", x_range=(-0.03, 0.03), y_range=(-0.03, 0.03)),
        create_op("shear", x_range=(-0.01, 0.01)),
    ]
    gains = []
    for seed in range(4):
        steps = drawn(ops, seed, (side, side))
        [fused] = fuse(steps, (side, side))
        assert isinstance(fused, Warp)
        truth = supersampled((side, side), fused.matrix)
        gains.append(psnr(carry_out([fused], picture), truth) - psnr(carry_out(steps, picture), truth))
    assert min(gains) > 3, gains


def test_shrinking_averages_first() -> None:
    """A fine chequerboard shrunk by 3 and turned is grey, not a new pattern."""
    board = np.repeat((255 * (np.indices((300, 300)).sum(axis=0) % 2)).astype(np.uint8)[:, :, None], 3, axis=2)
    op = create_op("rotation", turn_range=(0.05, 0.05))
    shrunk = Augmentation((op,)).pixels(board, np.random.default_rng(0), 100)
    assert np.abs(shrunk[5:-5, 5:-5].astype(int) - 128).max() <= 30
    plain = cv2.warpAffine(
        board,
        fuse(drawn([op], 0, (300, 300)), (300, 300), (100, 100))[0].matrix[:2],
        (100, 100),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )  # type: ignore[union-attr]
    assert np.abs(plain[20:-20, 20:-20].astype(int) - 128).max() > 100  # which is what it prevents


@pytest.mark.parametrize("factor", [2.5, 5.0, 9.3])
@pytest.mark.parametrize("inside", [True, False])
def test_shrinking_keeps_places(factor: float, inside: bool) -> None:
    """Also where only a part is looked at, and where the sides are no multiples of the factor."""
    rows, columns = np.mgrid[:701, :903]
    ramp = np.stack([columns / 4, rows / 4, columns * 0], axis=2).astype(np.uint8)
    angle, start = 0.3, 200.0 if inside else -30.0
    backward = matrix(
        (factor * np.cos(angle), -factor * np.sin(angle), start + 100), (factor * np.sin(angle), factor * np.cos(angle), start)
    )
    side = int(300 / factor)
    result = warp_pixels(ramp, Warp(backward, (side, side), Fill("nearest"))).astype(float)
    seen = np.stack([*np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5), np.ones((side, side))], axis=-1) @ backward.T
    within = (seen[..., 0] > 20) & (seen[..., 1] > 20) & (seen[..., 0] < 880) & (seen[..., 1] < 680)
    assert within.sum() > side * side / 4
    off = np.abs(result[..., :2] * 4 + 2 - seen[..., :2])[within]  # a level is 4 px, and was cut off
    assert off.max() <= 0.5 * factor + 3


# --- how steps come together


def test_neighbours_become_one() -> None:
    blur, light = create_op("blur", sigma_range=(1, 1)), create_op("brightness")
    colours = [light, create_op("gamma"), create_op("saturation"), create_op("hue"), create_op("contrast")]
    always = [create_op("rotation"), create_op("horizontal_flip", chance=1.0)]
    assert kinds(fuse(drawn([*always, *colours], 0), (SIDE, SIDE))) == ["Warp", "Recolour", "MixChannels", "Recolour"]
    mixed = [always[0], light, always[1], light]
    assert kinds(fuse(drawn(mixed, 0), (SIDE, SIDE))) == ["Warp", "Recolour"]  # geometry goes before colour
    assert kinds(fuse(drawn([*mixed, blur, *mixed], 0), (SIDE, SIDE))) == ["Warp", "Recolour", "Paint", "Warp", "Recolour"]
    assert fuse([], (SIDE, SIDE)) == []


def test_the_stretch_joins_the_last_warp() -> None:
    blur, turn = create_op("blur"), create_op("rotation")

    def sizes(*ops: Op) -> list[tuple[str, Any]]:
        return [(type(step).__name__, getattr(step, "size_px", None)) for step in fuse(drawn(ops, 0), (SIDE, SIDE), (90, 90))]

    assert sizes(turn, blur) == [("Warp", (90, 90)), ("Paint", None)]
    assert sizes(blur, turn) == [("Paint", None), ("Warp", (90, 90))]
    assert sizes(turn, blur, turn) == [("Warp", (SIDE, SIDE)), ("Paint", None), ("Warp", (90, 90))]
    assert sizes(blur) == [("Warp", (90, 90)), ("Paint", None)]
    assert sizes(create_op("random_crop", crop_px=90)) == [("Warp", (90, 90))]
    assert fuse([], (90, 90), (90, 90)) == []


def test_fills_that_differ_stay_apart() -> None:
    turn, slide = create_op("rotation", fill="reflect"), create_op("shift", fill="wrap")
    assert kinds(fuse(drawn([turn, slide], 0), (SIDE, SIDE))) == ["Warp", "Warp"]
    crop = create_op("random_crop", crop_px=100)
    assert kinds(fuse(drawn([crop, turn, crop.__class__(crop_px=90), turn], 0), (SIDE, SIDE))) == ["Warp"]


def test_a_constant_fill_keeps_its_colour() -> None:
    """What is filled before a curve goes through it, and what is filled after does not: as one by one."""
    dark, slide = create_op("invert"), create_op("shift", x_range=(0.5, 0.5), y_range=(0, 0), fill="constant", fill_value=10)
    pixels = np.full((40, 40, 3), 100, np.uint8)
    for ops, filled in (([slide, dark], 245), ([dark, slide], 10)):
        steps = drawn(ops, 0, (40, 40))
        together = carry_out(fuse(steps, (40, 40)), pixels)
        assert np.array_equal(together, carry_out(steps, pixels))
        assert together[:, :20].min() == together[:, :20].max() == filled
        assert together[:, 20:].min() == together[:, 20:].max() == 155


def test_curves_are_rounded_once() -> None:
    """A table that follows from all curves: darkened to a tenth and lightened again, all levels are still there."""
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 4, 3))
    steps = drawn([create_op("brightness", factor_range=(0.1, 0.1)), create_op("brightness", factor_range=(10, 10))], 0, (256, 4))
    assert np.array_equal(carry_out(fuse(steps, (256, 4)), ramp), ramp)
    assert len(np.unique(carry_out(steps, ramp))) == 27  # one by one, nine of ten are lost


@pytest.mark.parametrize("seed", range(5))
def test_fused_colours_agree_with_one_by_one(seed: int) -> None:
    """Up to the roundings in between (and, for mixes of channels, where nothing is clipped in between)."""
    for names, low, high in (
        (["brightness", "contrast", "gamma", "channel_shift", "auto_contrast", "contrast"], 0, 256),
        (["saturation", "hue", "grey", "saturation"], 100, 156),
    ):
        pixels = np.random.default_rng(seed).integers(low, high, (SIDE, SIDE, 3), np.uint8)
        steps = drawn([create_op(name) for name in names], seed)
        fused = fuse(steps, (SIDE, SIDE))
        assert len(fused) == 1 < len(steps)
        assert np.abs(carry_out(fused, pixels).astype(int) - carry_out(steps, pixels)).max() <= 5


def test_mixes_of_channels_keep_their_order() -> None:
    rng = np.random.default_rng(0)
    first, second = (np.concatenate([rng.uniform(0, 0.33, (3, 3)), rng.uniform(0, 40, (3, 1))], axis=1) for _ in range(2))
    pixels = rng.integers(0, 256, (20, 20, 3), np.uint8)
    [fused] = fuse([MixChannels(first), MixChannels(second)], (20, 20))
    expected = (pixels @ first[:, :3].T + first[:, 3]) @ second[:, :3].T + second[:, 3]
    assert np.abs(carry_out([fused], pixels) - expected).max() <= 0.75  # OpenCV counts in whole numbers there


def test_steps_of_every_kind_leave_their_input_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    before = pixels.copy()
    pixels.setflags(write=False)

    def scribble(own: Pixels) -> Pixels:
        own[:] = 0
        return own

    for step in (
        Paint(scribble),
        Recolour(lambda values, counts: 255 - values),
        MixChannels(np.ones((3, 4)) / 4),
        Warp(matrix((1, 0, 3.5), (0, 1, 0)), (30, 40), Fill("wrap")),
    ):
        assert not np.array_equal(carry_out([step], pixels), before)
        assert np.array_equal(pixels, before)
    assert not np.may_share_memory(carry_out([], pixels), pixels)


# --- one warp, whatever it is asked


def test_the_whole_picture_is_what_validation_sees() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (210, 333, 3), np.uint8)
    for side in (64, 180, 400):
        assert np.array_equal(Augmentation().pixels(pixels, np.random.default_rng(0), side), square(side).apply(pixels))
        mirrored = Augmentation((create_op("horizontal_flip", chance=1.0),)).pixels(pixels, np.random.default_rng(0), side)
        assert np.array_equal(mirrored, square(side).apply(pixels)[:, ::-1])


@pytest.mark.parametrize("fill", ["reflect", "nearest", "constant", "wrap"])
@pytest.mark.parametrize("far", [-20.0, -350.0, 3000.0])
@pytest.mark.parametrize("corner", [0.0, 0.0008])
def test_a_warp_is_opencvs(fill: Any, far: float, corner: float) -> None:
    """Four channels and a margin laid around the picture give what OpenCV gives without, near the picture and far away."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 280, 3), np.uint8)
    backward = matrix((0.6, 0.1, far), (-0.15, 0.7, 30), (corner, 0, 1))
    found = warp_pixels(pixels, Warp(backward, (400, 500), Fill(fill, 33)))
    half = matrix((1, 0, 0.5), (0, 1, 0.5))
    borders = {"reflect": cv2.BORDER_REFLECT, "nearest": cv2.BORDER_REPLICATE, "constant": cv2.BORDER_CONSTANT, "wrap": cv2.BORDER_WRAP}
    expected = cv2.warpPerspective(
        pixels.astype(np.float32),
        np.linalg.inv(half) @ backward @ half,
        (500, 400),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=borders[fill],
        borderValue=(33, 33, 33),
    )
    assert np.abs(found - expected).max() <= 1


def test_a_warp_changes_no_global_of_opencv() -> None:
    before = cv2.getNumThreads()
    Augmentation((create_op("rotation"),)).pixels(np.zeros((500, 500, 3), np.uint8), np.random.default_rng(0), 400)
    assert cv2.getNumThreads() == before
