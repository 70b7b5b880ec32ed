"""Folders and archives that tests write, with pictures whose colour says which file they are."""

import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image
from tests.bad_files import Colour, save

from fovea.data import Source, decode
from fovea.errors import FoveaError

FILES = ("cat/1.jpg", "cat/deep/er/2.PNG", "dog/1.jpg", "dog/2.jpeg")
SPLIT_FILES = tuple(f"{split}/{label}/{n}.jpg" for split in ("train", "val", "test") for label in ("cat", "dog") for n in (1, 2))


def colour_of(path: str) -> Colour:
    red, green, blue = np.random.default_rng(list(os.fsencode(path))).integers(0, 256, 3).tolist()
    return red, green, blue


def content(path: str) -> bytes:
    """A picture whose colour says which file it is."""
    return save(Image.new("RGB", (4, 4), colour_of(path)), "PNG")


def write(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content(path))
    return folder


def check_pictures(source: Source, under: str = "") -> None:
    """Every item is the file that it says it is."""
    assert [item.path for item in source.items] == sorted(item.path for item in source.items)
    for item in source.items:
        assert tuple(decode(source.read(item), path=item.path).pixels[0, 0]) == colour_of(under + item.path), item


def check_error(error: FoveaError, *says: str) -> None:
    first, *rest = str(error).split("\n")
    assert [part for part in says if part not in first] == []
    assert [line.split(":")[0].strip() for line in rest] == ["got", "expected", "fix"]
    assert all(part.strip() for part in error.to_json().values())
    assert error.exit_code == 2


def pack(folder: Path, kind: str, to: Path, *, under: str = "") -> Path:
    """The folder as an archive, its files below `under`."""
    archive = to / f"data.{kind}"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    if kind == "zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for path in files:
                packed.write(path, under + path.relative_to(folder).as_posix())
    else:
        with tarfile.open(archive, f"w:{kind.partition('.')[2]}") as packed:  # type: ignore[call-overload]
            for path in files:
                packed.add(path, under + path.relative_to(folder).as_posix())
    return archive


KINDS = ("zip", "tar", "tar.gz", "tar.xz", "tar.bz2")
