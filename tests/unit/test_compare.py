"""Two runs set side by side: what is said of equal ones, of clearly different ones, and of those that cannot be compared."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

import fovea
from fovea.errors import InputError

N = 200


def made(folder: Path, wrong: int, *, first: int = 0, n: int = N, names: str = "p{:03}.jpg", **changed: object) -> str:
    """A finished run in its two files that count: `wrong` answers are wrong, beginning with picture number `first`."""
    folder.mkdir()
    measures: dict[str, object] = {
        "n": n,
        "accuracy": 1 - wrong / n,
        "accuracy_ci95": [0, 1],
        "top5_accuracy": None,
        "ece": 0,
        "nll": 0,
        "confusion": [[n]],
    }
    rest: dict[str, object] = {
        "num_files": {"test": n},
        "validation": None,
        "test": measures,
        "timing": {},
        "seed": 0,
        "command": "",
        "versions": {},
    }
    metrics = {"task": "classification", "strategy": "probe", "backbone": "b", "class_names": ["cat", "dog"]} | rest | changed
    (folder / "metrics.json").write_text(json.dumps(metrics))
    with open(folder / "predictions.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "split", "true", "predicted", "probability"))
        for i in range(n):
            true, other = ("cat", "dog") if i % 2 else ("dog", "cat")
            table.writerow((names.format(i), "test", true, other if first <= i < first + wrong else true, 0.9))
    return str(folder)


def test_pictures_in_groups_are_a_caution(tmp_path: Path) -> None:
    test = {
        "n": N,
        "accuracy": 0.9,
        "accuracy_ci95": [0, 1],
        "top5_accuracy": None,
        "ece": 0,
        "nll": 0,
        "confusion": [[N]],
        "counted_as": 40.0,
    }
    a, b, c = made(tmp_path / "a", 20), made(tmp_path / "b", 10), made(tmp_path / "c", 20, test=test)
    assert not any("hang together" in note for note in fovea.compare(a, b).notes)
    assert any("hang together" in note for note in fovea.compare(b, c).notes)


@pytest.mark.parametrize(
    ("wrong_b", "first_b", "verdict", "words"),
    [
        (20, 0, "no difference shown", "no difference shown between"),
        (22, 5, "no difference shown", "no difference shown between"),
        (2, 0, "better", "is better than"),
        (60, 0, "worse", "is worse than"),
    ],
)
def test_what_is_said_of_two(tmp_path: Path, wrong_b: int, first_b: int, verdict: str, words: str) -> None:
    a, b = made(tmp_path / "a", 20), made(tmp_path / "b", wrong_b, first=first_b)
    found = fovea.compare(a, b)
    (pair,) = found.to_json()["comparisons"]
    assert pair["verdict"] == verdict
    assert found.to_text().startswith(words if "no diff" in words else f"{b} {words} {a}.")
    assert pair["difference"] == pytest.approx((20 - wrong_b) / N)
    low, high = pair["difference_ci95"]
    assert low <= pair["difference"] <= high
    assert (low > 0) == (verdict == "better")
    back = fovea.compare(b, a).to_json()["comparisons"][0]
    assert (back["p_value"], back["difference"]) == (pair["p_value"], -pair["difference"])


def test_many_comparisons_are_judged_more_strictly(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 20), made(tmp_path / "b", 14), *(made(tmp_path / f"c{i}", 20) for i in range(3))]
    assert fovea.compare(*runs[:2]).pairs[0].verdict == "better"
    many = fovea.compare(*runs).pairs
    assert [pair.verdict for pair in many] == ["no difference shown"] * 4
    assert many[0].p_adjusted == pytest.approx(4 * many[0].p_value)


def test_all_that_are_not_shown_to_be_worse_are_marked(tmp_path: Path) -> None:
    """The best is not the first: those are marked that are not worse than it on the same pictures, whatever they are beside the first."""
    runs = [made(tmp_path / name, wrong) for name, wrong in (("poor", 60), ("best", 10), ("near", 12), ("worse", 40))]
    page = fovea.report(*runs, out=str(tmp_path / "page.html")).path.read_text()
    marked = re.findall(r'class="best"><th scope="row"><bdi>(\w+)</bdi> <span class="tag">([\w ]+)<', page)
    assert marked == [("best", "may be best"), ("near", "may be best")]


def test_only_pictures_that_both_answered_count(tmp_path: Path) -> None:
    found = fovea.compare(made(tmp_path / "a", 20), made(tmp_path / "b", 20, n=150))
    assert found.pairs[0].n == 150
    assert "the 150 in common were compared" in found.notes[0]


def test_chance_finds_a_difference_as_rarely_as_it_says(tmp_path: Path) -> None:
    from fovea.metrics.intervals import mcnemar

    rng = np.random.default_rng(0)
    drawn = rng.multinomial(300, [0.05, 0.05, 0.9], size=2000)
    assert np.mean([mcnemar(int(a), int(b)) < 0.05 for a, b, _ in drawn]) <= 0.05


def test_what_cannot_be_compared(tmp_path: Path, here) -> None:
    good, unfinished = made(tmp_path / "good", 20), tmp_path / "unfinished" / "checkpoint"
    unfinished.mkdir(parents=True)
    (unfinished / "settings.json").write_text("{}")
    swapped = Path(made(tmp_path / "swapped", 20)) / "predictions.csv"
    swapped.write_text(swapped.read_text().replace("p007.jpg,test,cat", "p007.jpg,test,dog"))
    headless = Path(made(tmp_path / "headless", 20)) / "predictions.csv"
    headless.write_text("a,b\n1,2\n")
    (Path(made(tmp_path / "tableless", 20)) / "predictions.csv").unlink()
    cases = [
        ((good,), "there is nothing to compare", "fovea compare RUN_A RUN_B"),
        ((good, good), "a run is named twice", good),
        ((good, str(tmp_path / "gone")), "is no run: it has no metrics.json", "check the name"),
        ((good, str(unfinished.parent)), "is an unfinished run", "it goes on where it stopped"),
        ((good, made(tmp_path / "newer", 20, format=99)), "was made by a newer Fovea", "format 99"),
        ((good, made(tmp_path / "untested", 20, test=None)), "was not measured by how many test pictures it had right", "no test pictures"),
        ((good, made(tmp_path / "others", 20, names="q{}.png")), "have no test picture in common", "'q0.png'"),
        ((good, str(swapped.parent)), "first 'p007.jpg'", "'cat' and 'dog'"),
        ((good, str(headless.parent)), "holds no test pictures", "no rows"),
        ((good, str(tmp_path / "tableless")), "predictions.csv of", "No such file"),
    ]
    for runs, problem, told in cases:
        with pytest.raises(InputError) as caught:
            fovea.compare(*runs)
        assert problem in caught.value.problem
        assert told in " ".join(caught.value.to_json().values())
    done = here("compare", good, tmp_path / "gone", "--json")
    assert (done.returncode, "problem" in json.loads(done.stdout)["error"]) == (2, True)


@pytest.mark.slow
def test_two_real_runs(probe_run, scratch_run) -> None:
    found = fovea.compare(probe_run.path, scratch_run.path)
    assert found.pairs[0].n == probe_run.metrics.test.n
    assert found.notes == (), "the same data: nothing to warn of"
