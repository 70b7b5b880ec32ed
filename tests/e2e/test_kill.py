"""SIGKILL in the middle: nothing half-written looks whole, and the next run finishes with the same figures.

The benchmark `kill` does this at 20 random moments; here three moments are enough to fail if a write is not atomic.
"""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

import fovea


def _figures(run_folder) -> dict[str, object]:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in ("timing", "command")}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["--strategy", "probe", "--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "64"]])
def test_killed_runs_finish_with_the_same_figures(options, photos, probe_run, tmp_path):
    environment = os.environ | {"FOVEA_CACHE": str(tmp_path / "cache")}
    line = [sys.executable, "-m", "fovea", "train", str(photos), *options]
    started = time.monotonic()
    subprocess.run([*line, "--out", str(tmp_path / "whole")], env=environment, check=True, capture_output=True)
    whole_s = time.monotonic() - started
    shutil.rmtree(tmp_path / "cache")  # with it, the next run would be quicker than this one was
    num_killed = 0
    for share in (0.5, 0.75, 0.95):
        process = subprocess.Popen(
            [*line, "--out", str(tmp_path / "killed")], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(whole_s * share)
        process.send_signal(signal.SIGKILL)
        num_killed += process.wait() == -signal.SIGKILL
        store = tmp_path / "cache" / "embeddings.sqlite"
        if store.exists():
            with sqlite3.connect(store) as database:
                assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if (tmp_path / "killed" / "metrics.json").exists():
            break  # it was quicker than the kill
        if (tmp_path / "killed" / "bundle" / "bundle.json").exists():
            fovea.load_bundle(tmp_path / "killed" / "bundle")
    else:
        done = subprocess.run([*line, "--out", str(tmp_path / "killed")], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert num_killed >= 1, "every run was quicker than its kill: nothing was tried"
    assert _figures(tmp_path / "killed") == _figures(tmp_path / "whole")
