"""A folder with every kind of bad file: the run finishes, and each is decoded rightly or named."""

import html
import json
import os
import re
import unicodedata

import pytest
from tests.bad_files import make_bad_folder
from tests.shared_runs import paint

import fovea


@pytest.mark.slow
def test_training_with_every_kind_of_bad_file(tmp_path):
    data = paint(tmp_path / "data", {"disc": 20, "odd": 20})
    expected = make_bad_folder(data / "odd")
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=32)
    audit = json.loads((run.path / "audit.json").read_text())
    named = {entry["path"] for entry in audit["unreadable"]}
    bad = {f"odd/{name}" for name, expect in expected.items() if not expect.readable}
    assert len(expected) >= 30
    assert {path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") for path in bad} == named
    assert audit["num_readable"] == audit["num_items"] - len(bad)
    assert all(entry["problem"] and entry["fix"] for entry in audit["unreadable"])
    assert sum(run.metrics.num_files.values()) <= audit["num_readable"]
    report = " ".join(re.sub("<[^>]+>", " ", run.report.read_text()).split())
    told = [entry for entry in audit["unreadable"] if f"{html.escape(entry['path'])} : " in report]
    assert f"{len(bad)} files cannot be read" in report
    assert len(told) >= 20
    assert len(told) == len(bad) or f"And {len(bad) - len(told)} more, in audit.json" in report


@pytest.mark.slow
def test_class_names_that_are_no_text_elsewhere(tmp_path):
    """Training, evaluation, prediction and a cleaned copy agree on the names of classes in Latin-1, or with accents as macOS writes them."""
    data = paint(tmp_path / "data", {"cross": 20, "disc": 20})
    (data / "cross").rename(data / os.fsdecode(b"caf\xe9"))
    (data / "disc").rename(data / unicodedata.normalize("NFD", "thé"))
    names = ["caf\\xe9", "thé"]
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=32)
    assert run.metrics.class_names == names
    fovea.audit(str(data), apply=str(tmp_path / "copy"))
    for there in (data, tmp_path / "copy"):
        assert fovea.evaluate(str(run.path), str(there)).metrics["n"] == 40
    (answer,) = fovea.predict(str(run.path), str(next((data / os.fsdecode(b"caf\xe9")).iterdir()))).to_json()["predictions"]
    assert sorted(answer["probabilities"]) == names
    assert abs(sum(answer["probabilities"].values()) - 1) < 1e-3
