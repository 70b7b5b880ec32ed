"""Arrays in one file are pictures with their own splits; what is no row of pictures is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fovea.data import decode, open_source
from fovea.errors import DataError


def _saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "digits.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(
    "names", [("train_images", "train_labels", "test_images", "test_labels"), ("x_train", "y_train", "x_test", "y_test")]
)
@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (6, 9, 3)])
def test_pictures_come_back_as_they_were(tmp_path: Path, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    train, test = (rng.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (20, 6))
    labels = np.arange(20) % 2, np.arange(6) % 2
    with open_source(_saved(tmp_path, **dict(zip(names, (train, labels[0], test, labels[1]), strict=True)))) as source:
        assert source.class_names == ("0", "1")
        assert [sum(item.split == split for item in source.items) for split in ("train", "validation", "test")] == [20, 0, 6]
        item = next(item for item in source.items if item.path == "train/1/000003.png")
        pixels = decode(source.read(item), path=item.path).pixels
        assert np.array_equal(pixels, np.broadcast_to(train[3].reshape(*shape[:2], -1), (*shape[:2], 3)))


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (np.zeros((4, 8, 8), np.float32), np.arange(4), "no row of labelled pictures"),
        (np.zeros((4, 8, 8), np.uint8), np.arange(3), "no row of labelled pictures"),
        (np.zeros((4, 64), np.uint8), np.arange(4), "no row of labelled pictures"),
        (np.array([{}], dtype=object), np.arange(1), "cannot be read"),
    ],
)
def test_what_is_no_row_of_pictures(tmp_path: Path, images: Any, labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        open_source(_saved(tmp_path, train_images=images, train_labels=labels))
