"""Augmentation as a whole: presets, targets, mixes, and the command that shows what training sees."""

import pickle
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from tests.shared_runs import Command

import fovea
from fovea.data import decode, open_source
from fovea.errors import FoveaError, InputError, OutputError, UnknownName
from fovea.loading.margin import Margin
from fovea.testing.ops import painted_sample
from fovea.transforms import MIXES, PRESETS, Augmentation, check_targets, create_augmentation, create_op
from fovea.transforms.mixes.cutmix import CutMix
from fovea.transforms.mixes.mixup import MixUp
from fovea.transforms.op import chance_of
from fovea.transforms.preprocessing import square
from fovea.types import Floats, Pixels, Sample, Targets


def check_error(error: FoveaError, *says: str) -> None:
    first, *rest = str(error).split("\n")
    assert [part for part in says if part not in first] == []
    assert [line.split(":")[0].strip() for line in rest] == ["got", "expected", "fix"]
    assert error.exit_code == 2


def picture(height: int = 200, width: int = 200, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


# --- presets


def test_presets_have_the_names_that_people_give_them() -> None:
    assert set(PRESETS) >= {"none", "light", "standard", "strong", "tiny_imagenet"}
    keys = {create_augmentation(name).key for name in PRESETS}
    assert len(keys) == len(PRESETS)
    assert [name for name in PRESETS if create_augmentation(name).is_identity] == ["none"]


def test_light_is_the_texts() -> None:
    assert create_augmentation("light").describe() == [
        "horizontal_flip(chance=0.5)",
        "rotation(chance=1, fill=reflect, turn_range=(-0.1, 0.1))",
        "zoom(chance=1, fill=reflect, part_range=(0.8, 1.2), keep_proportions=True)",
    ]


def test_tiny_imagenet_is_the_texts() -> None:
    """Rotation 30 degrees, shift 0.2, shear 5 degrees, zoom 0.2, flip, brightness 0.5-1.5; gamma, occlusion, centring."""
    ops = create_augmentation("tiny_imagenet").ops
    settings = {op.name: op.settings() for op in ops}
    assert list(settings) == [
        "rotation", "shift", "shear", "zoom", "horizontal_flip", "brightness", "gamma", "occlusion", "samplewise",
    ]  # fmt: skip
    assert settings["rotation"]["turn_range"] == [-30 / 360, 30 / 360]
    assert settings["shift"]["x_range"] == settings["shift"]["y_range"] == [-0.2, 0.2]
    assert settings["shear"]["y_range"] == [-5 / 360, 5 / 360]
    assert settings["zoom"]["part_range"] == [0.8, 1.2]
    assert settings["brightness"]["factor_range"] == [0.5, 1.5]
    assert settings["gamma"]["gamma_range"] == [0.9, 1.08]
    assert (settings["occlusion"]["patch_px"], settings["occlusion"]["greys"]) == (10, [0, 128, 255])
    assert settings["samplewise"]["centre"]
    assert not settings["samplewise"]["scale"]
    assert {settings[name]["fill"] for name in ("rotation", "shift", "shear", "zoom")} == {"reflect"}
    assert {op.chance for op in ops} == {0.5, 1.0}
    told = create_augmentation("tiny_imagenet").describe()
    assert told[0] == "rotation(chance=1, fill=reflect, turn_range=(-0.08333, 0.08333))"
    assert told[-1] == "samplewise(chance=1, centre=True, scale=False), as floats, in every split"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_works_at_every_size(name: str) -> None:
    augmentation: Augmentation = pickle.loads(pickle.dumps(create_augmentation(name)))
    assert augmentation == create_augmentation(name)
    assert augmentation.key == create_augmentation(name).key
    for height, width, side in ((200, 200, 180), (32, 32, 28), (64, 91, 300), (600, 400, 32), (1, 1, 8), (3, 900, 16)):
        pixels = picture(height, width)
        result = augmentation.pixels(pixels, np.random.default_rng(5), side) if side >= 10 or name != "tiny_imagenet" else None
        if result is not None:
            assert (result.dtype, result.shape) == (np.uint8, (side, side, 3))
            assert np.array_equal(result, augmentation.pixels(pixels, np.random.default_rng(5), side))


def test_an_unknown_preset_names_the_near_ones() -> None:
    for wrong, near in (("lite", "light"), ("tiny-imagenet", "tiny_imagenet"), ("standart", "standard")):
        with pytest.raises(UnknownName) as caught:
            create_augmentation(wrong)
        check_error(caught.value, f"no augmentation preset is called {wrong!r}")
        assert near in caught.value.fix
    with pytest.raises(UnknownName) as caught:
        create_augmentation("zzz")
    assert caught.value.expected == "one of " + ", ".join(PRESETS)


def test_threads_change_nothing() -> None:
    augmentation, pixels = create_augmentation("strong"), picture()

    def one(index: int) -> bytes:
        return augmentation.pixels(pixels, np.random.default_rng([0, 0, index]), 96).tobytes()

    alone = [one(index) for index in range(40)]
    with ThreadPoolExecutor(7) as pool:
        assert list(pool.map(one, range(40))) == alone
    assert len(set(alone)) > 30


# --- order, floats, keys


def test_what_gives_floats_stands_at_the_end() -> None:
    with pytest.raises(InputError) as caught:
        Augmentation((create_op("samplewise"), create_op("rotation")))
    check_error(caught.value, "rotation stands after samplewise")
    with pytest.raises(InputError) as caught:
        Augmentation((np.flip,))  # type: ignore[arg-type]
    check_error(caught.value, "made of operations")
    assert "Custom" in caught.value.fix


def test_floats_are_the_same_for_every_split() -> None:
    augmentation = create_augmentation("tiny_imagenet")
    batch = np.stack([picture(64, 64, seed) for seed in range(3)])
    values = augmentation.floats(batch)
    np.testing.assert_allclose(values, batch - batch.mean(axis=(1, 2, 3), keepdims=True, dtype=np.float64), atol=1e-4)
    assert [op.name for op in augmentation.float_ops] == ["samplewise"]
    plain = create_augmentation("light").floats(batch)
    assert plain.dtype == np.float32
    assert np.array_equal(plain, batch)


def test_keys_and_identity() -> None:
    turn = create_op("rotation")
    keys = {Augmentation(ops).key for ops in ((), (turn,), (turn, turn), (create_op("rotation", turn_range=(-0.1, 0.11)),))}
    assert len(keys) == 4
    listed = create_op("rotation", turn_range=[-0.1, 0.1])
    assert listed == turn
    assert hash(listed) == hash(turn)
    assert Augmentation((listed,)).key == Augmentation((turn,)).key
    assert Augmentation().is_identity
    assert Augmentation((create_op("rotation", chance=0),)).is_identity
    assert not Augmentation((turn,)).is_identity


def test_an_operation_that_is_left_out_by_chance_leaves_the_others_draws_alone() -> None:
    zoom = create_op("zoom")
    sample = painted_sample()
    results = [
        Augmentation((create_op("blur", chance=chance, sigma_range=(0, 0)), zoom))(sample, np.random.default_rng(1)).pixels.tobytes()
        for chance in (0.0, 0.5, 1.0)
    ]
    assert len(set(results)) == 1


# --- targets


def boxes(*rows: Any) -> Floats:
    return np.array(rows, np.float32).reshape(-1, 4)


def test_boxes_are_clipped_and_dropped_with_their_masks_and_labels() -> None:
    slide = create_op("shift", x_range=(0.5, 0.5), y_range=(0, 0), fill="constant")
    masks = np.zeros((3, 40, 40), np.uint8)
    for index, (x0, x1) in enumerate(((0, 10), (15, 25), (22, 40))):
        masks[index, 5:9, x0:x1] = 1
    points = np.array([[5, 5], [35, 5]], np.float32)
    targets = Targets(boxes([0, 5, 10, 9], [15, 5, 25, 9], [22, 5, 40, 9]), ("a", "b", "c"), masks, points)
    moved = Augmentation((slide,))(Sample(picture(40, 40), targets=targets), np.random.default_rng(0)).targets
    assert moved.boxes.tolist() == [[20, 5, 30, 9], [35, 5, 40, 9]]
    assert moved.box_labels == ("a", "b")
    assert moved.masks is not None
    assert [int(mask.sum()) for mask in moved.masks] == [40, 20]
    assert moved.points.tolist() == [[25, 5], [55, 5]]  # a point that leaves keeps its place in the list
    up = create_op("shift", x_range=(-0.5, -0.5), y_range=(-0.15, -0.15), fill="constant")
    moved = Augmentation((up,))(Sample(picture(40, 40), targets=targets), np.random.default_rng(0)).targets
    assert moved.boxes.tolist() == [[0, 0, 5, 3], [2, 0, 20, 3]]
    assert moved.box_labels == ("b", "c")


def test_masks_without_boxes_all_stay() -> None:
    masks = np.ones((2, 40, 40), np.uint8)
    moved = create_augmentation("light")(Sample(picture(40, 40), targets=Targets(masks=masks)), np.random.default_rng(0), 32).targets
    assert moved.masks is not None
    assert moved.masks.shape == (2, 32, 32)
    assert moved.masks.all()  # a mask follows what is filled in


def test_a_turned_box_is_that_of_its_four_corners() -> None:
    turn = create_op("rotation", turn_range=(1 / 8, 1 / 8))
    sample = Sample(picture(), targets=Targets(boxes([80, 90, 120, 110])))
    moved = Augmentation((turn,))(sample, np.random.default_rng(0)).targets.boxes[0]
    half = (20 + 10) / np.sqrt(2)
    np.testing.assert_allclose(moved, [100 - half, 100 - half, 100 + half, 100 + half], atol=1e-4)


@pytest.mark.parametrize(
    ("targets", "says", "fix"),
    [
        (Targets(boxes([10, 10, 50, 41])), "a box of 'a.jpg' lies outside its picture", "clip the boxes"),
        (Targets(boxes([-1, 10, 20, 20])), "a box of 'a.jpg' lies outside its picture", "clip the boxes"),
        (Targets(boxes([0, 0, 1, 1], [np.nan, 0, 1, 1])), "a box of 'a.jpg' lies outside its picture", "clip the boxes"),
        (Targets(boxes([10, 10, 5, 20])), "a box of 'a.jpg' ends before it begins", "x y width height"),
        (Targets(np.zeros((2, 5), np.float32)), "the boxes of 'a.jpg' have the wrong shape", "reshape"),
        (Targets(boxes([0, 0, 1, 1]), ("a", "b")), "another number of box labels", "its label"),
        (Targets(masks=np.zeros((1, 40, 41), np.uint8)), "the masks of 'a.jpg' are of another size", "INTER_NEAREST"),
        (Targets(masks=np.zeros((40, 50), np.uint8)), "the masks of 'a.jpg' are of another size", "INTER_NEAREST"),
        (Targets(masks=np.zeros((1, 40, 50), bool)), "the masks of 'a.jpg' are of another size", "INTER_NEAREST"),  # type: ignore[arg-type]
        (Targets(boxes([0, 0, 1, 1]), masks=np.zeros((2, 40, 50), np.uint8)), "another number of masks than of boxes", "leave out"),
        (Targets(points=np.zeros((2, 3), np.float32)), "the points of 'a.jpg' have the wrong shape", "reshape"),
    ],
)
def test_targets_that_cannot_be(targets: Targets, says: str, fix: str) -> None:
    sample = Sample(picture(40, 50), path="a.jpg", targets=targets)
    for attempt in (lambda: check_targets(targets, (40, 50), path="a.jpg"), lambda: Augmentation()(sample, np.random.default_rng(0))):
        with pytest.raises(InputError) as caught:
            attempt()
        check_error(caught.value, says)
        assert fix in caught.value.fix


@pytest.mark.parametrize(
    "pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_pixels_that_cannot_be(pixels: Any) -> None:
    for attempt in (Augmentation().pixels, lambda p, rng, size: Augmentation()(Sample(p), rng, size)):
        with pytest.raises(InputError) as caught:
            attempt(pixels, np.random.default_rng(0), 8)
        check_error(caught.value, "this is no RGB picture")


# --- mixes


def test_every_mix_is_there() -> None:
    assert set(MIXES.names()) == {"mixup", "cutmix"}


@pytest.mark.parametrize("name", MIXES.names())
@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_a_mix_gives_each_target_its_share_of_the_picture(name: str, kind: Any) -> None:
    """Pictures of one colour each: what share of each colour is seen is what share of its class is said."""
    colours = np.eye(3) * 200
    batch = np.repeat(np.repeat(colours[np.arange(12) % 3][:, None, None, :], 40, axis=1), 30, axis=2).astype(kind)
    targets = np.eye(3, dtype=np.float32)[np.arange(12) % 3]
    batch.setflags(write=False)
    targets.setflags(write=False)
    mix: Any = MIXES[name].build(alpha=1.0)
    shares = []
    for seed in range(200):
        mixed, said = mix(batch, targets, np.random.default_rng(seed))
        assert (mixed.dtype, mixed.shape, said.dtype, said.shape) == (kind, batch.shape, np.float32, targets.shape)
        np.testing.assert_allclose(mixed.mean(axis=(1, 2), dtype=np.float64) / 200, said, atol=0.004 if kind == np.uint8 else 1e-5)
        np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-6)
        again = mix(batch, targets, np.random.default_rng(seed))
        assert np.array_equal(mixed, again[0])
        assert np.array_equal(said, again[1])
        shares.append(float(said.max(axis=1).min()))
    assert len(set(shares)) > 100
    assert min(shares) < 0.55


def test_mixup_draws_its_share_from_beta() -> None:
    batch, targets = np.zeros((2, 4, 4, 3), np.uint8), np.eye(2, dtype=np.float32)
    rng = np.random.default_rng(0)
    drawn = np.array([MixUp(alpha=0.4)(batch, targets, rng)[1] for _ in range(4000)])
    own = drawn[:, 0, 0]
    swapped = own < 1  # half of the orders leave each picture with itself
    assert abs(swapped.mean() - 0.5) < 0.04
    assert abs(own[swapped].mean() - 0.5) < 0.03
    assert abs(own[swapped].var() - 1 / (4 * (2 * 0.4 + 1))) < 0.01  # of Beta(a, a)


def test_cutmix_pastes_one_rectangle_at_its_own_place() -> None:
    """Pictures whose colours say where they are: all pixels stay at their places, and the other's are one rectangle."""
    rows, columns = np.mgrid[:40, :60]
    batch = np.stack([np.stack([rows, columns, np.full_like(rows, number)], axis=2) for number in (1, 2)]).astype(np.uint8)
    found = 0
    for seed in range(60):
        mixed, said = CutMix()(batch, np.eye(2, dtype=np.float32), np.random.default_rng(seed))
        assert np.array_equal(mixed[:, :, :, :2], batch[:, :, :, :2])
        for number in (0, 1):
            other = mixed[number, :, :, 2] != number + 1
            assert said[number, 1 - number] == pytest.approx(other.mean(), abs=1e-6)
            if other.any():
                y, x = np.nonzero(other)
                assert other.sum() == (np.ptp(y) + 1) * (np.ptp(x) + 1)
                found += 1
    assert found > 30


def test_a_mix_by_chance() -> None:
    batch, targets = np.stack([picture(8, 8, seed) for seed in range(4)]), np.eye(4, dtype=np.float32)
    same, said = MixUp(chance=0.0)(batch, targets, np.random.default_rng(0))
    assert np.array_equal(same, batch)
    assert np.array_equal(said, targets)
    assert not np.may_share_memory(same, batch)
    states = []
    for chance in (0.0, 1.0):
        rng = np.random.default_rng(0)
        MixUp(chance=chance)(batch, targets, rng)
        states.append(rng.random())
    assert states[0] == states[1]


def test_mixes_that_cannot_be() -> None:
    batch, targets = np.zeros((4, 8, 8, 3), np.uint8), np.eye(4, dtype=np.float32)
    rng = np.random.default_rng(0)
    for wrong, says in (
        (lambda: MixUp(alpha=0), "mixup: alpha cannot be 0"),
        (lambda: CutMix(chance=-0.1), "cutmix: chance cannot be -0.1"),
        (lambda: MixUp()(batch[0], targets, rng), "no batch of pictures"),
        (lambda: MixUp()(batch, np.arange(4), rng), "a row of class shares"),  # type: ignore[arg-type]
        (lambda: CutMix()(batch, targets[:3], rng), "a row of class shares"),
    ):
        with pytest.raises(InputError) as caught:
            wrong()
        check_error(caught.value, says)


def test_a_preset_with_mixes() -> None:
    both = create_augmentation("light+mixup+cutmix")
    assert both.ops == create_augmentation("light").ops
    assert both.describe()[3:] == ["mixup(chance=1, alpha=0.2)", "cutmix(chance=1, alpha=1)"]
    assert len({create_augmentation(name).key for name in ("light", "light+mixup", "light+cutmix", "light+mixup+cutmix")}) == 4
    assert pickle.loads(pickle.dumps(both)) == both
    batch, targets = np.stack([picture(8, 8, seed) for seed in range(4)]), np.eye(4, dtype=np.float32)
    same, said = create_augmentation("light").mixed(batch, targets, np.random.default_rng(0))
    assert same is batch
    assert said is targets
    for seed in range(40):  # one of the two, each now and then
        mixed, said = both.mixed(batch, targets, np.random.default_rng(seed))
        alone = []
        for mix in both.mixes:
            rng = np.random.default_rng(seed)
            rng.integers(2)
            alone.append(mix(batch, targets, rng)[0])
        assert any(np.array_equal(mixed, one) for one in alone)
    for wrong, says, fix in (
        ("light+cutmux", "no mix is called 'cutmux'", "cutmix"),
        ("cutmix", "no augmentation preset is called 'cutmix'", "none+cutmix"),
        ("light+", "no mix is called ''", "choose one of these"),
        ("+mixup", "no augmentation preset is called ''", "choose one of these"),
    ):
        with pytest.raises(UnknownName) as caught:
            create_augmentation(wrong)
        check_error(caught.value, says)
        assert fix in caught.value.fix


# --- the command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for label in ("a", "b"):
        (tmp_path / "photos" / label).mkdir(parents=True)
        for number in range(2):
            pixels = np.random.default_rng([number, ord(label)]).integers(0, 256, (12, 15, 3), np.uint8)
            large = cv2.resize(pixels, (300, 240), interpolation=cv2.INTER_CUBIC)
            cv2.imwrite(str(tmp_path / "photos" / label / f"{number}.png"), large)
    return tmp_path / "photos"


def test_only_training_is_augmented(folder: Path, tmp_path: Path) -> None:
    """Validation and test receive the same picture whatever the preset and the seed: the plain preprocessing of its file."""
    with open_source(str(folder)) as source:
        item = source.items[0]
        pixels = decode(source.read(item), path=item.path).pixels
    for preset in PRESETS:
        for seed in (0, 1):
            sheet = fovea.augment(str(folder), out=str(tmp_path / f"{preset}{seed}.png"), preset=preset, image_size=96, seed=seed)
            assert sheet.picture == item.path
            assert np.array_equal(sheet.validation.pixels, square(96).apply(pixels))
            draws = [draw.pixels for draw in sheet.draws]
            assert len(draws) == 9
            kept = Margin(square(96)).apply(pixels)
            for epoch, draw in enumerate(draws):  # what a loader with this seed gives for its first picture
                expected = create_augmentation(preset).pixels(kept, chance_of(seed, epoch, 0), 96)
                assert np.array_equal(draw, expected)
            assert len({draw.tobytes() for draw in draws}) == (1 if preset == "none" else 9)


def test_a_sheet_replaces_nothing_unless_asked(folder: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    photo.write_bytes(b"somebody's only copy")
    with pytest.raises(OutputError, match="exists already"):
        fovea.augment(str(folder), out=str(photo), image_size=64)
    assert photo.read_bytes() == b"somebody's only copy"
    fovea.augment(str(folder), out=str(photo), image_size=64, overwrite=True)
    assert photo.read_bytes().startswith(b"\x89PNG")


def test_the_sheet_shows_what_it_says(folder: Path, tmp_path: Path) -> None:
    sheet = fovea.augment(str(folder), out=str(tmp_path / "deep" / "s.png"), image_size=64, picture="b/1.png")
    drawn = cv2.imread(str(sheet.out))[:, :, ::-1]
    told = sheet.to_json()
    assert (told["picture"], told["label"], told["num_draws"], told["image_size_px"]) == ("b/1.png", "b", 9, 64)
    assert told["operations"] == create_augmentation("light").describe()
    for pixels in [sheet.validation.pixels, *(draw.pixels for draw in sheet.draws)]:
        enlarged = np.repeat(np.repeat(pixels, 3, axis=0), 3, axis=1)  # 64 px are shown three times as large
        found = cv2.matchTemplate(drawn, enlarged, cv2.TM_SQDIFF)
        assert found.min() < 0.01 * enlarged.size  # rounding of its Fourier transform


def test_mixed_draws_are_shown_with_what_is_left_of_the_picture(folder: Path, tmp_path: Path) -> None:
    """CutMix alone: where a draw differs from the picture another one is seen, and the share counts these places."""
    sheet = fovea.augment(str(folder), out=str(tmp_path / "s.png"), preset="none+cutmix", image_size=96)
    plain = fovea.augment(str(folder), out=str(tmp_path / "p.png"), preset="none", image_size=96)
    assert plain.shares == ()
    assert len(sheet.shares) == 9
    assert len(set(sheet.shares)) > 5
    for share, draw, whole in zip(sheet.shares, sheet.draws, plain.draws, strict=True):
        assert (draw.pixels == whole.pixels).all(axis=2).mean() == pytest.approx(share, abs=0.02)
    assert np.array_equal(sheet.validation.pixels, plain.validation.pixels)
    assert sheet.to_json()["shares"] == list(sheet.shares)
    again = fovea.augment(str(folder), out=str(tmp_path / "t.png"), preset="none+cutmix", image_size=96)
    assert again.out.read_bytes() == sheet.out.read_bytes()


def test_a_preset_works_on_floats_only_where_a_network_can_do_it() -> None:
    """`training.augment.is_centred` relies on it."""
    for name in PRESETS:
        assert all(op.name == "samplewise" and op.centre and not op.scale for op in create_augmentation(name).float_ops)  # type: ignore[attr-defined]


def test_boxes_and_masks_are_drawn(tmp_path: Path) -> None:
    sheet = fovea.augment("shapes", out=str(tmp_path / "s.png"), preset="standard", image_size=224, seed=2)  # nothing mirrored at the edge
    assert sheet.validation.targets.masks is not None
    for sample in [sheet.validation, *sheet.draws]:
        masks, found = sample.targets.masks, sample.targets.boxes
        assert masks is not None
        assert len(found) == len(masks) == len(sample.targets.box_labels)
        for mask, (x0, y0, x1, y1) in zip(masks, found, strict=True):
            rows, columns = np.nonzero(mask)
            assert columns.min() + 1 > x0
            assert rows.min() + 1 > y0
            assert columns.max() < x1
            assert rows.max() < y1
    plain = fovea.augment("shapes", out=str(tmp_path / "t.png"), preset="standard", image_size=224, seed=1)
    assert plain.out.read_bytes() != sheet.out.read_bytes()
    bare = replace(sheet.validation, targets=Targets())
    assert np.array_equal(bare.pixels, sheet.validation.pixels)


def test_the_command_and_its_errors(folder: Path, tmp_path: Path, here: Command) -> None:
    done = here("augment", folder, "--out", tmp_path / "sheet.png", "--preset", "strong", "--seed", "-3")
    assert done.returncode == 0, done.stderr
    assert "trivial_augment" in done.stdout
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None
    for words, says in (
        (("--preset", "lite"), "no augmentation preset is called 'lite'"),
        (("--picture", "c/9.png"), "has no training picture 'c/9.png'"),
        (("--image-size", "4"), "--image-size cannot be 4"),
    ):
        failed = here("augment", folder, "--out", tmp_path / "other.png", *words)
        assert (failed.returncode, says in failed.stderr.splitlines()[0]) == (2, True), failed.stderr
