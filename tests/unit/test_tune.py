"""`fovea tune`: what may be searched, what is kept, and that a search goes on where it stopped."""

import json
from pathlib import Path

import pytest
from tests.shared_runs import paint

import fovea
from fovea.errors import InputError, OutputError
from fovea.recipes.tune import read_space

optuna = pytest.importorskip("optuna", reason="the extra `tune` is not installed")


@pytest.mark.parametrize(
    ("search", "strategy", "told"),
    [
        ("", "finetune", "names nothing"),
        ("rate=1e-5..1e-3", "finetune", "rate cannot be varied"),
        ("unfreeze=0..1", "scratch", "unfreeze cannot be varied"),
        ("seed=1,2", "scratch", "seed cannot be varied"),
        ("lr=1e-3..1e-5", "scratch", "is no range"),
        ("lr=0..1e-3", "scratch", "is no range"),
        ("lr=low..high", "scratch", "cannot read"),
        ("dropout=0..1.5", "scratch", "--dropout cannot be"),
        ("optimizer=adam,nothing", "scratch", None),  # a registry's name is looked up where it is used
    ],
)
def test_what_cannot_be_searched_is_said(search: str, strategy: str, told: str | None) -> None:
    if told is None:
        assert list(read_space(search, strategy)) == ["optimizer"]
        return
    with pytest.raises(InputError) as error:
        read_space(search, strategy)
    assert told in error.value.problem


def test_values_are_drawn_from_their_ranges() -> None:
    space = read_space("lr=1e-4..1e-2 batch-size=8..16 augment=none,light", "scratch")
    for number in range(20):
        trial = optuna.trial.FixedTrial({"lr": 1e-3, "batch_size": 8 + number % 9, "augment": "light"})
        drawn = {name: draw(trial, name) for name, draw in space.items()}
        assert (type(drawn["batch_size"]), drawn["augment"]) == (int, "light")


@pytest.mark.parametrize(
    ("asked", "told"), [({"trials": 0}, "--trials"), ({"strategy": "probe"}, "nothing to tune"), ({"budget": "soon"}, "--budget")]
)
def test_bad_options(tmp_path: Path, asked: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        fovea.tune("digits", out=str(tmp_path / "tuned"), **asked)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_search_finds_goes_on_and_trains(tmp_path: Path) -> None:
    data, out = paint(tmp_path / "data", {"cross": 40, "disc": 40}, size_px=32), tmp_path / "tuned"
    asked = {"strategy": "scratch", "search": "lr=1e-4..1e-2 dropout=0,0.5", "epochs": 2, "image_size": 28}
    first = fovea.tune(str(data), out=str(out), trials=2, **asked)
    second = fovea.tune(str(data), out=str(out), trials=4, **asked)
    assert [row["options"] for row in second.trials[:2]] == [row["options"] for row in first.trials], "the earlier ones stand"
    assert len(second.trials) == 4
    assert len({row["options"]["lr"] for row in second.trials}) == 4, "and are not drawn again"
    ended = [row for row in second.trials if row["state"] == "finished"]
    assert second.best["loss"] == min(row["loss"] for row in ended)
    assert second.best["accuracy"] in [row["accuracy"] for row in ended]
    page = second.report.read_text()
    assert page.count("data:image/png") >= 2, "Optuna's plots"
    assert json.loads((out / "tune.json").read_text())["best"] == second.best
    with pytest.raises(OutputError, match="other settings"):
        fovea.tune(str(data), out=str(out), trials=4, **(asked | {"epochs": 3}))
    options = dict(second.best["options"])
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="scratch", epochs=2, image_size=28, **options)
    assert run.metrics.validation is not None
    assert run.metrics.validation.nll < 5
