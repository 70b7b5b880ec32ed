"""Asking and measuring a finished model: what is written, what is said of what cannot be answered, what is never replaced."""

import csv
import json
from pathlib import Path

import pytest

import fovea
from fovea.errors import OutputError, UnreadableImage


def test_the_table_has_a_row_for_each_picture(probe_run, photos, tmp_path, capsys):
    pictures = [photos / "disc" / "disc000.png", tmp_path / "gone.png", photos / "cross" / "cross000.png"]
    found = fovea.predict(str(probe_run.bundle), pictures, out=str(tmp_path / "answers.csv"))
    assert found.to_text().splitlines()[-1] == f"written to {tmp_path / 'answers.csv'}"
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert [row["path"] for row in rows] == [str(picture) for picture in pictures], "in the order in which they were asked for"
    assert list(rows[0]) == ["path", "predicted", "probability", "cross", "disc", "problem"]
    assert (rows[1]["predicted"], rows[1]["disc"]) == ("", "")
    assert "gone.png" in rows[1]["problem"]
    assert rows[0]["predicted"] in ("cross", "disc")
    assert rows[0]["problem"] == ""
    assert found.exit_code == 1
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        found.raise_errors()


def test_predict_replaces_nothing_unless_asked(probe_run, photos, tmp_path):
    picture, table = str(photos / "disc" / "disc000.png"), tmp_path / "labels.csv"
    table.write_text("path,label\n")
    with pytest.raises(OutputError, match="exists already") as caught:
        fovea.predict(str(probe_run.bundle), picture, out=str(table))
    assert "--overwrite" in caught.value.fix
    assert table.read_text() == "path,label\n"
    with pytest.raises(OutputError, match="is a folder"):
        fovea.predict(str(probe_run.bundle), picture, out=str(tmp_path), overwrite=True)
    fovea.predict(str(probe_run.bundle), picture, out=str(table), overwrite=True)
    assert table.read_text().startswith("path,predicted")


def test_as_many_classes_as_are_asked_for(probe_run, photos):
    picture = str(photos / "disc" / "disc000.png")
    every = fovea.predict(str(probe_run.bundle), picture).to_json()["predictions"][0]["probabilities"]
    (one,) = fovea.predict(str(probe_run.bundle), picture, top=1).to_json()["predictions"]
    assert set(every) == {"cross", "disc"}
    assert one["probabilities"] == {one["class_name"]: one["probability"]}
    assert json.dumps(one)


def test_pictures_may_be_paths_or_lists_of_them(probe_run, photos):
    first, second = (photos / "disc" / f"disc00{number}.png" for number in (0, 1))
    many = fovea.predict(str(probe_run.bundle), [str(first), Path(second)])
    assert many.predictions == fovea.predict(str(probe_run.bundle), first, str(second)).predictions
