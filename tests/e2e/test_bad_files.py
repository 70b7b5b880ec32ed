"""A folder with every kind of bad file: the run finishes, and each is decoded rightly or named."""

import json

from tests.bad_files import make_bad_folder
from tests.shared_runs import paint

import fovea


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
    report = run.report.read_text()
    assert sum(run.metrics.num_files.values()) <= audit["num_readable"]
    assert "truncated" in report.lower() or "cut" in report.lower() or str(len(bad)) in report
