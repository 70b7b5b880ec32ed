"""Batches: the same for every number of threads, from every point of an epoch; never augmented but for training."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from tests.unit.test_loader_store import paint

from fovea.data import decode, open_source
from fovea.errors import InputError, UnreadableImage
from fovea.loading.batches import ArrayBatches
from fovea.loading.loader import Loader
from fovea.loading.margin import Margin
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scaling import Scaling
from fovea.loading.scan import scan
from fovea.loading.stored import StoredPictures
from fovea.transforms import MIXES, Augmentation, Mix, create_augmentation
from fovea.transforms.op import Chance
from fovea.transforms.preprocessing import square

SIZE = 24
COUNT = 23


class Jumble:
    """Chance in every pixel, so that a draw that is not the right one cannot be missed; some pictures take longer than others."""

    is_identity = False
    key = "jumble"

    def __init__(self, *mixes: Mix) -> None:
        self.mixes = mixes

    def mixed(self, batch: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        return Augmentation(mixes=self.mixes).mixed(batch, targets, rng)

    def pixels(self, pixels: np.ndarray, chance: Chance, size_px: int) -> np.ndarray:
        rng = np.random.default_rng(int(chance.random() * 2**53))
        time.sleep(rng.integers(3) / 1000)
        top, left = rng.integers(0, pixels.shape[0] - size_px + 1, 2)
        return pixels[top : top + size_px, left : left + size_px] ^ rng.integers(0, 256, (size_px, size_px, 3), np.uint8)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoredPictures]:
    """At a margin, kept."""
    folder = tmp_path_factory.mktemp("loader")
    with open_source(paint(folder / "data", COUNT)) as source, PixelStore(folder / "store") as store:
        seen = scan(source)
        kept = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=Margin(square(SIZE)))
        kept.keep(known={})
        yield kept


def loader(pictures: StoredPictures, **options: object) -> Loader:
    chosen = {"batch_size": 5, "size_px": SIZE, "augmentation": Jumble(), "shuffle": True, "seed": 3, "threads": 2} | options
    rows = np.arange(COUNT)[::-1].copy()
    return Loader(pictures, rows, np.arange(COUNT) * 10, **chosen)  # type: ignore[arg-type]


def all_of(batches: Loader, epoch: int, start_batch: int = 0) -> list[tuple[bytes, list[int]]]:
    return [(pixels.tobytes(), targets.tolist()) for pixels, targets in batches.epoch(epoch, start_batch)]


@pytest.mark.parametrize("epoch", [0, 4])
def test_the_number_of_threads_changes_no_byte(pictures, epoch):
    one, two, seven = (all_of(loader(pictures, threads=threads), epoch) for threads in (1, 2, 7))
    assert one == two == seven
    assert len(one) == len(loader(pictures)) == 5
    assert sorted(target for _, targets in one for target in targets) == [10 * row for row in range(COUNT)]


@pytest.mark.parametrize("preset", ["light", "tiny_imagenet", "strong+mixup+cutmix"])
def test_nor_does_it_with_real_augmentation(pictures, preset):
    """Stopped and taken up in mid-epoch, too, by another number of threads."""
    options = {"augmentation": create_augmentation(preset), "num_classes": 230}

    def made(threads: int, start_batch: int = 0) -> list[tuple[bytes, bytes]]:
        batches = loader(pictures, threads=threads, **options).epoch(2, start_batch)
        return [(pixels.tobytes(), targets.tobytes()) for pixels, targets in batches]

    one = made(1)
    assert one == made(2) == made(7)
    assert made(2, start_batch=3) == one[3:]


def test_a_cold_store_and_prefetch_change_no_byte(pictures, tmp_path):
    with PixelStore(tmp_path / "cold") as cold, PixelStore(tmp_path / "none", max_mb=0) as none:
        warm = all_of(loader(pictures), 1)
        for store in (cold, none):
            same = StoredPictures(store, pictures.source, pictures.items, pictures.hashes, preprocessing=pictures.preprocessing)
            assert all_of(loader(same, threads=7, prefetch=1), 1) == warm
            assert all_of(loader(same, prefetch=9), 1) == warm
    with PixelStore(tmp_path / "cold") as cold:
        same = StoredPictures(cold, pictures.source, pictures.items, pictures.hashes, preprocessing=pictures.preprocessing)
        assert same.num_kept == COUNT, "the first epoch has kept them for later runs"


@pytest.mark.parametrize("start", range(6))
def test_taken_up_in_mid_epoch_the_rest_is_the_same(pictures, start):
    whole = all_of(loader(pictures), 2)
    stopped = loader(pictures, threads=7).epoch(2)
    begun = [next(stopped)[0].tobytes() for _ in range(min(start, 4))]
    stopped.close()
    assert begun == [pixels for pixels, _ in whole[: min(start, 4)]]
    assert all_of(loader(pictures, threads=3), 2, start) == whole[start:]


def test_seed_and_epoch_draw_anew(pictures):
    first = all_of(loader(pictures), 0)
    assert all_of(loader(pictures), 0) == first
    for other in (all_of(loader(pictures), 1), all_of(loader(pictures, seed=4), 0)):
        assert [targets for _, targets in other] != [targets for _, targets in first]
        assert not {pixels for pixels, _ in other} & {pixels for pixels, _ in first}
    fixed = all_of(loader(pictures, shuffle=False), 0), all_of(loader(pictures, shuffle=False), 1)
    assert [targets for _, targets in fixed[0]] == [targets for _, targets in fixed[1]]
    assert fixed[0][0][1] == [220, 210, 200, 190, 180]
    assert fixed[0][0][0] != fixed[1][0][0], "augmentation is drawn anew in each epoch"


def test_without_augmentation_it_is_what_the_preprocessing_gives(pictures):
    exact = pictures.resized(square(SIZE))
    for identity in (None, create_augmentation("none")):
        batches = list(loader(exact, augmentation=identity, shuffle=False).epoch(7))
        for place, row in enumerate(reversed(range(COUNT))):
            item = pictures.items[row]
            expected = square(SIZE).apply(decode(pictures.source.read(item), path=item.path, min_side_px=SIZE).pixels)
            np.testing.assert_array_equal(batches[place // 5][0][place % 5], expected)


def test_floats_are_to_the_bit_those_of_the_network(pictures):
    import torch
    from torch import nn

    from fovea.models.network import PixelBackbone

    network = PixelBackbone(nn.Identity(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # type: ignore[arg-type]
    scaling = Scaling.of(network.shift.flatten().tolist(), network.scale.flatten().tolist())
    for (pixels, _), (floats, _) in zip(loader(pictures).epoch(0), loader(pictures, scaling=scaling, threads=7).epoch(0), strict=True):
        expected = network.normalise(torch.from_numpy(pixels))
        ready = network.normalise(torch.from_numpy(floats))
        assert torch.equal(ready, expected)
        assert ready.dtype == torch.float32
        assert ready.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("scaling", [None, Scaling.of([1, 2, 3], [0.5, 0.5, 0.5])])
def test_mixed_batches_and_their_targets(pictures, scaling):
    """Targets of row r are class r % 3 here; every mixed picture is the blend that its shares state."""
    mixup, cutmix = MIXES["mixup"].build(alpha=1.0), MIXES["cutmix"].build()

    def made(*mixes: Mix, **more: object) -> Loader:
        return Loader(
            pictures, np.arange(COUNT), np.arange(COUNT) % 3, batch_size=5, size_px=SIZE, augmentation=Jumble(*mixes), num_classes=3,
            scaling=scaling, shuffle=True, seed=3, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    plain = list(made().epoch(1))
    mixed = list(made(mixup, cutmix, threads=7).epoch(1))
    for (before, classes), (after, shares) in zip(plain, mixed, strict=True):
        assert (after.dtype, after.shape, shares.dtype, shares.shape) == (before.dtype, before.shape, np.float32, (len(before), 3))
        np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
        assert shares[np.arange(len(classes)), classes].min() >= 0
        assert not np.array_equal(after, before)
    for start in (1, 3):
        rest = list(made(mixup, cutmix, threads=1).epoch(1, start))
        for (pixels, shares), (whole_pixels, whole_shares) in zip(rest, mixed[start:], strict=True):
            np.testing.assert_array_equal(pixels, whole_pixels)
            np.testing.assert_array_equal(shares, whole_shares)
    for (_, one), (_, other) in zip(made(mixup).epoch(1), made(mixup).epoch(2), strict=True):
        assert not np.array_equal(one, other), "each epoch and each batch draws anew"


def test_pictures_that_are_only_mixed_are_otherwise_as_they_are(pictures):
    """Of batches with CutMix, every pixel is that of one of the batch's own pictures."""
    exact = pictures.resized(square(SIZE))
    options = {"shuffle": False, "num_classes": 230}
    plain = loader(exact, augmentation=None, shuffle=False)
    mixed = loader(exact, augmentation=create_augmentation("none+cutmix"), **options)
    for (before, _), (after, shares) in zip(plain.epoch(0), mixed.epoch(0), strict=True):
        assert (after[:, None] == before[None]).all(axis=-1).any(axis=1).all()
        assert shares.shape == (len(before), 230)


def test_a_class_without_a_column_cannot_be_mixed(pictures):
    with pytest.raises(InputError, match="not every class has a column") as caught:
        loader(pictures, augmentation=Jumble(MIXES["cutmix"].build()), num_classes=220)
    assert caught.value.got == "num_classes=220, class 220"


@pytest.mark.parametrize("scaling", [None, Scaling.of([0, 0, 0], [1, 1, 1])])
def test_batches_are_whole_arrays_of_their_own(pictures, scaling):
    kept = list(loader(pictures, scaling=scaling).epoch(0))
    again = [pixels.copy() for pixels, _ in kept]
    list(loader(pictures, scaling=scaling).epoch(1))
    for (pixels, targets), before in zip(kept, again, strict=True):
        assert pixels.dtype == (np.float32 if scaling else np.uint8)
        assert pixels.flags.c_contiguous
        assert pixels.flags.writeable
        assert len(pixels) == len(targets)
        np.testing.assert_array_equal(pixels, before)


def test_memory_of_batches_that_nobody_holds_is_used_again(pictures):
    import torch

    rows = np.tile(np.arange(COUNT), 20)
    made = Loader(pictures, rows, rows, batch_size=5, size_px=SIZE, augmentation=Jumble(), shuffle=False, seed=0, threads=2)  # type: ignore[arg-type]
    dropped = {pixels.__array_interface__["data"][0] for pixels, _ in made.epoch(0)}
    assert len(dropped) <= 16 < len(made)
    held = [torch.from_numpy(pixels)[1:, :3].permute(0, 3, 1, 2) for pixels, _ in made.epoch(0)]  # views of views, as a model holds them
    assert len({part.untyped_storage().data_ptr() for part in held}) == len(made)
    for part, (pixels, _) in zip(held, made.epoch(0), strict=True):
        np.testing.assert_array_equal(part.permute(0, 2, 3, 1).numpy(), pixels[1:, :3])


def test_pictures_of_another_size_are_refused_without_augmentation(pictures):
    with pytest.raises(InputError, match="must have the size") as caught:
        loader(pictures, augmentation=None)
    assert (caught.value.got, caught.value.expected) == ("27 px", "24 px")


def test_a_picture_that_is_gone_is_named_at_its_turn(tmp_path):
    data = paint(tmp_path / "data", COUNT)
    with open_source(data) as source, PixelStore(tmp_path / "none", max_mb=0) as none:
        seen = scan(source)
        (data / "cat" / "004.png").unlink()
        same = StoredPictures(none, source, seen.items, seen.hashes, preprocessing=square(SIZE))
        row = [item.path for item in seen.items].index("cat/004.png")
        batches = loader(same, augmentation=None, shuffle=False).epoch(0)
        for _ in range((COUNT - 1 - row) // 5):
            next(batches)
        with pytest.raises(UnreadableImage, match=r"'cat/004.png' does not exist"):
            next(batches)


def test_it_stays_a_few_batches_ahead_and_no_more(pictures):
    drawn = []

    class Counted(Jumble):
        def pixels(self, pixels: np.ndarray, chance: Chance, size_px: int) -> np.ndarray:
            drawn.append(1)
            return super().pixels(pixels, chance, size_px)

    before = threading.active_count()
    batches = Loader(
        pictures, np.tile(np.arange(COUNT), 40), np.arange(COUNT), batch_size=8, size_px=SIZE, augmentation=Counted(),  # type: ignore[arg-type]
        shuffle=True, seed=0, threads=2, prefetch=3,
    ).epoch(0)  # fmt: skip
    next(batches)
    time.sleep(0.3)  # the model works
    assert 8 * 3 <= len(drawn) <= 8 * 6
    batches.close()
    assert threading.active_count() == before, "who stops in the middle leaves no thread behind"


@pytest.mark.parametrize(
    ("count", "size", "sizes"),
    [(0, 4, []), (1, 4, [1]), (4, 4, [4]), (5, 4, [5]), (6, 4, [4, 2]), (9, 4, [4, 5]), (3, 1, [1, 1, 1])],
)
def test_a_single_last_example_joins_its_neighbour(count, size, sizes):
    batches = ArrayBatches(np.zeros((count, 3), np.float32), np.arange(count), batch_size=size)
    assert [len(inputs) for inputs, _ in batches.epoch(0)] == sizes
    assert len(batches) == len(sizes)
    assert batches.num_examples == count


def test_batches_of_an_array(tmp_path):
    inputs = np.arange(20, dtype=np.float32).reshape(10, 2)
    batches = ArrayBatches(inputs, np.arange(10), np.array([8, 6, 4, 2, 0]), batch_size=2, shuffle=True, seed=1)
    whole = list(batches.epoch(3))
    assert sorted(int(target) for _, targets in whole for target in targets) == [0, 2, 4, 6, 8]
    assert all((pixels[:, 0] == 2 * targets).all() for pixels, targets in whole)
    rest = list(batches.epoch(3, 1))
    assert [targets.tolist() for _, targets in rest] == [targets.tolist() for _, targets in whole[1:]]
    order = np.random.default_rng([1, 3]).permutation(5)
    assert [int(t) for _, targets in whole for t in targets] == np.array([8, 6, 4, 2, 0])[order].tolist()
