"""What a run says of itself is true: labels by chance are said to be nothing learned, leaked data to be leaked, few pictures to be few."""

import csv
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.shared_runs import paint

import fovea
from fovea.training.run import Run

PROBE = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 32}


def text_of(report: Path) -> str:
    """What a reader sees, in one line."""
    page = report.read_text()
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page[page.index("<body") :])))


def shuffled(folder: Path, count: int, to: Path) -> Path:
    """The pictures of two classes in a table, their labels dealt out at random.

    They lie beside the table, under names that are the same each time: which picture is hidden goes by its path, and one draw in twenty would be no draw
    to be tested by.
    """
    found, rng = sorted(path for path in folder.rglob("*.png")), np.random.default_rng(2)
    paths = [f"pictures/{number:03}.png" for number in range(count)]
    (to.parent / "pictures").mkdir()
    for path, i in zip(paths, rng.permutation(len(found))[:count], strict=True):
        shutil.copy(found[i], to.parent / path)
    labels = rng.permutation(np.arange(count) % 2)
    with open(to, "w", newline="") as file:
        rows = [(path, ("left", "right")[label]) for path, label in zip(paths, labels, strict=True)]
        csv.writer(file).writerows([("path", "label"), *rows])
    return to


def says_nothing_was_learned(run: Run, *, few: bool) -> None:
    metrics = json.loads((run.path / "metrics.json").read_text())
    low, high = metrics["test"]["accuracy_ci95"]
    assert low < 0.5 < high
    assert ("accuracy" in (metrics["cross_validation"] or {})) == few
    if few:
        low, high = metrics["cross_validation"]["accuracy_ci95"]
        assert low < 0.5 < high
    assert not any(part["worse"] for part in metrics["slices"])
    said = text_of(run.report)
    assert "Nothing was learned, as far as can be told" in said
    assert "nothing suggests that more pictures of this kind would help" in said
    assert "nothing was learned, as far as can be told" in run.to_text()


def test_labels_by_chance(photos, tmp_path):
    table = shuffled(photos, 240, tmp_path / "table.csv")
    says_nothing_was_learned(fovea.train(str(table), out=str(tmp_path / "run"), **PROBE), few=False)


@pytest.mark.slow
@pytest.mark.parametrize("count", [100, 240])
def test_labels_by_chance_with_auto(count, photos, weights_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEA_WEIGHTS", str(weights_folder))
    table = shuffled(photos, count, tmp_path / "table.csv")
    run = fovea.train(str(table), out=str(tmp_path / "run"), budget="20s")
    says_nothing_was_learned(run, few=count < 200)
    assert "no probe was shown to be right more often than always naming the commonest class" in " ".join(run.metrics.model_extra["notes"])


def leaked(folder: Path) -> Path:
    """Two classes that look alike, a third of the test pictures in train too."""
    source = paint(folder / "source", {"disc_a": 70, "disc_b": 70}, seed=5)
    for name in ("disc_a", "disc_b"):
        files = sorted((source / name).iterdir())
        for split, part in (("train", files[:40]), ("validation", files[40:50]), ("test", [*files[30:40], *files[50:]])):
            (folder / "data" / split / name).mkdir(parents=True)
            for file in part:
                shutil.copy(file, folder / "data" / split / name / f"{split}_{file.name}")
    return folder / "data"


def test_leaked_data_is_said_to_be_leaked(tmp_path):
    data = leaked(tmp_path)
    kept = fovea.train(str(data), out=str(tmp_path / "kept"), keep_leaks=True, **PROBE)
    found = kept.metrics.model_extra["leaked"]
    assert (found["split"], found["n"], found["of"], found["clean"]["n"]) == ("test", 20, 60, 40)
    with open(kept.path / "predictions.csv", newline="") as file:
        clean = [row for row in csv.DictReader(file) if int(re.search(r"disc_.(\d+)\.png", row["path"])[1]) >= 50]
    assert len(clean) == 40
    assert found["clean"]["accuracy"] == pytest.approx(np.mean([row["true"] == row["predicted"] for row in clean]))
    assert found["clean"]["accuracy"] < kept.metrics.test.accuracy
    said = text_of(kept.report)
    assert "The data is leaked: 20 of the 60 test pictures stand in training too" in said
    assert "On the 40 test pictures that it had not learned from, it was right" in said
    assert "the data is leaked: 20 of 60 test pictures stand in training too" in kept.to_text()


@pytest.mark.slow
def test_leaks_that_auto_leaves_out_are_said_too(weights_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEA_WEIGHTS", str(weights_folder))
    run = fovea.train(str(leaked(tmp_path)), out=str(tmp_path / "run"), budget="20s")
    assert run.metrics.model_extra["leaked"] is None
    assert run.metrics.num_files == {"train": 60, "validation": 20, "test": 60}
    assert "The data is leaked: 20 training pictures stand in validation or test too. They were left out" in text_of(run.report)


@pytest.mark.slow
def test_few_pictures_are_measured_by_hiding_each_in_turn(tmp_path):
    data = paint(tmp_path / "data", {"cross": 40, "disc": 40})
    run = fovea.train(str(data), out=str(tmp_path / "run"), **PROBE)
    hidden = run.metrics.model_extra["cross_validation"]
    assert (hidden["n"], hidden["folds"], hidden["learned_from"]) == (80, 5, run.metrics.num_files["train"])
    test_width = np.ptp(run.metrics.test.accuracy_ci95)
    assert np.ptp(hidden["accuracy_ci95"]) < test_width, "80 pictures tell more than 12"
    said = text_of(run.report)
    assert f"it was right {100 * hidden['accuracy']:.1f}" in said
    assert "There are only 80 pictures. A split of 12 tells too little" in said
    assert "believe repeated cross-validation instead" in run.to_text()


def test_figures_beyond_the_splits(probe_run):
    """Of 240 pictures with a probe: no cross-validation, a curve, slices by what can differ; and the page shows them."""
    found = probe_run.metrics.model_extra
    assert found["cross_validation"] is None
    assert found["leaked"] is None
    assert [point["n"] for point in found["learning_curve"]["points"]] == sorted(point["n"] for point in found["learning_curve"]["points"])
    assert not found["learning_curve"]["approximate"]
    said = text_of(probe_run.report)
    assert "What more pictures would bring" in said
    if found["slices"]:
        assert "Where it does worse" in said


def test_a_whole_network_has_no_learning_curve(scratch_run):
    assert "would be a training of its own" in scratch_run.metrics.model_extra["learning_curve"]["skipped"]
    assert "There is no learning curve here" in text_of(scratch_run.report)
