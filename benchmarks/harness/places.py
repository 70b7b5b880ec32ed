"""Where things lie: the checkout, and the real data that are kept beside it and never in it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PHOTOS = "data/cats_dogs"
WEIGHTS = "weights/mobilenet_v2_imagenet.safetensors"
SHOWN = "../shared"  # how commands are written down, wherever the data of this machine lie

# cats_dogs: 2,000 / 1,000 / 1,000 photos, balanced (its README)
NUM_PHOTOS = {"train": 2000, "validation": 1000, "test": 1000}


class Skip(Exception):
    """The question cannot be asked here, and why."""


@dataclass(frozen=True)
class Command:
    """A command of ours, and how it is written down: with the data where everyone has them, never where they lie here."""

    words: tuple[str, ...]

    @property
    def said(self) -> str:
        here = str(shared_folder())
        return " ".join(["fovea", *(word.replace(here, SHOWN, 1) for word in self.words)])


def shared_folder() -> Path:
    """The folder of real data and weights: FOVEA_TEST_DATA, else ../shared beside the checkout."""
    return Path(os.environ.get("FOVEA_TEST_DATA") or ROOT / SHOWN).resolve()


def shared(inside: str) -> Path:
    """A file or folder of the real data.

    Raises:
        Skip: It is not here.
    """
    path = shared_folder() / inside
    if not path.exists():
        raise Skip(f"there is no {SHOWN}/{inside}: name the folder that holds {inside} in FOVEA_TEST_DATA")
    return path


def main_job(*, out: str = "run") -> Command:
    """The main job as the first issue states it: the command that the peer is compared with."""
    words = ("train", str(shared(PHOTOS)), "--backbone", "mobilenet_v2", "--weights", str(shared(WEIGHTS)))
    return Command((*words, "--strategy", "probe", "--image-size", "224", "--out", out))


def warm_the_disk(paths: Sequence[Path]) -> None:
    """Reads all files once, so that whoever comes first in a comparison does not pay for the disk."""
    for path in paths:
        for file in [path] if path.is_file() else path.rglob("*"):
            if file.is_file():
                file.read_bytes()
