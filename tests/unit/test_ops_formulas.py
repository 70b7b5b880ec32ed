"""Each operation's formula, held against numpy, Pillow or a closed form."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from fovea.errors import InputError
from fovea.testing.ops import check_op, painted_sample
from fovea.transforms import OPS, Augmentation, Op, create_op
from fovea.transforms.op import Geometry
from fovea.transforms.ops.featurewise import Featurewise
from fovea.transforms.ops.zca import ZcaWhitening
from fovea.types import Pixels, Sample


def picture(height: int = 40, width: int = 50, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def apply(op: Op, pixels: Pixels, seed: int = 0) -> Pixels:
    return Augmentation((op,))(Sample(pixels), np.random.default_rng(seed)).pixels


def only(name: str, **settings: Any) -> Op:
    return create_op(name, chance=1.0, **settings)


# --- geometry against numpy


def test_flips_are_numpys() -> None:
    pixels = picture(31, 44)
    assert np.array_equal(apply(only("horizontal_flip"), pixels), pixels[:, ::-1])
    assert np.array_equal(apply(only("vertical_flip"), pixels), pixels[::-1])


@pytest.mark.parametrize(("turn", "times"), [(0.25, 1), (0.5, 2), (-0.25, -1), (1.0, 0)])
def test_a_quarter_turn_is_anticlockwise(turn: float, times: int) -> None:
    pixels = picture(40, 40)
    assert np.array_equal(apply(only("rotation", turn_range=(turn, turn)), pixels), np.rot90(pixels, times))


@pytest.mark.parametrize(
    ("fill", "mode", "options"),
    [
        ("reflect", "symmetric", {}),
        ("nearest", "edge", {}),
        ("wrap", "wrap", {}),
        ("constant", "constant", {"constant_values": 77}),
    ],
)
@pytest.mark.parametrize(("x", "y"), [(10, 0), (-15, 8), (0, -20), (30, 30)])
def test_fills_are_numpys(fill: str, mode: Any, options: dict[str, Any], x: int, y: int) -> None:
    pixels = picture(40, 50)
    moved = apply(only("shift", x_range=(x / 50, x / 50), y_range=(y / 40, y / 40), fill=fill, fill_value=77), pixels)
    padded = np.pad(pixels, ((40, 40), (50, 50), (0, 0)), mode=mode, **options)
    assert np.array_equal(moved, padded[40 - y : 80 - y, 50 - x : 100 - x])


def test_zoom_shows_the_part_that_it_says() -> None:
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[20:60, 20:60] = 200
    assert (apply(only("zoom", part_range=(0.5, 0.5)), pixels)[1:-1, 1:-1] == 200).all()  # the middle half fills the picture
    half = apply(only("zoom", part_range=(2, 2), fill="constant"), pixels)
    inside = np.argwhere(half[:, :, 0] > 100)
    assert inside.min(axis=0).tolist() == [30, 30]
    assert inside.max(axis=0).tolist() == [49, 49]


def test_shear_slides_rows() -> None:
    """At 1/8 of a turn a row slides as far as it lies from the middle."""
    pixels = picture(40, 40)
    slid = apply(only("shear", x_range=(1 / 8, 1 / 8), fill="wrap"), pixels)
    for row in (0, 10, 20, 39):
        distance = row + 0.5 - 20
        left, right = (np.roll(pixels[row], -int(math.floor(distance) + more), axis=0).astype(float) for more in (0, 1))
        assert np.abs(slid[row] - (left + right) / 2).max() <= 1, row


@pytest.mark.parametrize("most", [0.1, 0.3, 0.4])
def test_perspective_keeps_the_horizon_out(most: float) -> None:
    """Everywhere in the result, and at the picture's corners, the point seen lies before the viewer; corners stay within `most`."""
    op = create_op("perspective", distortion_range=(most, most))
    assert isinstance(op, Geometry)
    rng = np.random.default_rng(0)
    extremes = [[0.0, *corner] for corner in itertools.product((0.0, 1.0), repeat=8)] + rng.random((200, 9)).tolist()
    rows, columns = np.mgrid[0:101:10, 0:151:10]
    places = np.stack([columns.ravel(), rows.ravel(), np.ones(rows.size)])
    corners = np.array([[0, 150, 150, 0], [0, 0, 100, 100], [1, 1, 1, 1]])
    for lots in extremes:
        backward = op.warp(lots, (100, 150)).matrix
        assert (backward @ places)[2].min() > 0.05
        moved = np.linalg.inv(backward) @ corners
        off = np.abs(moved[:2] / moved[2] - corners[:2]) / np.array([[150], [100]])
        assert off.max() <= most / 2 + 1e-3


def test_crops_are_slices() -> None:
    pixels = picture(40, 50)
    assert np.array_equal(apply(only("centre_crop", crop_px=30), pixels), pixels[5:35, 10:40])
    seen = set()
    for seed in range(400):
        crop = apply(only("random_crop", crop_px=37), pixels, seed)
        [place] = [(y, x) for y in range(4) for x in range(14) if np.array_equal(crop, pixels[y : y + 37, x : x + 37])]
        seen.add(place)
    assert {y for y, _ in seen} == set(range(4))  # also the last row and column
    assert {x for _, x in seen} == set(range(14))


def test_random_resized_crop_has_the_stated_areas_and_ratios() -> None:
    op = create_op("random_resized_crop", area_range=(0.2, 0.9), ratio_range=(0.5, 2.0))
    assert isinstance(op, Geometry)
    areas, ratios = [], []
    for lots in np.random.default_rng(0).random((500, 4)).tolist():
        backward = op.warp(lots, (100, 100)).matrix
        low, high = backward @ [0, 0, 1], backward @ [100, 100, 1]
        assert low[:2].min() >= -1e-9
        assert high[:2].max() <= 100 + 1e-9
        across, down = (high - low)[:2]
        areas.append(across * down / 10_000)
        ratios.append(across / down)
    assert 0.2 <= min(areas) < 0.22
    assert 0.88 < max(areas) <= 0.9
    assert abs(np.mean(areas) - 0.55) < 0.03
    assert 0.5 <= min(ratios) < 0.6
    assert 1.7 < max(ratios) <= 2
    assert abs(np.mean(np.log(ratios))) < 0.05  # wide and tall as often


def test_scale_jitter_is_vggs() -> None:
    op = create_op("scale_jitter")
    assert isinstance(op, Geometry)
    sides = []
    for lots in np.random.default_rng(0).random((500, 3)).tolist():
        warp = op.warp(lots, (300, 400))
        assert warp.size_px == (224, 224)
        sides.append(300 / warp.matrix[0, 0])
        assert warp.matrix[0, 0] == warp.matrix[1, 1]
        corner = warp.matrix @ [224, 224, 1]
        assert corner[0] <= 400 + 1e-9
        assert corner[1] <= 300 + 1e-9
        assert warp.matrix[:2, 2].min() >= 0
    assert 256 <= min(sides) < 260
    assert 508 < max(sides) <= 512


# --- colours against Pillow and closed forms


def pillow(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels)


@pytest.mark.parametrize("bits", [1, 3, 4, 7, 8])
def test_posterize_is_pillows(bits: int) -> None:
    expected = np.asarray(ImageOps.posterize(pillow(picture()), bits))
    assert np.array_equal(apply(only("posterize", bits_range=(bits, bits)), picture()), expected)


@pytest.mark.parametrize("threshold", [0, 100, 255])
def test_solarize_is_pillows(threshold: int) -> None:
    expected = np.asarray(ImageOps.solarize(pillow(picture()), threshold))
    assert np.array_equal(apply(only("solarize", threshold_range=(threshold / 255, threshold / 255)), picture()), expected)


def test_invert_is_pillows() -> None:
    assert np.array_equal(apply(only("invert"), picture()), np.asarray(ImageOps.invert(pillow(picture()))))


@pytest.mark.parametrize("seed", range(4))
def test_equalize_and_auto_contrast_are_pillows(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = np.clip(rng.normal(rng.uniform(60, 190, 3), rng.uniform(5, 30, 3), (70, 90, 3)), 0, 255).astype(np.uint8)
    pixels[:, :, seed % 3] = 7 * seed if seed else pixels[:, :, 0]  # a channel of one level
    assert np.array_equal(apply(only("equalize"), pixels), np.asarray(ImageOps.equalize(pillow(pixels))))
    off = apply(only("auto_contrast"), pixels).astype(int) - np.asarray(ImageOps.autocontrast(pillow(pixels)))
    assert np.abs(off).max() <= 1  # Pillow cuts decimals off


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
def test_enhancements_are_pillows(factor: float) -> None:
    pixels = picture()
    for name, enhancer in (
        ("brightness", ImageEnhance.Brightness),
        ("saturation", ImageEnhance.Color),
        ("sharpness", ImageEnhance.Sharpness),
    ):
        expected = np.asarray(enhancer(pillow(pixels)).enhance(factor)).astype(int)
        off = apply(only(name, factor_range=(factor, factor)), pixels) - expected
        assert np.abs(off).max() <= (2 if name == "sharpness" and factor > 1 else 1), name  # Pillow rounds its smooth picture first


@pytest.mark.parametrize("factor", [0.0, 0.7, 1.3])
def test_contrast_is_about_each_channels_mean(factor: float) -> None:
    pixels = picture()
    mean = pixels.mean(axis=(0, 1))
    expected = np.clip(np.rint((pixels - mean) * factor + mean), 0, 255)
    assert np.abs(apply(only("contrast", factor_range=(factor, factor)), pixels) - expected).max() <= 1


def test_gamma_keeps_black_and_white() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 4, 3))
    for gamma in (0.5, 0.9, 2.2):
        expected = np.rint(255 * (np.arange(256) / 255) ** gamma)
        assert np.array_equal(apply(only("gamma", gamma_range=(gamma, gamma)), ramp)[:, 0, 0], expected)


def test_channel_shift_moves_each_channel_by_its_own() -> None:
    pixels = np.full((8, 8, 3), 128, np.uint8)
    moved = [apply(only("channel_shift", shift_range=(-0.2, 0.2)), pixels, seed)[0, 0].astype(int) - 128 for seed in range(50)]
    assert np.abs(moved).max() <= 51
    assert len({tuple(one.tolist()) for one in moved}) == 50
    assert np.abs(np.corrcoef(np.transpose(moved))[[0, 0, 1], [1, 2, 2]]).max() < 0.5  # each of its own
    assert np.abs(np.mean(moved)) < 10


@pytest.mark.parametrize("turn", [0.1, 0.5, -0.3])
def test_hue_keeps_greys_and_brightness(turn: float) -> None:
    op = only("hue", turn_range=(turn, turn))
    grey = np.repeat(picture()[:, :, :1], 3, axis=2)
    assert np.abs(apply(op, grey).astype(int) - grey).max() <= 1
    pale = (96 + picture() // 4).astype(np.uint8)  # so that nothing is clipped
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs(apply(op, pale) @ luma - pale @ luma).max() <= 1
    assert np.abs(apply(op, pale).astype(int) - pale).max() > 10
    back = apply(only("hue", turn_range=(-turn, -turn)), apply(op, pale))
    assert np.abs(back.astype(int) - pale).max() <= 3


def test_grey_is_pillows() -> None:
    expected = np.repeat(np.asarray(pillow(picture()).convert("L"))[:, :, None], 3, axis=2)
    assert np.abs(apply(only("grey"), picture()).astype(int) - expected).max() <= 1


# --- painting


def test_blur_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((41, 41, 3), np.uint8)
    point[20, 20] = 255
    for sigma in (1.0, 2.0):
        blurred = apply(only("blur", sigma_range=(sigma, sigma)), point)[:, :, 0].astype(float)
        distance = np.hypot(*(np.mgrid[:41, :41] - 20))
        expected = 255 * np.exp(-(distance**2) / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        assert np.abs(blurred - expected).max() <= 1.5


def test_noise_has_the_stated_deviation() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    noise = apply(only("noise", deviation_range=(0.05, 0.05)), grey).astype(float) - 128
    assert abs(noise.std() - 0.05 * 255) < 0.2
    assert abs(noise.mean()) < 0.1
    assert abs(np.corrcoef(noise[:, :, 0].ravel(), noise[:, :, 1].ravel())[0, 1]) < 0.02


def test_jpeg_loses_more_at_lower_quality() -> None:
    pixels = painted_sample().pixels
    losses = [np.abs(apply(only("jpeg", quality_range=(q, q)), pixels).astype(int) - pixels).mean() for q in (95, 60, 10)]
    assert 0 < losses[0] < losses[1] < losses[2] < 60
    red = np.zeros((32, 32, 3), np.uint8)
    red[:, :, 0] = 200
    assert apply(only("jpeg", quality_range=(90, 90)), red)[16, 16].tolist() == pytest.approx([200, 0, 0], abs=6)  # and not blue


def test_occlusion_is_a_patch_of_ten_pixels() -> None:
    pixels = np.full((30, 40, 3), 50, np.uint8)
    greys, corners = set(), set()
    for seed in range(300):
        rows, columns, _ = np.nonzero(apply(only("occlusion"), pixels, seed) != 50)
        top, left = int(rows.min()), int(columns.min())
        assert len(rows) == 10 * 10 * 3
        assert (rows.max() - top, columns.max() - left) == (9, 9)
        greys.add(int(apply(only("occlusion"), pixels, seed)[top, left, 0]))
        corners.add((top, left))
    assert greys == {0, 128, 255}
    assert {y for y, _ in corners} == set(range(21))
    assert {x for _, x in corners} >= {0, 30}


def test_erasing_covers_the_stated_area() -> None:
    pixels = np.full((100, 120, 3), 50, np.uint8)
    shares = []
    for seed in range(200):
        rows, columns = np.nonzero((apply(only("erasing", content="black", area_range=(0.05, 0.3)), pixels, seed) == 0).all(axis=2))
        assert len(rows) == (np.ptp(rows) + 1) * (np.ptp(columns) + 1)  # one whole rectangle
        shares.append(len(rows) / 12_000)
    assert 0.045 <= min(shares) < 0.07
    assert 0.27 < max(shares) <= 0.31


def double(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    pixels[: rng.integers(1, 5)] = 0
    return pixels


def bad_shape(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    return pixels[:-1]


def bad_type(pixels: Pixels, rng: np.random.Generator) -> Any:
    return pixels / 255


def test_a_function_of_ones_own() -> None:
    check_op(create_op("custom", function=double))
    for function in (bad_shape, bad_type, lambda pixels, rng: None):
        with pytest.raises(InputError, match="does not give a picture of the same size") as caught:
            apply(create_op("custom", function=function), picture())
        assert caught.value.expected == "uint8 (40, 50, 3)"
    keys = {Augmentation((create_op("custom", function=f, version=v),)).key for f in (double, bad_shape) for v in (0, 1)}
    assert len(keys) == 4


# --- floats


def test_samplewise_is_its_closed_form() -> None:
    batch = np.stack([picture(seed=seed) for seed in range(3)])
    plain = batch.astype(np.float64)
    centred = Augmentation((create_op("samplewise"),)).floats(batch)
    np.testing.assert_allclose(centred, plain - plain.mean(axis=(1, 2, 3), keepdims=True), atol=1e-4)
    scaled = Augmentation((create_op("samplewise", scale=True),)).floats(batch)
    np.testing.assert_allclose(scaled.mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.std(axis=(1, 2, 3)), 1, atol=1e-6)
    flat = Augmentation((create_op("samplewise", scale=True),)).floats(np.full((1, 4, 4, 3), 9, np.uint8))
    assert not flat.any()


def test_featurewise_is_its_closed_form() -> None:
    pictures = [picture(30 + seed, 50, seed) // (1 + seed) for seed in range(4)]
    fitted = Featurewise.fit(iter(pictures))
    levels = np.concatenate([pixels.reshape(-1, 3) for pixels in pictures]).astype(np.float64)
    np.testing.assert_allclose(fitted.mean, levels.mean(axis=0))
    np.testing.assert_allclose(fitted.deviation, levels.std(axis=0), rtol=1e-6)
    batch = np.stack([picture(seed=seed) for seed in range(6)])
    of_itself = Augmentation((Featurewise.fit(batch),)).floats(batch)
    np.testing.assert_allclose(of_itself.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(of_itself.std(axis=(0, 1, 2)), 1, atol=1e-5)
    assert Featurewise.fit(batch, scale=False).deviation == (1, 1, 1)
    assert Featurewise.fit(batch, centre=False).mean == (0, 0, 0)
    with pytest.raises(InputError, match="no pictures to measure"):
        Featurewise.fit([])


@pytest.mark.parametrize("count", [40, 400])  # fewer pictures than values, and more
def test_zca_is_its_closed_form(count: int) -> None:
    rng = np.random.default_rng(0)
    mixing = rng.normal(size=(6 * 6 * 3, 6 * 6 * 3)) / 8
    pictures = np.clip(128 + 40 * rng.normal(size=(count, 108)) @ mixing, 0, 255).astype(np.uint8).reshape(count, 6, 6, 3)
    epsilon = 1e-3
    fitted = ZcaWhitening.fit(pictures, epsilon=epsilon)
    flat = pictures.reshape(count, -1) / 255
    centred = flat - flat.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / count + epsilon * np.eye(108))
    whiten = (vectors / np.sqrt(values)) @ vectors.T
    found = Augmentation((fitted,)).floats(pictures).reshape(count, -1)
    np.testing.assert_allclose(found, centred @ whiten, atol=2e-3)
    unseen = rng.integers(0, 256, (5, 6, 6, 3), np.uint8)  # partly outside what the fitted pictures span
    expected = (unseen.reshape(5, -1) / 255 - flat.mean(axis=0)) @ whiten
    np.testing.assert_allclose(Augmentation((fitted,)).floats(unseen).reshape(5, -1), expected, atol=2e-3)
    if count == 400:
        white = Augmentation((ZcaWhitening.fit(pictures),)).floats(pictures).reshape(count, -1).astype(np.float64)
        assert np.abs(white.T @ white / count - np.eye(108)).max() < 0.02
    with pytest.raises(InputError, match="another size"):
        Augmentation((fitted,)).floats(np.zeros((1, 7, 6, 3), np.uint8))
    with pytest.raises(InputError, match="measured on several pictures"):
        ZcaWhitening.fit(pictures[:1])
    with pytest.raises(InputError, match="would keep too much") as caught:
        ZcaWhitening.fit(np.zeros((10_000, 128, 128, 3), np.uint8))
    assert "measure on 2,730 of them" in caught.value.fix
    assert fitted == ZcaWhitening.fit(pictures, epsilon=epsilon) != ZcaWhitening.fit(pictures[:-1], epsilon=epsilon)


# --- policies


def test_the_tables_are_the_papers() -> None:
    found = {strength.name: strength for entry in OPS for strength in entry.info.strengths}
    assert set(found) == {
        "auto_contrast", "equalize", "rotate", "solarize", "color", "posterize", "contrast", "brightness", "sharpness",
        "shear_x", "shear_y", "translate_x", "translate_y",
    }  # fmt: skip
    assert (found["rotate"].rand * 360, found["rotate"].trivial * 360) == (30, 135)
    assert (found["posterize"].rand, found["posterize"].trivial, found["posterize"].weakest) == (4, 2, 8)
    assert {name for name, strength in found.items() if strength.signed} == set(found) - {
        "auto_contrast", "equalize", "solarize", "posterize",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["trivial_augment", "rand_augment"])
def test_policies_choose_all_as_often(name: str) -> None:
    """14 choices, with "nothing" as one of them: RandAugment's is the chance that both are nothing."""
    pixels = painted_sample().pixels
    op = create_op(name, **({"strength": 1.0} if name == "rand_augment" else {}))
    steps = [op.draw(np.random.default_rng(seed), pixels.shape[:2]) for seed in range(2000)]
    nothing = sum(not found for found in steps) / 2000
    expected = 1 / 14 if name == "trivial_augment" else 1 / 14**2
    assert abs(nothing - expected) < 4 * math.sqrt(expected / 2000)
    kinds = [type(step).__name__ for found in steps for step in found]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}  # of the 13 that do something
    assert shares["Warp"] == pytest.approx(5 / 13, abs=0.05)
    assert shares["Recolour"] == pytest.approx(6 / 13, abs=0.05)
    assert shares["MixChannels"] == pytest.approx(1 / 13, abs=0.03)
    assert shares["Paint"] == pytest.approx(1 / 13, abs=0.03)


def test_rand_augment_without_strength_changes_little() -> None:
    """At strength 0 each operation is at its weakest; only those without a strength (auto_contrast, equalize) still act."""
    ramp = np.tile(np.arange(256, dtype=np.uint8)[:, None, None], (1, 256, 3))  # which both of them leave nearly alone
    for seed in range(60):
        off = np.abs(apply(create_op("rand_augment", strength=0.0), ramp, seed).astype(int) - ramp)
        off[-1] = 0  # solarize at its weakest turns 255
        assert off.max() <= 1, seed
