"""Several looks, several networks, mixed weights: each is what it says, is shipped inside one model, and its gain is told as it is."""

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.shared_runs import Command, paint

import fovea
from fovea.bundle import load_bundle
from fovea.bundle.format import Calibration
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError
from fovea.evaluation.activation import activated
from fovea.evaluation.answers import Answering
from fovea.evaluation.paired import Gain, gain, losses
from fovea.export.bundles import Trained, write_bundle
from fovea.models.averaged import VIEWS, Averaged, mixed
from fovea.models.backbone import create_backbone
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.report.averaging import told
from fovea.selection import mixing
from fovea.selection.mixing import Judge, Way
from fovea.tasks import create_task
from fovea.training.run import Run
from fovea.transforms.preprocessing import central_crop, square

SIDE = 28


def _network(seed: int, num_classes: int = 3) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone = create_backbone("convnet", variant="28")
        head = LinearHead(backbone.num_features, num_classes, 0.0)
        torch.nn.init.normal_(head.dense.weight, std=2.0)
    return Network(PixelBackbone(backbone, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)), head).eval()


def _pixels(side: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(side).integers(0, 256, (count, side, side, 3), np.uint8)


@pytest.mark.parametrize("name", list(VIEWS))
def test_views_show_what_they_say(name: str) -> None:
    """On a picture whose red says the column and whose green says the row."""
    views = VIEWS[name]
    way = views.wider(square(56))
    side = way.size_px
    assert (side, views.num_views) == {"none": (56, 1), "flips": (56, 2), "scales": (75, 3), "crops": (64, 5)}[name]
    assert views.wider(central_crop(56, fraction=0.875)).size_px == side
    painted = torch.zeros((1, side, side, 3))
    painted[..., 0], painted[..., 1] = torch.arange(side)[None, None, :], torch.arange(side)[None, :, None]
    seen = views.look(painted, 56)
    assert seen.shape == (views.num_views, 56, 56, 3)
    corners = [[float(view[place][channel]) for place in ((0, 0), (-1, -1)) for channel in (0, 1)] for view in seen]
    last = side - 1
    whole = (side / 56 - 1) / 2  # where the middle of the first of fewer pixels falls
    wanted = {
        "none": [[0, 0, last, last]],
        "flips": [[0, 0, last, last], [last, 0, 0, last]],
        "scales": [[whole, whole, last - whole, last - whole], [4 + 5 / 56, 4 + 5 / 56, 69 - 5 / 56, 69 - 5 / 56], [9, 9, 64, 64]],
        "crops": [[whole, whole, last - whole, last - whole], [0, 0, 55, 55], [8, 0, 63, 55], [0, 8, 55, 63], [8, 8, 63, 63]],
    }[name]
    np.testing.assert_allclose(corners, wanted, atol=0.01)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "identity"])
@pytest.mark.parametrize("views", list(VIEWS))
def test_what_is_shipped_gives_the_mean_of_the_answers(views: str, activation: str) -> None:
    """Against each network asked about each view by itself, in torch and in the engine."""
    networks = [_network(0), _network(1)]
    way = VIEWS[views].wider(square(SIDE))
    averaged = Averaged(networks, views=views, size_px=SIDE, activation=activation, lengths=[1.0, 2.0]).eval()
    assert averaged.num_passes == 2 * VIEWS[views].num_views
    pixels = _pixels(way.size_px)
    seen = VIEWS[views].look(torch.from_numpy(pixels).float(), SIDE)
    answers, embeddings = [], []
    with torch.inference_mode():
        for network in networks:
            planes = (seen.permute(0, 3, 1, 2) - network.body.shift) * network.body.scale
            embedding = network.body.backbone.embed(planes)
            answers.append(activated(activation, network.head(embedding).numpy(), 1.0).reshape(VIEWS[views].num_views, 3, -1).mean(0))
            embeddings.append(embedding.numpy().reshape(VIEWS[views].num_views, 3, -1).mean(0))
        embedding, logits = averaged.answers(torch.from_numpy(pixels))
    np.testing.assert_allclose(activated(activation, logits.numpy(), 1.0), np.mean(answers, axis=0), atol=1e-5)
    np.testing.assert_allclose(embedding.numpy(), np.concatenate([embeddings[0], embeddings[1] / 2], axis=1), atol=1e-5)
    engine = open_engine(module_to_onnx(averaged, size_px=way.size_px, outputs=("embedding", "logits")))
    for count in (1, 3):
        found = engine(pixels[:count])
        np.testing.assert_allclose(found["embedding"], embedding.numpy()[:count], atol=1e-4)
        np.testing.assert_allclose(found["logits"], logits.numpy()[:count], atol=1e-3)


def test_a_scale_for_each_class_is_shipped_behind_an_average(tmp_path: Path) -> None:
    """`write_bundle` compares with torch, so that a wrong fold would be an error here."""
    averaged = Averaged([_network(0), _network(1)], views="flips", size_px=SIDE, activation="softmax").eval()
    onnx, pixels = module_to_onnx(averaged, size_px=SIDE, outputs=("embedding", "logits")), _pixels(SIDE)
    found = []
    for scale in (None, [1.0, 2.0, 0.5]):
        calibration = Calibration(temperature=1.5, method="vector", scale=scale, shift=scale and [0.5, 0.0, -1.0])
        goal = create_task("classification", ("a", "b", "c"))
        trained = Trained(averaged, onnx, "two", Answering(calibration), square(SIDE), goal)
        path = write_bundle(tmp_path / f"{scale is None}", trained, pictures=pixels, strategy="ensemble")
        found.append(load_bundle(path).outputs(pixels)["probabilities"])
    with torch.inference_mode():
        logits = averaged.answers(torch.from_numpy(pixels))[1].numpy() / 1.5
    np.testing.assert_allclose(found[0], activated("softmax", logits, 1.0), atol=1e-5)
    np.testing.assert_allclose(found[1], activated("softmax", logits * [1, 2, 0.5] + [0.5, 0, -1], 1.0), atol=1e-5)


def test_mixed_weights_lie_between() -> None:
    first, second = _network(0), _network(1)
    pixels = torch.from_numpy(_pixels(SIDE))
    with torch.inference_mode():
        for shares, same in (([1.0, 0.0], first), ([0.0, 3.0], second)):
            torch.testing.assert_close(mixed([first, second], shares).answers(pixels)[1], same.answers(pixels)[1])
    middle = mixed([first, second], [1, 3])
    torch.testing.assert_close(middle.head.dense.weight, 0.25 * first.head.dense.weight + 0.75 * second.head.dense.weight)
    other = Network(PixelBackbone(create_backbone("lenet5"), (0, 0, 0), (1, 1, 1)), LinearHead(8, 3, 0.0))
    with pytest.raises(InputError, match="not built alike"):
        mixed([first, other], [1, 1])
    scaled = _network(0)
    scaled.body.shift += 1
    with pytest.raises(InputError, match="not built alike"):
        mixed([first, scaled], [1, 1])


def test_losses_and_gains_are_those_of_the_formulas() -> None:
    said, true = np.array([[0.9, 0.1], [0.4, 0.6]], np.float32), np.array([0, 0])
    np.testing.assert_allclose(losses("softmax", said, true), -np.log([0.9, 0.4]), rtol=1e-6)
    both = np.array([[1, 0], [1, 1]], np.float32)
    np.testing.assert_allclose(losses("sigmoid", said, both), [-np.log(0.9), -np.log([0.4, 0.6]).mean()], rtol=1e-6)
    spread = np.array([1, 2], np.float32)
    np.testing.assert_allclose(losses("identity", said * 10, both, spread=spread), [(64 + 0.25) / 2, (9 + 6.25) / 2], rtol=1e-5)

    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 400)
    own = np.where(rng.random(400) < 0.8, true, 1 - true)
    good = np.where(rng.random(400) < 0.95, true, 1 - true)
    before, after = (np.where(np.arange(2) == answers[:, None], 0.9, 0.1).astype(np.float32) for answers in (own, good))
    found, back, none = gain("softmax", before, after, true), gain("softmax", after, before, true), gain("softmax", before, before, true)
    assert (found.shown, back.shown, none.shown) == (True, False, False)
    said = found.to_json()
    assert said["accuracy_change"] == pytest.approx((good == true).mean() - (own == true).mean())
    low, high = said["loss_change_ci95"]
    assert low < said["loss_change"] < high < 0
    assert said["p_value"] < 1e-6


@pytest.mark.parametrize(("only_after", "loss_change", "shown"), [(4, (-0.2, -0.1), False), (10, (-0.1, 0.1), True)])
def test_a_gain_is_shown_by_the_p_value_beside_it(only_after: int, loss_change: tuple[float, float], shown: bool) -> None:
    found = Gain(200, 0.3, 0.2, loss_change, 150, 150 + only_after, 0, only_after)
    assert found.shown is shown
    assert (found.to_json()["p_value"] < 0.05) is shown
    assert Gain(200, 0.3, 0.2, loss_change).shown is (loss_change[1] < 0), "answers that are not simply right or wrong"


def _judge(logits: list[np.ndarray], true: np.ndarray) -> tuple[Judge, list[Way]]:
    goal: Any = create_task("classification", ("a", "b"))
    judge = Judge(None, goal, square(SIDE), true, np.arange(len(true)), "onnxruntime")  # type: ignore[arg-type]
    nothing = np.zeros((len(true), 1), np.float32)
    return judge, [judge.judged(f"run{i}", [_network(i, 2)], "none", values.astype(np.float32), nothing) for i, values in enumerate(logits)]


def test_an_ensemble_takes_whom_it_gains_from_and_leaves_out_whom_it_does_not() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 2, 1_000)
    signal = 2.0 * (true[:, None] == np.arange(2))
    good = [signal + rng.normal(0, 1.5, (1_000, 2)) for _ in range(3)]
    judge, singles = _judge([*good, rng.normal(0, 8, (1_000, 2))], true)
    found = mixing.ensemble(judge, singles)
    assert len(found.networks) == 3
    assert found.losses.mean() < min(single.losses.mean() for single in singles) - 0.05
    assert [row["verdict"].split(": ")[1] for row in judge.tried] == ["taken", "taken", "left out"]
    judge, alike = _judge([good[0], good[0]], true)
    assert mixing.ensemble(judge, alike) is alike[0], "the same answers twice bring nothing"


def test_weights_are_mixed_as_far_as_it_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that answer with the sum of their weights: the best mean lies at a known place."""
    true = np.zeros(50, np.int64)

    def worth(network: Any) -> np.ndarray:
        return np.tile([[-((float(network.head.dense.weight.detach().sum()) - 7) ** 2), 0.0]], (50, 1))

    def way(self: Judge, name: str, networks: list[Network], views: str = "none") -> Way:
        return self.judged(name, networks, views, worth(networks[0]).astype(np.float32), np.zeros((50, 1), np.float32))

    monkeypatch.setattr(Judge, "way", way)
    monkeypatch.setattr(mixing, "settle_temperature", lambda *_: 1.0)
    judge, _ = _judge([], true)
    networks = [_network(0, 2) for _ in range(3)]
    for network, total in zip(networks, (0.0, 10.0, 30.0), strict=True):
        torch.nn.init.constant_(network.head.dense.weight, total / network.head.dense.weight.numel())
    singles = [judge.way(f"run{total}", [network]) for total, network in zip((0, 10, 30), networks, strict=True)]
    assert mixing.wise_ft(judge, singles[:2]).name == "the weights, 70% of the way from run0 to run10"
    assert mixing.wise_ft(judge, singles[1:]) is singles[1], "nothing on the way is better than its beginning"
    soup = mixing.soup(judge, singles)
    assert float(soup.networks[0].head.dense.weight.detach().sum()) == pytest.approx(5, abs=1e-3), "0 and 10, without 30"


@pytest.fixture(scope="module")
def second(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("average") / "second"
    return fovea.train(str(photos), out=str(out), strategy="scratch", image_size=SIDE, epochs=3, seed=1)


@pytest.fixture(scope="module")
def averaged(scratch_run: Run, second: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("average") / "both"
    return fovea.average(scratch_run.path, second.path, out=str(out), tta="crops")


@pytest.mark.slow
def test_the_bundle_answers_as_was_measured(averaged: Run, photos: Path, tmp_path: Path) -> None:
    """From files alone, as predict and evaluate do: views, calibration, sets and refusal with them."""
    said, bundle = averaged.metrics.model_extra["averaging"], load_bundle(averaged.path)
    assert (said["tta"], said["passes"] % 5, said["passes_before"]) == ("crops", 0, 1)
    assert bundle.info.averaging == {"how": said["how"], "tta": "crops", "passes": said["passes"]}
    assert bundle.info.preprocessing.size_px == 32
    with open(averaged.path / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = fovea.predict(str(averaged.bundle), [str(photos / row["path"]) for row in rows]).to_json()["predictions"]
    assert [answer["class_name"] for answer in found] == [row["predicted"] for row in rows]
    np.testing.assert_allclose([answer["probability"] for answer in found], [float(row["probability"]) for row in rows], atol=2e-4)
    assert np.mean([answer["refused"] for answer in found]) == pytest.approx(averaged.metrics.test.refused, abs=1e-6)
    shutil.copytree(averaged.bundle, tmp_path / "alone")
    table = tmp_path / "test.csv"
    with open(table, "w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *((photos / row["path"], row["true"]) for row in rows)])
    measured = fovea.evaluate(str(tmp_path / "alone"), str(table)).metrics
    assert measured["accuracy"] == averaged.metrics.test.accuracy
    assert measured["set_coverage"] == pytest.approx(averaged.metrics.test.set_coverage)


def test_gain_and_cost_are_told(averaged: Run, scratch_run: Run) -> None:
    said = averaged.metrics.model_extra["averaging"]
    gained = said["gain"]
    assert gained["n"] == averaged.metrics.test.n
    assert gained["accuracy_after"] == averaged.metrics.test.accuracy
    assert gained["loss_after"] == pytest.approx(averaged.metrics.test.nll)
    low, high = gained["accuracy_change_ci95"]
    assert low <= gained["accuracy_change"] <= high
    assert said["seconds"] > said["seconds_before"] > 0
    page = (averaged.path / "report.html").read_text()
    assert "What averaging brought, and what it costs" in page
    assert f"It costs {said['passes']} passes in place of one" in averaged.to_text()
    assert ("That is a gain beyond chance" in page) == gained["shown"]
    assert "averaging-h" not in scratch_run.report.read_text()
    assert json.loads((averaged.path / "metrics.json").read_text())["strategy"] == {"single": "tta"}.get(said["how"], "ensemble")


def test_words_for_what_did_not_help() -> None:
    same = {"how": "single", "tta": "none", "before": "run", "taken": "run", "gain": None}
    assert told(same) == [
        "Nothing that was tried was better on the validation pictures than run, the best single run, so the bundle is that of this run, calibrated anew."
    ]
    worse = {"n": 9, "loss_before": 1, "loss_after": 2, "loss_change_ci95": [0.5, 1.5], "shown": False}
    cost = {"passes": 2, "passes_before": 1, "seconds": 0.002, "seconds_before": 0.001}
    assert told({**same, **cost, "taken": "views", "tta": "flips", "gain": worse})[1].endswith("It is worse.")
    unsure = worse | {"loss_change_ci95": [-0.5, 1.5]}
    assert "A gain is not shown" in told({**same, **cost, "taken": "views", "tta": "flips", "gain": unsure})[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "missing argument"),
        (("{run}", "{run}"), "a run is named twice"),
        (("{run}", "--how", "soup"), "--how soup takes several runs"),
        (("{run}", "{other}", "{probe}", "--how", "wise-ft"), "--how wise-ft takes two runs"),
        (("{run}", "--tta", "none"), "there is nothing to average"),
        (("{run}", "--tta", "rotations"), "--tta cannot be 'rotations'"),
        (("{run}", "{nowhere}"), "does not say what it was trained with"),
        (("{run}", "{probe}"), "sees pictures otherwise than"),
        (("{run}", "--data", "digits"), "has other classes than"),
        (("{run}", "--data", "{less}"), "learned from other pictures, labels or splits"),
    ],
)
def test_what_cannot_be_averaged_is_an_error(
    words: tuple[str, ...], says: str, here: Command, scratch_run: Run, second: Run, probe_run: Run, photos: Path, tmp_path: Path
) -> None:
    less = tmp_path / "less"
    if "{less}" in words:
        shutil.copytree(photos, less)
        (less / "disc" / "disc003.png").unlink()
    says = "the pictures have other classes than" if "digits" in words else says
    places = {"run": scratch_run.path, "other": second.path, "probe": probe_run.path, "nowhere": tmp_path / "nowhere", "less": less}
    done = here("average", *(word.format(**places) for word in words), "--out", tmp_path / "out")
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert "fix:" in done.stderr
    assert not (tmp_path / "out").exists()


def test_out_is_none_of_the_runs(scratch_run: Run) -> None:
    with pytest.raises(InputError, match="--out is one of the runs"):
        fovea.average(scratch_run.path, out=str(scratch_run.path), overwrite=True)
    assert scratch_run.report.exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["labels", "target"])
def test_labels_and_numbers_are_averaged_too(kind: str, tmp_path: Path) -> None:
    data = paint(tmp_path, {"cross": 110, "disc": 110})
    says: Callable[[str, int], object] = lambda name, i: f"{name};even" if i % 2 == 0 else name  # noqa: E731
    if kind == "target":
        says = lambda name, i: 10.0 * (name == "disc") + i / 100  # noqa: E731
    table = tmp_path / "table.csv"
    with open(table, "w", newline="") as file:
        rows = [(data / name / f"{name}{i:03}.png", says(name, i)) for name in ("cross", "disc") for i in range(110)]
        csv.writer(file).writerows([("path", kind), *rows])
    runs = [fovea.train(str(table), out=str(tmp_path / f"run{seed}"), strategy="scratch", image_size=SIDE, epochs=3, seed=seed).path for seed in (0, 1)]  # fmt: skip
    found = fovea.average(*runs, out=str(tmp_path / "both"), tta="flips")
    said = found.metrics.model_extra["averaging"]
    assert said["gain"]["n"] == found.metrics.test.n
    assert "accuracy_after" not in said["gain"]
    with open(found.path / "predictions.csv", newline="") as file:
        asked = list(csv.DictReader(file))
    again = fovea.predict(str(found.bundle), [row["path"] for row in asked]).predictions
    if kind == "target":
        np.testing.assert_allclose([a.values["target"] for _, a in again], [float(row["predicted"]) for row in asked], atol=1e-2)
    assert "What averaging brought" in found.report.read_text()


@pytest.mark.slow
def test_a_probe_and_what_was_fine_tuned_from_it(photos: Path, probe_run: Run, tmp_path: Path) -> None:
    """The mixed network is a plain one: it has a head, and others can begin with its weights."""
    tuned = fovea.train(
        str(photos), out=str(tmp_path / "tuned"), strategy="finetune", weights=str(probe_run.path), image_size=64, epochs=1, lr=1e-3
    )
    found = fovea.average(probe_run.path, tuned.path, out=str(tmp_path / "mixed"), how="wise-ft")
    said = found.metrics.model_extra["averaging"]
    assert len(said["tried"]) == 2 + 9
    assert (said["passes"], said["tta"]) == (1, "none")
    best = min(said["tried"], key=lambda row: row["loss"])
    assert said["taken"] == best["name"]
    load_bundle(found.path)
    assert (
        fovea.train(str(photos), out=str(tmp_path / "on"), strategy="probe", weights=str(found.path), image_size=64).metrics.test
        is not None
    )
