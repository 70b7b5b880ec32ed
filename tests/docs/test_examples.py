"""The examples run, as a reader would run them, and do what they say."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fovea
from fovea.training.run import Run

WITHOUT_FOVEA = {"json", "sys", "pathlib", "cv2", "numpy", "onnxruntime"}


def run_example(root: Path, name: str, *words: object, **environment: str) -> str:
    """What an example prints, in a process of its own that finds this checkout."""
    line = [sys.executable, str(root / "examples" / name), *map(str, words)]
    paths = os.pathsep.join(filter(None, [str(root / "src"), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, env=os.environ | {"PYTHONPATH": paths} | environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_example_is_tested_and_told(root: Path) -> None:
    examples = {path.name for path in (root / "examples").glob("*.py")}
    assert examples == {"train_and_predict.py", "ask_a_bundle_with_onnxruntime_only.py"}
    for name in examples:
        told = ast.get_docstring(ast.parse((root / "examples" / name).read_text())) or ""
        assert f"python examples/{name}" in told


@pytest.mark.slow
def test_train_and_predict(root: Path, photos: Path, weights_folder: Path, tmp_path: Path) -> None:
    picture = next((photos / "disc").iterdir())
    words = (photos, tmp_path / "run", picture, tmp_path / "gone.png")
    printed = run_example(root, "train_and_predict.py", *words, FOVEA_WEIGHTS=str(weights_folder)).splitlines()
    assert re.fullmatch(r"right on \d+\.\d% of \d+ pictures; expect \d+\.\d% to \d+\.\d%", printed[0])
    assert (tmp_path / "run" / "report.html").exists()
    assert re.fullmatch(re.escape(f"{picture}: ") + r"(disc|cross), \d+%", printed[2])
    assert "gone.png" in printed[3]


def test_a_bundle_answers_without_fovea(root: Path, photos: Path, probe_run: Run) -> None:
    """PNGs: OpenCV and Fovea decode them alike."""
    pictures = sorted(photos.rglob("*.png"))[::60]
    printed = run_example(root, "ask_a_bundle_with_onnxruntime_only.py", probe_run.bundle, *pictures).splitlines()
    answers = fovea.predict(str(probe_run.bundle), *map(str, pictures)).predictions
    assert len(printed) == len(answers) == 4
    for line, (path, answer) in zip(printed, answers, strict=True):
        name, probability = line.removeprefix(f"{path}: ").split()
        assert name == answer.to_json()["class_name"]
        assert float(probability) == pytest.approx(answer.to_json()["probability"], abs=1e-4)


@pytest.mark.parametrize("words", [[], ["run/bundle"], ["no_bundle", "new.jpg"]])
def test_that_example_says_how_it_is_called(root: Path, words: list[str], tmp_path: Path) -> None:
    line = [sys.executable, str(root / "examples" / "ask_a_bundle_with_onnxruntime_only.py"), *words]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert ("usage: python" if len(words) < 2 else "no_bundle is not the folder of a bundle") in done.stderr


def test_that_example_imports_no_more_than_it_says(root: Path) -> None:
    tree = ast.parse((root / "examples" / "ask_a_bundle_with_onnxruntime_only.py").read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} == WITHOUT_FOVEA
