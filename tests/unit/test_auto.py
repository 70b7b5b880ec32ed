"""`--strategy auto`: what is compared, by which rule one is taken, and that nothing but training pictures has a say in it."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.shared_runs import paint

import fovea
from fovea.data import open_source
from fovea.errors import InputError
from fovea.models.backbone import create_backbone
from fovea.models.network import PixelBackbone
from fovea.models.passport import Passport
from fovea.models.surgery import truncate
from fovea.models.weights import resolve_weights, save_weights
from fovea.selection import auto
from fovea.selection.choose import choose
from fovea.selection.depths import Depths
from fovea.selection.ways import Way, neighbours
from fovea.selection.ways import taken as take
from fovea.timing import in_words, seconds_of
from fovea.training import strategy
from fovea.training.settings import TrainSettings


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with weights by chance, as FOVEA_WEIGHTS."""
    passport = Passport(name="by chance", sha256="", licence="none", trained_on="nothing", image_size_px=32, score="none")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for name in ("mobilenet_v2", "fovea_tiny"):
            save_weights(create_backbone(name), tmp_path / "weights" / f"{name}.safetensors", passport)
    monkeypatch.setenv("FOVEA_WEIGHTS", str(tmp_path / "weights"))
    return tmp_path / "weights"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v2", "fovea_tiny"])
def test_one_pass_sees_what_the_cut_networks_see(name: str) -> None:
    backbone = create_backbone(name).eval()
    body = PixelBackbone(backbone, (0.5,) * 3, (0.25,) * 3)
    depths = Depths(body).eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8))
    with torch.inference_mode():
        parts = depths.apart(depths(pixels).numpy())
        assert list(parts) == [None, 0, 1, 2]
        np.testing.assert_allclose(parts[None], body(pixels).numpy(), rtol=1e-5, atol=1e-6)
        for stage in depths.stages:
            cut = PixelBackbone(truncate(backbone, stage), (0.5,) * 3, (0.25,) * 3).eval()
            np.testing.assert_allclose(parts[stage], cut(pixels).numpy(), rtol=1e-5, atol=1e-6)


def test_neighbours_name_the_class_and_versions_of_a_picture_do_not_count() -> None:
    rng = np.random.default_rng(0)
    centres = 5 * np.eye(4, dtype=np.float32)
    targets = np.arange(120) % 4
    apart = centres[targets] + rng.normal(0, 0.3, (120, 4)).astype(np.float32)
    assert neighbours(apart, targets, np.arange(120)).all()
    noise = rng.normal(size=(600, 16)).astype(np.float32)
    labels = rng.integers(0, 2, 600)
    assert 0.4 < neighbours(noise, labels, np.arange(600)).mean() < 0.6
    twice, both = np.concatenate([noise, noise]), np.concatenate([labels, labels])
    assert neighbours(twice, both, np.arange(1200), k=1).all(), "each finds itself"
    assert neighbours(twice, both, np.tile(np.arange(600), 2), k=1).mean() < 0.6, "of one group: it may not"


@pytest.mark.parametrize(
    ("second", "taken"),
    [(92, "first"), (99, "second")],  # of 100, where the first has 90: within chance, and beyond it
)
def test_of_ways_that_cannot_be_told_apart_the_simplest_is_taken(second: int, taken: str) -> None:
    rows = np.arange(100)
    rng = np.random.default_rng(1)
    ways = [Way(name, "probe", "x", "linear", rows, rng.permutation(100) < hits) for name, hits in (("first", 90), ("second", second))]
    assert take(ways).name == taken


def test_what_was_tried_on_easy_pictures_only_hides_no_better_way() -> None:
    rows = np.arange(1000)
    easy = rows[:400]
    probe = np.where(rows < 400, rows >= 24, rows >= 476)  # right on 94 % of the easy ones, and on 90 % of all
    mlp = np.where(rows < 400, rows >= 24, rows >= 451)  # 2.5 points better, five standard errors
    finetune = np.arange(400) >= 25  # 93.75 % where the probe has 94 %: right more often than the others are over all
    tried = (("probe", rows, probe), ("mlp", rows, mlp), ("finetune", easy, finetune))
    ways = [Way(name, name, "x", "linear", at, right) for name, at, right in tried]
    assert ways[2].accuracy > ways[1].accuracy > ways[0].accuracy
    assert take(ways).name == "mlp"
    assert take([ways[0], Way("later", "finetune", "x", "linear", rows[:0])]).name == "probe", "nothing in common: neither is better"


def _table(folder: Path, *, swapped: bool) -> Path:
    """60 pictures with splits of their own; `swapped` gives the test and validation pictures each other's class."""
    paint(folder, {"cross": 30, "disc": 30}, size_px=32)
    other = {"cross": "disc", "disc": "cross"}
    path = folder / "table.csv"
    with open(path, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "split"])
        for label, opposite in other.items():
            for i in range(30):
                split = "train" if i < 20 else "validation" if i < 25 else "test"
                rows.writerow([f"{label}/{label}{i:03}.png", opposite if swapped and split != "train" else label, split])
    return path


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_only_training_pictures_have_a_say(tmp_path: Path) -> None:
    found = []
    for swapped in (False, True):
        table = _table(tmp_path / f"data{swapped}", swapped=swapped)
        run = fovea.train(str(table), out=str(tmp_path / f"run{swapped}"), budget="1h")
        found.append([{**row, "seconds": 0} for row in run.metrics.model_extra["tried"]])
        assert run.metrics.strategy == "probe"
        assert any("chosen: a probe of" in note for note in run.metrics.model_extra["notes"])
        assert any("backbone mobilenet_v2: its weights are at hand" in note for note in run.metrics.model_extra["notes"])
    assert found[0] == found[1]
    names = [row["name"] for row in found[0]]
    assert {"a probe of mobilenet_v2", "a probe of fovea_tiny"} <= set(names)
    assert any("up to map" in name for name in names), "a depth is among them"
    assert sum(row["verdict"] == "taken" for row in found[0]) == 1
    assert all(row["verdict"] for row in found[0])
    assert "How the way to learn was chosen" in (tmp_path / "runTrue" / "report.html").read_text()


@pytest.mark.slow
def test_what_learns_in_epochs_is_tried_where_it_may_pay_and_time_allows(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = paint(tmp_path / "data", {"cross": 16, "disc": 16}, size_px=32)
    monkeypatch.setattr(auto, "_ERRORS_GONE", dict.fromkeys(auto._ERRORS_GONE, 1.0))
    monkeypatch.setattr(auto, "_PART", dict.fromkeys(auto._PART, 100.0))
    asked = {"backbone": "fovea_tiny", "image_size": 32, "batch_size": 8}
    short = fovea.train(str(data), out=str(tmp_path / "short"), budget="1s", **asked)
    verdicts = {row["strategy"]: row["verdict"] for row in short.metrics.model_extra["tried"]}
    assert "give a larger --budget" in verdicts["finetune"]
    monkeypatch.setattr(auto, "_cost_s", lambda *_: 0.1)
    long = fovea.train(str(data), out=str(tmp_path / "long"), budget="1h", epochs=1, **asked)
    tried = {(row["strategy"], row["head"]): row for row in long.metrics.model_extra["tried"] if row["n"]}
    assert {("probe", "linear"), ("probe", "mlp"), ("frozen", "linear"), ("finetune", "linear")} <= set(tried)
    assert long.metrics.strategy in {name for name, _ in tried}
    assert tried["finetune", "linear"]["n"] > 0


@pytest.mark.slow
@pytest.mark.usefixtures("weights")
def test_a_resumed_run_goes_on_with_what_was_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = paint(tmp_path / "data", {"cross": 12, "disc": 12}, size_px=32)
    learn, compare = strategy.create_strategy, auto.Auto._compare
    compared = []
    monkeypatch.setattr(auto.Auto, "_compare", lambda *words: compared.append(1) or compare(*words))

    def stopped(plan: strategy.Plan) -> strategy.Strategy:
        raise KeyboardInterrupt

    monkeypatch.setattr(auto, "create_strategy", stopped)
    with pytest.raises(KeyboardInterrupt):
        fovea.train(str(data), out=str(tmp_path / "run"))
    chosen = json.loads((tmp_path / "run" / "checkpoint" / auto.CHOICE).read_text())
    monkeypatch.setattr(auto, "create_strategy", learn)
    run = fovea.train(str(data), out=str(tmp_path / "run"))
    assert len(compared) == 1
    assert run.metrics.model_extra["tried"] == chosen["ways"]


@pytest.mark.usefixtures("weights")
def test_a_class_with_one_picture_leaves_nothing_to_compare(tmp_path: Path) -> None:
    data = paint(tmp_path / "data", {"cross": 2, "disc": 2}, size_px=32)
    run = fovea.train(str(data), out=str(tmp_path / "run"))
    assert any("nothing could be compared" in note for note in run.metrics.model_extra["notes"])


@pytest.mark.slow
def test_weights_of_a_cut_network_load_again(tmp_path: Path, weights: Path) -> None:
    data = paint(tmp_path / "data", {"cross": 6, "disc": 6}, size_px=32)
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2:stage=1", image_size=32)
    assert fovea.predict(str(run.bundle), [str(data / "cross")]).to_json()["errors"] == []
    found = resolve_weights("mobilenet_v2", str(run.path))
    assert found is not None
    assert found.passport.options["stage"] == 1
    with open_source(data) as source:
        plan = choose(TrainSettings(data=str(data), strategy="probe", weights=str(run.path)), source)
        assert plan.network.body.backbone.num_features == 32
        with pytest.raises(InputError, match="there are 4 stages"):
            choose(TrainSettings(data=str(data), strategy="probe", backbone="mobilenet_v2:stage=7"), source)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("2h", 7200), ("45", 45)])
def test_spans_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text, "--budget") == seconds
    assert in_words(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5m", "0s", "5 days"])
def test_what_is_no_span_is_said(text: str) -> None:
    with pytest.raises(InputError, match="--budget is no time"):
        seconds_of(text, "--budget")
