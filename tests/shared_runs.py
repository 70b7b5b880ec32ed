"""Small data and finished runs that the end-to-end tests share: each is made once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import fovea
from fovea.cli import main
from fovea.models.backbone import create_backbone
from fovea.models.passport import Passport
from fovea.models.weights import save_weights
from fovea.training.run import Run

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def paint(folder: Path, counts: dict[str, int], *, size_px: int = 40, seed: int = 0) -> Path:
    """Class folders of pictures that a small network can tell apart: discs, squares and crosses in noise."""
    rng = np.random.default_rng(seed)
    for name, count in counts.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = rng.integers(0, 90, (size_px, size_px, 3), dtype=np.uint8)
            x, y = (int(v) for v in rng.integers(12, size_px - 12, 2))
            colour = tuple(int(v) for v in rng.integers(160, 256, 3))
            if name.startswith("disc"):
                cv2.circle(pixels, (x, y), 9, colour, -1)
            elif name.startswith("square"):
                cv2.rectangle(pixels, (x - 8, y - 8), (x + 8, y + 8), colour, -1)
            else:
                cv2.line(pixels, (x - 9, y), (x + 9, y), colour, 3)
                cv2.line(pixels, (x, y - 9), (x, y + 9), colour, 3)
            cv2.imwrite(str(folder / name / f"{name}{index:03}.png"), pixels)
    return folder


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """240 pictures of two classes: enough that splits go by hash."""
    return paint(tmp_path_factory.mktemp("photos"), {"cross": 120, "disc": 120})


@pytest.fixture(scope="session")
def probe_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A probe through random weights: the whole way, in two seconds."""
    out = tmp_path_factory.mktemp("runs") / "probe"
    return fovea.train(str(photos), out=str(out), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=64)


@pytest.fixture(scope="session")
def scratch_run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small network from nothing, three epochs."""
    out = tmp_path_factory.mktemp("runs") / "scratch"
    return fovea.train(str(photos), out=str(out), strategy="scratch", image_size=28, epochs=3)


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for FOVEA_WEIGHTS, with weights by chance: what they know is nothing, and the way is the same."""
    folder = tmp_path_factory.mktemp("weights")
    passport = Passport(
        name="by chance", sha256="", licence="none", trained_on="nothing", image_size_px=64, score="none", backbone="mobilenet_v2"
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # the same each time: a test of chance is then no game of chance
        save_weights(create_backbone("mobilenet_v2"), folder / "mobilenet_v2.safetensors", passport)
    return folder


@pytest.fixture
def command() -> Command:
    """Runs `fovea ...` as a person would, in a process of its own."""

    def run(*words: object, **options: object) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-m", "fovea", *map(str, words)]
        return subprocess.run(line, capture_output=True, text=True, timeout=120, **options)  # type: ignore[call-overload, no-any-return]

    return run


@pytest.fixture
def here(capsys: pytest.CaptureFixture[str]) -> Command:
    """The same in this process, which spares the seconds of starting one: for the many ways to be wrong."""

    def run(*words: object) -> "subprocess.CompletedProcess[str]":
        line = [*map(str, words)]
        capsys.readouterr()
        code = main(line)
        return subprocess.CompletedProcess(line, code, *capsys.readouterr())

    return run
