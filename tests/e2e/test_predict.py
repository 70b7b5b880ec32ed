"""Asking and measuring a finished model: what is written, what is said of what cannot be answered, what is never replaced."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

import fovea
from fovea.errors import DataError, InputError, OutputError, UnreadableImage
from fovea.recipes.evaluate import Report
from fovea.tasks import create_task


def test_the_table_has_a_row_for_each_picture(probe_run, photos, tmp_path, capsys):
    pictures = [photos / "disc" / "disc000.png", tmp_path / "gone.png", photos / "cross" / "cross000.png"]
    found = fovea.predict(str(probe_run.bundle), pictures, out=str(tmp_path / "answers.csv"))
    assert found.to_text().splitlines()[-1] == f"written to {tmp_path / 'answers.csv'}"
    rows = list(csv.DictReader((tmp_path / "answers.csv").open()))
    assert [row["path"] for row in rows] == [str(picture) for picture in pictures], "in the order in which they were asked for"
    assert list(rows[0]) == ["path", "predicted", "probability", "cross", "disc", "prediction_set", "refused", "problem"]
    assert (rows[1]["predicted"], rows[1]["disc"]) == ("", "")
    assert "gone.png" in rows[1]["problem"]
    assert rows[0]["predicted"] in ("cross", "disc")
    assert rows[0]["problem"] == ""
    assert found.exit_code == 1
    with pytest.raises(UnreadableImage, match=r"gone\.png"):
        found.raise_errors()


def test_a_picture_far_smaller_than_the_model_looks_at_is_answered_with_a_caution(probe_run, photos, tmp_path):
    for name, side in (("one", 1), ("small", 15), ("enough", 16)):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((max(side, 2), side, 3), 90, np.uint8))
    one, small, enough = (str(tmp_path / f"{name}.png") for name in ("one", "small", "enough"))
    found = fovea.predict(str(probe_run.bundle), one, small, enough, out=str(tmp_path / "answers.csv"))
    said = [row.get("caution", "") for row in found.to_json()["predictions"]]
    assert said[0].startswith("the picture is only 1 px on its shorter side and the model looks at 64 px")
    assert ["only 15 px" in said[1], said[2]] == [True, ""]
    assert found.to_text().count("caution: ") == 2
    assert [row["problem"] for row in csv.DictReader((tmp_path / "answers.csv").open())] == said
    explained = fovea.explain(str(probe_run.bundle), enough, one, method="eigencam")
    assert explained.to_text().count("caution: the picture is only 1 px") == 1
    assert f"caution: {said[0]}" in explained.to_json()["explanations"][1]["notes"]
    assert fovea.explain(str(probe_run.bundle), enough, one, view="examples").inside.facts["cautions"] == [f"caution: {one}: {said[0]}"]


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


def measured(class_names, confusion):
    n, right = sum(map(sum, confusion)), sum(row[i] for i, row in enumerate(confusion))
    metrics = {"n": n, "accuracy": right / n, "accuracy_ci95": [right / n - 0.05, right / n + 0.05], "nll": 0.1, "ece": 0.02}
    return Report("classification", class_names, metrics | {"confusion": confusion}, []).to_text()


def test_a_measurement_shows_classes_mistakes_and_what_it_must_beat():
    assert measured(["bee", "cat", "dog"], [[40, 0, 0], [1, 25, 4], [0, 0, 0]]).splitlines() == [
        "right on 65 of 70 pictures: 92.9% (95 % interval 87.9% to 97.9%)",
        "always answering 'bee', the commonest class here, would be right on 57.1%",
        "log-likelihood loss 0.1000, calibration error 0.0200",
        "",
        "class  pictures  recognised  right when it says so",
        "bee          40      100.0%                  97.6%",
        "cat          30       83.3%                 100.0%",
        "dog           0           -                   0.0%",
        "",
        "the commonest mistakes:",
        "  'cat' was taken for 'dog': 4 of 30",
        "  'cat' was taken for 'bee': 1 of 30",
    ]
    assert "not shown to be better than always answering 'a', which is right on 80.0%" in measured(["a", "b"], [[8, 0], [2, 0]])


def test_of_many_classes_the_worst_are_shown():
    names = [f"class {number:02}" for number in range(30)]
    confusion = [[(10 - number % 7) * (i == number) + (number % 7) * (i == (number + 1) % 30) for i in range(30)] for number in range(30)]
    lines = measured(names, confusion).splitlines()
    assert "of the 30 classes, the 20 that were recognised least:" in lines
    assert sum(line.startswith("class ") and "%" in line for line in lines) == 20
    assert "the commonest mistakes, 5 of 25 kinds:" in lines


def test_classes_that_differ_in_case_or_blanks_only_are_named():
    with pytest.raises(DataError, match="does not know: 'Big Cat', 'Dog'") as caught:
        create_task("classification", ("big_cat", "dog")).targets(["Dog", "Big Cat", "dog"])
    assert caught.value.fix.startswith("'Big Cat' ... did you mean 'big_cat'? 'Dog' ... did you mean 'dog'? Rename the class folders")


def test_a_measurement_counts_groups_as_training_does(probe_run, photos, tmp_path):
    rows = [(name, f"{name}{number:03}.png", number) for name in ("disc", "cross") for number in range(12)]
    table = [["path", "label", "group"], *([str(photos / name / file), name, f"{name}{number // 4}"] for name, file, number in rows)]
    with open(tmp_path / "grouped.csv", "w", newline="") as file:
        csv.writer(file).writerows(table)
    with open(tmp_path / "alone.csv", "w", newline="") as file:
        csv.writer(file).writerows(row[:2] for row in table)
    alone = fovea.evaluate(str(probe_run.bundle), str(tmp_path / "alone.csv"))
    assert "counted_as" not in alone.metrics
    asked = fovea.evaluate(str(probe_run.bundle), str(tmp_path / "alone.csv"), split_by=r"(disc|cross)0")
    grouped = fovea.evaluate(str(probe_run.bundle), str(tmp_path / "grouped.csv"))
    for found, count in ((grouped, 6), (asked, 2)):
        assert found.metrics["accuracy"] == alone.metrics["accuracy"]
        assert found.metrics["counted_as"] < 24
        assert np.ptp(found.metrics["accuracy_ci95"]) > np.ptp(alone.metrics["accuracy_ci95"])
        assert "belong to one group" in found.to_text()
        if found.metrics["accuracy"] == 1:
            assert found.metrics["counted_as"] == count
    run = shutil.copytree(probe_run.path, tmp_path / "run")
    settings = json.loads((run / "checkpoint" / "settings.json").read_text())
    settings["settings"]["split_by"] = r"(disc|cross)0"
    (run / "checkpoint" / "settings.json").write_text(json.dumps(settings))
    assert fovea.evaluate(str(run), str(tmp_path / "alone.csv")).metrics == asked.metrics, "as the training found its groups"
    with pytest.raises(InputError, match="fits none of the 24 paths"):
        fovea.evaluate(str(probe_run.bundle), str(tmp_path / "alone.csv"), split_by=r"patient(\d+)")
