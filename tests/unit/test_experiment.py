"""Several ways side by side: each is what `train` would come to, the order is by validation, a budget or a fault leaves the rest standing."""

import json
from pathlib import Path
from typing import Any

import pytest

import fovea
from fovea.errors import InputError, OutputError, TrainingFailed, UnknownName
from fovea.metrics.intervals import mean_interval, wilson
from fovea.recipes import experiment as module


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What was trained, in order; the trainings themselves are short and real."""
    asked: list[dict[str, Any]] = []
    train = module.train

    def note(data: str, **options: Any) -> Any:
        asked.append(options)
        return train(data, **options)

    monkeypatch.setattr(module, "train", note)
    return asked


@pytest.mark.slow
def test_ways_are_trained_and_taken_up_where_they_were(tmp_path: Path, counted: list[dict[str, Any]]) -> None:
    options: dict[str, Any] = {"strategies": "scratch", "vary": "optimizer=sgd,adam lr=0.01", "seeds": 2, "epochs": 1, "image_size": 28}
    told = fovea.experiment("digits", out=str(tmp_path / "e"), **options)
    assert [(o["optimizer"], o["seed"]) for o in counted] == [("sgd", 0), ("adam", 0), ("sgd", 1), ("adam", 1)]
    assert {way.name for way in told.ways} == {"optimizer adam, lr 0.01", "optimizer sgd, lr 0.01"}
    means = [sum(way.accuracies) / 2 for way in told.ways]
    assert means == sorted(means, reverse=True)
    best = told.ways[0]
    run = json.loads((Path(best.runs[1]) / "metrics.json").read_text())
    assert best.accuracies[1] == run["validation"]["accuracy"]
    assert best.interval == wilson(sum(best.accuracies) / 2 * best.num_validation, best.num_validation)
    content = json.loads((tmp_path / "e" / "experiment.json").read_text())
    assert content.pop("command").startswith("fovea experiment digits")
    assert content == json.loads(json.dumps(told.to_json()))
    page = told.report.read_text()
    assert "validation pictures" in page
    assert "test picture" not in page.split("Side by side")[1].split("The data at a glance")[0]
    assert (tmp_path / "e" / "experiment.csv").read_text().count("\n") == 1 + 4
    counted.clear()
    again = fovea.experiment("digits", out=str(tmp_path / "e"), **options)
    assert not counted, "finished trainings are not made anew"
    fovea.experiment("digits", out=str(tmp_path / "e"), **(options | {"seeds": 3, "budget": "1h"}))
    assert [o["seed"] for o in counted] == [2, 2], "an experiment may grow"
    assert [way.accuracies for way in again.ways] == [way.accuracies for way in told.ways]
    assert best.name in told.to_text().splitlines()[1]
    with pytest.raises(OutputError, match="another experiment"):
        fovea.experiment("shapes", out=str(tmp_path / "e"), **options)
    (tmp_path / "e" / "experiment.json").unlink()
    with pytest.raises(OutputError, match="other settings"):
        fovea.experiment("shapes", out=str(tmp_path / "e"), **options)


@pytest.mark.slow
def test_a_way_that_cannot_be_trained_leaves_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = module.train

    def fails(data: str, **options: Any) -> Any:
        if options["lr"] == 0.5:
            raise TrainingFailed("the loss is no longer a number", got="nan", expected="a number", fix="a smaller --lr")
        return train(data, **options)

    monkeypatch.setattr(module, "train", fails)
    options: dict[str, Any] = {"strategies": "scratch", "seeds": 1, "epochs": 1, "image_size": 28}
    told = fovea.experiment("digits", out=str(tmp_path / "e"), vary="lr=0.01,0.5", **options)
    assert [bool(way.problem) for way in told.ways] == [False, True]
    assert "no longer a number" in told.ways[1].problem
    with pytest.raises(InputError, match="none of the ways"):
        fovea.experiment("digits", out=str(tmp_path / "f"), vary="lr=0.5", **options)


@pytest.mark.slow
def test_a_budget_cuts_no_way_off_in_the_first_round(tmp_path: Path, counted: list[dict[str, Any]]) -> None:
    told = fovea.experiment(
        "digits", out=str(tmp_path / "e"), strategies="scratch", vary="lr=0.01,0.02", seeds=3, epochs=1, image_size=28, budget="1s"
    )
    assert 1 <= len(counted) <= 2
    assert sum(bool(way.accuracies) for way in told.ways) == len(counted)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"budget": "soon"}, "no time"),
        ({"vary": "optimiser=sgd"}, "cannot read"),
        ({"vary": "lr=fast"}, "--lr cannot be"),
        ({"seeds": 0}, "less than one"),
        ({"strategies": ","}, "names nothing"),
        ({"strategies": "scrach"}, "scratch"),
        ({"strategies": "scratch", "vary": "optimizer=sgd,adamv"}, "adamv"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    with pytest.raises((InputError, UnknownName), match=said):
        fovea.experiment("digits", out=str(tmp_path / "e"), **options)


def test_the_interval_of_a_mean() -> None:
    low, high = mean_interval([0.5, 0.6, 0.7])
    assert (low, high) == pytest.approx((0.6 - 4.3027 * 0.1 / 3**0.5, 0.6 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)  # t(0.975, 2)
    assert mean_interval([0.9, 1.0])[1] == 1


@pytest.mark.slow
def test_every_way_is_the_one_that_it_is_called(tmp_path: Path) -> None:
    told = fovea.experiment(
        "digits", out=str(tmp_path / "e"), strategies="scratch", vary="backbone=lenet5,convnet", seeds=1, epochs=1, image_size=28
    )
    trained = {way.name: json.loads((Path(way.runs[0]) / "metrics.json").read_text())["backbone"] for way in told.ways}
    assert trained == {"backbone lenet5": "lenet5", "backbone convnet": "convnet"}


@pytest.mark.parametrize(
    ("strategies", "vary", "said"),
    [
        ("probe", "augment=none,light", "--vary augment would change nothing"),
        ("scratch,frozen", "unfreeze=0.5,1", "--vary unfreeze would change nothing: scratch and frozen do not use it"),
        ("scratch", "head=linear,nosuch", "no head is called 'nosuch'"),
        ("scratch", "backbone=minception:batchnorm=true", "no option 'batchnorm'"),
    ],
)
def test_what_would_change_nothing_is_refused_before_anything_is_trained(
    tmp_path: Path, counted: list[dict[str, Any]], strategies: str, vary: str, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fovea.experiment("digits", out=str(tmp_path / "e"), strategies=strategies, vary=vary)
    assert not counted


def test_options_go_to_those_that_use_them() -> None:
    varied = {"head": ["linear", "mlp"], "optimizer": ["sgd", "adam"], "batch_size": [16, 32]}
    probe = module._combinations("probe", varied)
    assert {"head": "linear"} in probe
    assert sum(way["head"] == "linear" for way in probe) == 1, "it is solved for at once"
    assert len(probe) == 1 + 4
    assert len(module._combinations("scratch", varied)) == 8
    assert module._varied("lr=0.1,0.10 lr=0.2") == {"lr": [0.1, 0.2]}


@pytest.mark.slow
def test_a_seed_that_fails_leaves_the_others_their_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = module.train

    def failing(data: str, **options: Any) -> Any:
        if options["seed"] == 0 and options["lr"] == 0.02:
            raise TrainingFailed("it fell over", got="a stone", expected="an even road", fix="walk")
        return train(data, **options)

    monkeypatch.setattr(module, "train", failing)
    told = fovea.experiment("digits", out=str(tmp_path / "e"), strategies="scratch", vary="lr=0.01,0.02", seeds=2, epochs=1, image_size=28)
    seeds = {way.name: way.seeds for way in told.ways}
    assert seeds == {"lr 0.01": (0, 1), "lr 0.02": (1,)}
    rows = (tmp_path / "e" / "experiment.csv").read_text().splitlines()[1:]
    assert sorted(row.split('"')[-1].split(",")[1] if '"' in row else row.split(",")[1] for row in rows) == ["0", "1", "1"]
    assert any("lr 0.02: seed 0 could not be trained: it fell over" in note for note in told.notes)
