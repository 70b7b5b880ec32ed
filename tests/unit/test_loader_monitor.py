"""The pipeline monitor: it sees the slow step, counts what it says, and leaves nothing behind."""

import json
import time
from pathlib import Path

import numpy as np
import pytest
from tests.unit.test_loader_store import paint

import fovea
from fovea.data.sources.class_folders import TreeSource
from fovea.errors import DataError, InputError, UnknownName
from fovea.files import cache_folder
from fovea.loading import monitor
from fovea.loading.monitor import COLD, STEPS, WARM
from fovea.transforms import Augmentation

SLOW_S = 0.004


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return paint(tmp_path_factory.mktemp("monitor"), 30)


def slowly(work):
    def slow(*arguments, **options):
        time.sleep(SLOW_S)
        return work(*arguments, **options)

    return slow


def test_every_step_is_told_with_its_bytes(data):
    told = fovea.bench_data(str(data), image_size=32, batch_size=8).to_json()
    assert told["list"]["pictures"] == told["num_pictures"] == 30
    steps = {step["name"]: step for step in told["steps"]}
    assert list(steps) == ["read", "hash", "decode", "resize", "keep", "fetch", "augment", "collate", "to float"]
    assert all(step["pictures"] == 30 and step["seconds"] > 0 for step in steps.values())
    margin = round(1.14 * 32)
    expected = {
        "read": sum(path.stat().st_size for path in data.rglob("*.png")),
        "decode": 30 * 40 * 50 * 3,
        "resize": 30 * margin * margin * 3,
        "fetch": 30 * margin * margin * 3,
        "augment": 30 * 32 * 32 * 3,
        "collate": 30 * 32 * 32 * 3,
        "to float": 30 * 32 * 32 * 3 * 4,
    }
    assert {name: steps[name]["bytes"] for name in expected} == expected
    for names, share in ((COLD, "share_of_first_epoch"), (WARM, "share_of_further_epochs")):
        assert sum(step[share] for step in steps.values() if step[share] is not None) == pytest.approx(1)
        assert {name for name, step in steps.items() if step[share] is not None} == set(names) - {"mix"}
    assert told["first_epoch"]["pictures_per_s"] > 0
    assert list(cache_folder().glob("monitor-*")) == []


def test_mixing_is_a_step_where_pictures_are_mixed(data):
    found = fovea.bench_data(str(data), image_size=32, batch_size=8, augment="light+mixup")
    told = found.to_json()["steps"][-1]
    assert (told["name"], told["pictures"], told["bytes"]) == ("mix", 30, 30 * 32 * 32 * 3 * 4)
    assert set(found.pipeline.steps) == set(STEPS)
    assert 0 < told["share_of_further_epochs"] < 1


@pytest.mark.parametrize(("step", "cold", "warm"), [("read", True, False), ("decode", True, False), ("augment", True, True)])
def test_the_slow_step_is_named_in_words_and_in_json(data, monkeypatch, step, cold, warm):
    places = {"read": (TreeSource, "read"), "decode": (monitor, "decode"), "augment": (Augmentation, "pixels")}
    where, name = places[step]
    monkeypatch.setattr(where, name, slowly(getattr(where, name)))
    found = fovea.bench_data(str(data), image_size=32, threads=2)
    told, text = found.to_json(), found.to_text()
    assert (told["first_epoch"]["bottleneck"] == step) is cold
    assert (told["further_epochs"]["bottleneck"] == step) is warm
    (line,) = [line for line in text.splitlines() if line.startswith("the first epoch: ")]
    assert f"{step} takes " in line
    assert STEPS[step] in line
    seconds = next(row["seconds"] for row in told["steps"] if row["name"] == step)
    assert 30 * SLOW_S / 2 <= seconds < 30 * SLOW_S * 3


def test_broken_files_are_counted_and_left_out(tmp_path):
    data = paint(tmp_path / "data", 6)
    (data / "cat" / "broken.png").write_bytes(b"no picture")
    (data / "cat" / "gone.png").symlink_to(tmp_path / "nowhere")
    found = fovea.bench_data(str(data), image_size=32, augment="none")
    assert (found.to_json()["num_pictures"], found.to_json()["num_unreadable"]) == (6, 2)
    assert "left out: 2 files" in found.to_text()
    for path in data.rglob("0*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="none of the pictures"):
        fovea.bench_data(str(data), image_size=32)


def test_of_many_pictures_some_are_drawn(data):
    found = fovea.bench_data(str(data), image_size=32, max_items=10)
    assert (found.num_listed, found.to_json()["num_pictures"]) == (30, 10)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_size": 7}, "--image-size cannot be 7"),
        ({"batch_size": 0}, "--batch-size"),
        ({"threads": -1}, "--threads"),
        ({"max_items": 0}, "--max-items"),
    ],
)
def test_options_that_cannot_be(data, options, says):
    with pytest.raises(InputError, match=says):
        fovea.bench_data(str(data), **options)
    with pytest.raises(UnknownName, match="no augmentation preset is called 'lihgt'"):
        fovea.bench_data(str(data), augment="lihgt")


def test_the_command(data, capsys):
    from fovea.cli import main

    assert main(["bench-data", str(data), "--image-size", "32", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["image_size_px"] == 32
    assert np.isfinite(fovea.bench_data(str(data), image_size=32).list_s)
