"""What cannot be done is said: the first line is the problem, the fix stands below, the exit code is right, no traceback."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.shared_runs import paint

from fovea.bundle.archive import write_files

PROBE = ("--strategy", "probe", "--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "32")


def _loose(folder: Path) -> Path:
    """Pictures without class folders."""
    paint(folder / "tmp", {"disc": 4})
    for path in (folder / "tmp" / "disc").iterdir():
        path.rename(folder / path.name)
    shutil.rmtree(folder / "tmp")
    return folder


def _file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "notes.txt").write_text("no pictures")
    return folder / "notes.txt"


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


# what the data is like -> what the first line must say
DATA = {
    "no class folders": (_loose, "class folders"),
    "one class": (lambda folder: paint(folder, {"disc": 8}), "one class"),
    "a class with one picture": (lambda folder: paint(folder, {"disc": 8, "square": 1}), "only one picture of 'square'"),
    "an empty folder": (_empty, "is empty"),
    "no such path": (lambda folder: folder / "nowhere", "does not exist"),
    "a file in place of a folder": (_file, "notes.txt"),
}


def check(done: "subprocess.CompletedProcess[str]", code: int, says: str) -> None:
    assert done.returncode == code, done.stderr
    lines = done.stderr.strip().splitlines()
    assert says in lines[0], done.stderr
    assert [line.split(":")[0].strip() for line in lines[1:4]] == ["got", "expected", "fix"], done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("kind", DATA)
def test_data_that_cannot_be_learned_from(kind, tmp_path, here):
    make, says = DATA[kind]
    data = make(tmp_path / "data")
    check(here("train", data, "--out", tmp_path / "run", *PROBE), 2, says)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--backbone", "mobilenet_v9"], "no backbone is called 'mobilenet_v9'"),
        (["--weights", "nowhere.safetensors", "--backbone", "mobilenet_v2"], "nowhere.safetensors"),
        (["--epochs", "0"], "--epochs cannot be 0"),
        (["--lr", "nan"], "--lr cannot be nan"),
        (["--image-size", "7"], "--image-size cannot be 7"),
        (["--strategy", "scratch", "--weights", "some.safetensors"], "--weights names some"),
    ],
)
def test_options_that_cannot_be(options, says, photos, tmp_path, here):
    check(here("train", photos, "--out", tmp_path / "run", *options), 2, says)


@pytest.mark.slow
def test_output_that_is_a_file(photos, tmp_path, command):
    (tmp_path / "run").write_text("mine")
    check(command("train", photos, "--out", tmp_path / "run", *PROBE), 2, "is a file")
    assert (tmp_path / "run").read_text() == "mine"


def test_output_that_cannot_be_written(photos, here):
    check(here("train", photos, "--out", "/proc/fovea-run", *PROBE), 2, "/proc/fovea-run")  # read-only for everyone, root included


@pytest.mark.slow
def test_full_disk(photos, tmp_path, here):
    """A file may not grow beyond a megabyte: what a full disk does, and no privilege is needed. The model is nine."""
    line = [sys.executable, "-m", "fovea", "train", str(photos), "--out", str(tmp_path / "run"), *PROBE[:-1], "64"]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    done = subprocess.run(line, capture_output=True, text=True, timeout=120, preexec_fn=limit)
    check(done, 1, "the disk is full")
    assert not (tmp_path / "run" / "metrics.json").exists()
    assert not (tmp_path / "run" / "bundle" / "bundle.json").exists()
    assert not list((tmp_path / "run").rglob("*.part"))
    # with room again the same command finishes
    assert here(*line[3:]).returncode == 0


@pytest.mark.slow
def test_full_disk_of_the_cache(photos, tmp_path):
    line = [sys.executable, "-m", "fovea", "train", str(photos), "--out", str(tmp_path / "run"), *PROBE]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    done = subprocess.run(
        line, capture_output=True, text=True, timeout=120, preexec_fn=limit, env=os.environ | {"FOVEA_CACHE": str(tmp_path / "cache")}
    )
    check(done, 1, "the disk is full")


def test_error_as_json(tmp_path, here):
    done = here("train", tmp_path / "nowhere", "--out", tmp_path / "run", "--json")
    assert done.returncode == 2
    assert set(json.loads(done.stdout)["error"]) == {"problem", "got", "expected", "fix"}


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda bundle: (bundle / "model.onnx").unlink(), "not a whole bundle: model.onnx missing"),
        (lambda bundle: (bundle / "model.onnx").write_bytes(b"x" * 100), "cannot be opened"),
        (lambda bundle: (bundle / "bundle.json").write_text("{"), "bundle.json"),
        (lambda bundle: (bundle / "golden.npz").write_bytes(b"x"), "golden.npz"),
        (shutil.rmtree, "no such path"),
        (
            lambda bundle: (bundle / "bundle.json").write_text((bundle / "bundle.json").read_text().replace('"format": 1', '"format": 99')),
            "newer Fovea",
        ),
    ],
    ids=["no model", "broken model", "broken json", "broken golden", "gone", "newer"],
)
def test_bundles_that_are_broken(spoil, says, probe_run, photos, tmp_path, here):
    bundle = Path(shutil.copytree(probe_run.bundle, tmp_path / "bundle"))
    spoil(bundle)
    check(here("predict", bundle, next((photos / "disc").iterdir())), 2, says)


@pytest.mark.parametrize(
    ("at", "value", "says"),
    [
        (8, b"\1\0", "is encrypted, first seen at 'model.onnx'"),
        (24, b"\xfe\xff\xff\xff", "states that it unpacks to more than a bundle can hold"),
        (24, b"\1\0\0\0", "is not a bundle"),
        (10, b"\x61\0", "is not a bundle"),
    ],
    ids=["password", "bomb", "more than it states", "unknown compression"],
)
def test_fovea_files_that_cannot_be_read(at, value, says, probe_run, photos, tmp_path, here):
    """Something else is written into the record of `model.onnx` in the zip's directory (APPNOTE.TXT, section 4.3.12)."""
    files = {name: (probe_run.bundle / name).read_bytes() for name in ("model.onnx", "golden.npz", "bundle.json")}
    packed = write_files(tmp_path / "b.fovea", files)
    content = bytearray(packed.read_bytes())
    record = int.from_bytes(content[content.rindex(b"PK\5\6") + 16 :][:4], "little")
    content[record + at : record + at + len(value)] = value
    packed.write_bytes(content)
    check(here("predict", packed, next((photos / "disc").iterdir())), 2, says)


@pytest.mark.parametrize("content", ["one array", "another's object", "too many bytes"])
def test_golden_arrays_that_cannot_be_read(content, probe_run, photos, tmp_path, here):
    bundle = Path(shutil.copytree(probe_run.bundle, tmp_path / "bundle"))
    golden = io.BytesIO()
    if content == "one array":
        np.save(golden, np.zeros(3))
    elif content == "another's object":
        np.savez(golden, pixels=np.array([{}], object))
    else:
        np.savez(golden, pixels=np.zeros(3, np.uint8))
        golden = io.BytesIO(golden.getvalue().replace(b"'shape': (3,), ", b"'shape': (1<<60,),"[:15]))
    (bundle / "golden.npz").write_bytes(golden.getvalue())
    check(here("predict", bundle, next((photos / "disc").iterdir())), 2, "golden.npz")


def test_all_inputs_failed(probe_run, tmp_path, here):
    (tmp_path / "a.jpg").write_bytes(b"")
    done = here("predict", probe_run.bundle, tmp_path / "a.jpg", tmp_path / "b.jpg")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_run_within_its_own_data(photos, here):
    check(here("train", photos, "--out", photos / "run", *PROBE), 2, "run")
    assert not (photos / "run").exists()
