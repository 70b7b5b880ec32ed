"""Bad input of the issue's list: each is named with its place and its mend, in this form and no other; nothing is left behind."""

import csv
import json
import shutil
from pathlib import Path

import pytest
from tests.shared_runs import paint


def pictures(folder: Path, count: int = 8) -> list[Path]:
    return sorted(paint(folder / "pictures", {"disc": count}).rglob("*.png"))


def table(folder: Path, header: list[str], cells: list[str]) -> Path:
    """A CSV of pictures, the cells of each row after its path given in turn."""
    files = pictures(folder, len(cells))
    with open(folder / "table.csv", "w", newline="") as file:
        csv.writer(file).writerows([header, *([path, *cell.split("|")] for path, cell in zip(files, cells, strict=True))])
    return folder / "table.csv"


def splits(folder: Path, **classes: dict[str, int]) -> Path:
    for seed, (split, counts) in enumerate(classes.items()):
        paint(folder / "data" / split, counts, seed=seed)
    return folder / "data"


def newer(run: Path, to: Path, name: str) -> Path:
    """A copy of a run whose file `name` says that a Fovea of tomorrow wrote it."""
    shutil.copytree(run, to)
    found = json.loads((to / name).read_text())
    (to / name).write_text(json.dumps(found | {"format": 99}))
    return to


NUMBERS = ["path", "target"]
OF_NUMBERS = ["1", "2", "3", "4", "5", "6", "7"]
TRAIN = ["train", "DATA", "--out", "OUT", "--strategy", "probe", "--backbone", "mobilenet_v2", "--weights", "none", "--image-size", "32"]
AUTO = ["train", "DATA", "--out", "OUT", "--budget"]

# what is wrong -> (the data, the command, what the first line must say, what some line below it must say)
CASES = {
    "a budget too small for one look": (lambda d, _: paint(d / "data", {"cross": 60, "disc": 60}), [*AUTO, "0.001s"], "--budget 0.001s is too small for anything", "5 minutes"),
    "a budget of nothing": (lambda d, _: paint(d / "data", {"cross": 5, "disc": 5}), [*AUTO, "0s"], "--budget is no time", "90s"),
    "a budget that is no time": (lambda d, _: paint(d / "data", {"cross": 5, "disc": 5}), [*AUTO, "soon"], "--budget is no time", "90s"),
    "a negative budget": (lambda d, _: paint(d / "data", {"cross": 5, "disc": 5}), [*AUTO, "-5m"], "--budget is no time", "90s"),
    "a class missing from train": (lambda d, _: splits(d, train={"cross": 5, "disc": 5}, test={"cross": 3, "square": 3}), TRAIN, "no training pictures of 'square'", "remove it from the other splits"),
    "no train at all": (lambda d, _: table(d, ["path", "label", "split"], ["a|test", "a|test", "b|test", "b|test"]), TRAIN, "no training pictures", "train"),
    "a target that is a word": (lambda d, _: table(d, NUMBERS, [*OF_NUMBERS, "tall"]), TRAIN, "is not a number: 'tall'", "a column 'label'"),
    "a target with a comma": (lambda d, _: table(d, NUMBERS, [*OF_NUMBERS, "3,5"]), TRAIN, "is not a number: '3,5'", "3.5"),
    "a target of NaN": (lambda d, _: table(d, NUMBERS, [*OF_NUMBERS, "nan"]), TRAIN, "is not finite: 'nan'", "remove the row"),
    "an infinite target": (lambda d, _: table(d, NUMBERS, [*OF_NUMBERS, "-inf"]), TRAIN, "is not finite: '-inf'", "remove the row"),
    "an empty target": (lambda d, _: table(d, NUMBERS, [*OF_NUMBERS, " "]), TRAIN, "has no target 'target'", "remove the row"),
    "targets all the same": (lambda d, _: table(d, NUMBERS, ["4"] * 8), TRAIN, "have the same 'target'", "other numbers"),
    "a finished run of a newer Fovea": (lambda d, run: newer(run, d / "newer", "metrics.json"), ["compare", "DATA", "RUN"], "was made by a newer Fovea", "format 99"),
    "settings of a newer Fovea": (lambda d, run: newer(run, d / "OUT", "checkpoint/settings.json"), ["train", "digits", "--out", "DATA"], "was made by a newer Fovea", "format 99"),
    "a run to adapt of a newer Fovea": (lambda d, run: newer(run, d / "newer", "checkpoint/settings.json"), ["adapt", "DATA", "digits", "--out", "OUT"], "was made by a newer Fovea", "format 99"),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_bad_input_is_said(kind, probe_run, weights_folder, tmp_path, monkeypatch, here):
    monkeypatch.setenv("FOVEA_WEIGHTS", str(weights_folder))
    make, words, says, mend = CASES[kind]
    data = make(tmp_path, probe_run.path)
    places = {"DATA": data, "OUT": tmp_path / "out", "RUN": probe_run.path}
    done = here(*(places.get(word, word) for word in words))
    lines = done.stderr.strip().splitlines()
    problem = next(i for i, line in enumerate(lines) if says in line)
    assert done.returncode == 2, done.stderr
    assert [line.split(":")[0].strip() for line in lines[problem + 1 : problem + 4]] == ["got", "expected", "fix"], done.stderr
    assert mend in " ".join(lines[problem + 1 :])
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert not (tmp_path / "out").exists()


def test_a_class_missing_from_test_is_said_and_the_rest_measured(tmp_path, here):
    data = splits(tmp_path, train={"cross": 8, "disc": 8}, validation={"cross": 4, "disc": 4}, test={"cross": 6})
    words = [str(data) if word == "DATA" else str(tmp_path / "out") if word == "OUT" else word for word in TRAIN]
    done = here(*words)
    assert done.returncode == 0, done.stderr
    assert "test has no picture of 'disc': the figures say nothing of it" in done.stdout
