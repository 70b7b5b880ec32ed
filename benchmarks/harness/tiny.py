"""Tiny-ImageNet, from the archive of the real data: classes drawn by a seed, and which of their pictures learn, choose, and test."""

import csv
import json
import random
import zipfile
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness.places import shared

TINY = "data/tiny_imagenet_36k.zip"
_FIRST_WATCHED = 162  # of the 180 training pictures of a class; the tenth behind it is validation, as in the texts


class Picture(NamedTuple):
    """A picture in the archive: its name there, its class, its side ("train", "validation"), and its place among those of both."""

    path: str
    label: str
    side: str
    place: int

    @property
    def split(self) -> str:
        """The archive's validation side is the test. (`fovea_tiny` has learned from both sides of all classes but its held-out ones.)"""
        return "test" if self.side != "train" else "train" if self.place < _FIRST_WATCHED else "validation"


def labels() -> list[str]:
    """All 200 classes."""
    with zipfile.ZipFile(shared(TINY)) as archive:
        return sorted({name.split("/")[1] for name in archive.namelist() if name.count("/") == 2})


def drawn(seed: int, count: int, *, without: Collection[str] = ()) -> list[str]:
    """So many classes, in order of their labels."""
    return sorted(random.Random(seed).sample([label for label in labels() if label not in without], count))


def names_of(chosen: Iterable[str]) -> list[str]:
    """What people call the classes."""
    with zipfile.ZipFile(shared(TINY)) as archive:
        names = json.loads(archive.read("classes.json"))
    return [str(names[label]) for label in chosen]


def pictures_of(chosen: Collection[str]) -> list[Picture]:
    """All pictures of these classes, in order of their names."""
    found, seen = list[Picture](), Counter[tuple[str, str]]()
    with zipfile.ZipFile(shared(TINY)) as archive:
        for path in sorted(archive.namelist()):
            side, _, rest = path.partition("/")
            label, _, file = rest.partition("/")
            if file and label in chosen:
                found.append(Picture(path, label, side, seen[side, label]))
                seen[side, label] += 1
    return found


def extract(pictures: Iterable[Picture], folder: Path) -> None:
    """Writes the pictures under their names."""
    with zipfile.ZipFile(shared(TINY)) as archive:
        archive.extractall(folder, [picture.path for picture in pictures])


def write_table(rows: Iterable[tuple[str, str, str]], path: Path) -> Path:
    """A table of paths, labels and splits."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return path


def write_split(chosen: Collection[str], folder: Path) -> Path:
    """The pictures of these classes and their table."""
    pictures = pictures_of(chosen)
    extract(pictures, folder)
    return write_table([(picture.path, picture.label, picture.split) for picture in pictures], folder / "table.csv")
