"""A bundle needs no torch: it answers the same in an environment that has only what requirements-runtime.txt names."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

import fovea


@pytest.mark.slow
def test_bundle_answers_the_same_without_torch(root, photos, probe_run, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", root / "constraints.txt"]
    subprocess.run([*install, "-r", root / "requirements-runtime.txt"], check=True)
    pictures = sorted(photos.rglob("*.png"))[::10]
    done = subprocess.run(
        [python, "-m", "fovea", "predict", probe_run.bundle, *pictures, "--json"],
        env={**os.environ, "PYTHONPATH": str(root / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    without = json.loads(done.stdout)["predictions"]
    assert subprocess.run([python, "-c", "import torch"], capture_output=True).returncode == 1, "torch is there: the test shows nothing"
    with_torch = fovea.predict(str(probe_run.bundle), *map(str, pictures)).to_json()["predictions"]
    assert [answer["class_name"] for answer in without] == [answer["class_name"] for answer in with_torch]
    differences = [abs(a["probability"] - b["probability"]) for a, b in zip(without, with_torch, strict=True)]
    assert np.max(differences) < 1e-4
    assert len(differences) >= 20
