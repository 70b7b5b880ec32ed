"""Calibration, prediction sets and refusal: whether they keep what they promise, and what a bundle makes of them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import fovea
from fovea.bundle.archive import pack_arrays
from fovea.bundle.conformal import fit_sets, mass_before, prediction_sets
from fovea.bundle.format import Calibration
from fovea.bundle.refusal import read_refusal
from fovea.errors import BundleError
from fovea.evaluation.answers import Answering, fit_answering
from fovea.evaluation.calibrate import calibrated, choose_calibration, fit_temperature, fit_vector
from fovea.evaluation.strange import fit_refusal
from fovea.metrics.calibration import calibration_error
from fovea.metrics.classification import negative_log_likelihood
from fovea.tasks import create_task
from fovea.types import Floats, Ints

GOAL = create_task("classification", ("a", "b", "c"))
EACH = np.arange(100_000)


def drawn(n: int, num_classes: int = 5, *, seed: int = 0) -> tuple[Floats, Ints]:
    """Logits whose softmax comes true."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, num_classes)) * 2
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return logits.astype(np.float32), (rng.random((n, 1)) > chances.cumsum(axis=1)).sum(axis=1).clip(max=num_classes - 1)


def test_vector_scaling_mends_what_one_temperature_cannot() -> None:
    logits, true = drawn(4_000)
    wrong = (logits * np.array([3, 0.5, 1, 2, 1]) + np.array([2, 0, -2, 0, 1])).astype(np.float32)
    found = choose_calibration(wrong[:2000], true[:2000], EACH[:2000])
    assert found.calibration.method == "vector"
    assert "which was better than one temperature" in found.note
    new, truth = wrong[2000:], true[2000:]
    plain, mended = (calibrated(new, c) for c in (Calibration(temperature=fit_temperature(wrong[:2000], true[:2000])), found.calibration))
    assert negative_log_likelihood(mended, truth) < negative_log_likelihood(plain, truth) - 0.1
    assert calibration_error(mended, truth) < calibration_error(plain, truth) - 0.01
    assert negative_log_likelihood(mended, truth) == pytest.approx(
        negative_log_likelihood(calibrated(logits[2000:], Calibration()), truth), abs=0.02
    )


@pytest.mark.parametrize("n", [3, 40, 1000])
def test_the_simpler_calibration_where_the_other_is_no_better(n: int) -> None:
    logits, true = drawn(n, seed=n)
    found = choose_calibration(logits * 3, true, EACH[:n])
    assert (found.calibration.method, found.calibration.scale, found.note) == ("temperature", None, "")
    assert found.calibration.temperature == fit_temperature(logits * 3, true)


def test_a_few_lucky_answers_do_not_make_the_next_wrong_one_certain() -> None:
    logits = np.tile(np.array([[0.6, -0.6]], np.float32), (23, 1))
    true = np.array([0] * 22 + [1])  # "77 %" was right 22 times of 23
    found = choose_calibration(logits, true, EACH[:23]).calibration
    assert found.method == "temperature"
    assert 0.6 < found.temperature < 1


def test_nobody_answers_for_a_row_that_was_seen() -> None:
    """Rows of one group stand in one fold: the copies of a picture do not calibrate it."""
    logits, true = drawn(60)
    alone = choose_calibration(logits, true, EACH[:60])
    together = choose_calibration(logits, true, np.zeros(60, np.int64))
    assert not np.allclose(alone.held_out, calibrated(logits, alone.calibration), atol=1e-6)
    assert together.calibration.method == "temperature", "one group can hold nothing out"


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_right_class_as_often_as_they_promise(coverage: float) -> None:
    """Of a model that is miscalibrated on purpose: the promise does not rest on it."""
    held = []
    for seed in range(40):
        logits, true = drawn(2_000, seed=seed)
        probabilities = calibrated(logits, Calibration(temperature=0.4))
        promise = fit_sets(probabilities[:400], true[:400], coverage=coverage)
        assert promise is not None
        assert promise["coverage"] == coverage
        sets = prediction_sets(probabilities[400:], promise["threshold"])
        held.append(sets[np.arange(1600), true[400:]].mean())
        assert sets[np.arange(1600), probabilities[400:].argmax(axis=1)].all(), "no set is empty"
    assert abs(np.mean(held) - coverage) < 0.015


def test_a_set_grows_with_the_most_probable_classes() -> None:
    probabilities = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6], [0.0, 1.0, 0.0]], np.float32)
    np.testing.assert_allclose(mass_before(probabilities), [[0, 0.5, 0.8], [0.6, 0.8, 0], [1, 0, 1]], atol=1e-6)
    assert prediction_sets(probabilities, 0.55).tolist() == [[True, True, False], [False, False, True], [False, True, False]]


@pytest.mark.parametrize(
    ("n", "wrong", "coverage"), [(18, 2, None), (19, 2, 0.95), (1000, 100, 0.95), (1000, 20, 0.99), (50, 0, 0.95), (200, 0, 0.99)]
)
def test_where_the_first_class_alone_is_enough_more_is_promised(n: int, wrong: int, coverage: float | None) -> None:
    probabilities = np.tile(np.array([[0.7, 0.3]], np.float32), (n, 1))
    true = (np.arange(n) < wrong).astype(int)
    promise = fit_sets(probabilities, true)
    assert (promise and promise["coverage"]) == coverage


def clouds(n: int, *, seed: int, away: float = 0.0) -> tuple[Floats, Ints]:
    """Embeddings of two classes, as they come behind ReLU; `away` turns them into other directions."""
    rng = np.random.default_rng(seed)
    middles = np.random.default_rng(9).normal(size=(3, 64)) * 2
    targets = rng.integers(0, 2, n)
    return np.maximum(rng.normal(size=(n, 64)) + (1 - away) * middles[targets] + away * middles[2], 0).astype(np.float32), targets


@pytest.mark.parametrize("false_refusal", [0.05, 0.2])
def test_strange_pictures_are_refused_and_known_ones_as_rarely_as_promised(false_refusal: float) -> None:
    (train, targets), (validation, _), (new, _), (strange, _) = (
        clouds(n, seed=i, away=away) for i, (n, away) in enumerate([(300, 0), (500, 0), (3000, 0), (200, 1)])
    )
    found = fit_refusal(train, targets, validation, false_refusal=false_refusal)
    assert found is not None
    assert found.judge(new)["refused"].mean() == pytest.approx(false_refusal, abs=0.03)
    assert found.judge(strange)["refused"].mean() > 0.99
    assert found.judge(np.zeros((1, 64), np.float32))["refused"].shape == (1,)


def test_which_embeddings_are_taken_along() -> None:
    train, targets = clouds(400, seed=0)
    targets[:] = 0
    targets[:7] = 1
    found = fit_refusal(train, targets, train, most_kept=20)
    assert found is not None
    assert found.vectors.shape == (20, 64)
    rare = fit_refusal(train[:, ::-1] * (targets[:, None] == 0), targets, train, most_kept=20)
    assert (np.abs(rare.vectors - rare.vectors[0]).max(axis=1) == 0).sum() in (7, 13), "of each class as many as there are"
    assert fit_refusal(train, targets, train[:18]) is None


def test_without_validation_nothing_is_promised() -> None:
    logits, true = drawn(30)
    rows = {"train": np.arange(30), "validation": np.arange(0)}
    nothing = fit_answering(GOAL, logits, logits, true, EACH[:30], **rows)
    assert (nothing.calibration, nothing.conformal, nothing.refusal) == (Calibration(), None, None)
    few = fit_answering(GOAL, logits, logits, true, EACH[:30], train=np.arange(20), validation=np.arange(20, 30))
    assert few.notes == (
        "10 validation pictures are too few to promise sets of classes that hold the right one 0.95 of the time: 19 are needed",
        "10 validation pictures are too few to say from where on a picture is refused: 19 are needed for 0.05 by mistake",
    )


def test_a_bundle_answers_as_training_did(probe_run, photos, tmp_path, here) -> None:
    """A plain green picture is refused, the pictures of the run mostly are not, and both are said in words, JSON and the table."""
    import cv2

    green = tmp_path / "green.png"
    cv2.imwrite(str(green), np.full((40, 40, 3), (0, 255, 0), np.uint8))
    said = json.loads((probe_run.bundle / "bundle.json").read_text())
    assert (said["refusal"]["false_refusal"], said["refusal"]["file"]) == (0.05, "refusal.npz")
    assert said["conformal"]["coverage"] >= 0.95
    assert probe_run.metrics.test.refused == pytest.approx(0.05, abs=0.12)
    found = fovea.predict(str(probe_run.bundle), str(photos), str(green), out=str(tmp_path / "answers.csv"))
    *known, strange = found.to_json()["predictions"]
    assert strange["refused"]
    assert "green.png: like nothing it was shown (else " in found.to_text()
    assert (tmp_path / "answers.csv").read_text().splitlines()[-1].endswith(",yes,")
    assert np.mean([answer["refused"] for answer in known]) < 0.15
    assert all(answer["prediction_set"][0] == answer["class_name"] for answer in known)
    held = np.mean([Path(answer["path"]).parent.name in answer["prediction_set"] for answer in known])
    assert held > said["conformal"]["coverage"] - 0.05
    both = next((answer for answer in known if len(answer["prediction_set"]) == 2 and not answer["refused"]), None)
    assert both is None or f"(one of {', '.join(both['prediction_set'])})" in found.to_text()


def test_promises_are_those_that_were_asked_for(photos, tmp_path) -> None:
    """In the bundle, in the run, in the report; and regression promises its intervals by the same option."""
    asked = {"strategy": "probe", "backbone": "fovea_tiny", "image_size": 32}
    run = fovea.train(str(photos), out=str(tmp_path / "run"), coverage=0.8, false_refusal=0.2, **asked)
    said = json.loads((run.bundle / "bundle.json").read_text())
    assert said["refusal"]["false_refusal"] == 0.2
    assert said["conformal"]["coverage"] in (0.8, 0.96, 0.996), "what was asked for, or a stricter promise that says more"
    assert "refused" not in run.metrics.validation.model_dump(), "no promise is judged where it was set"
    assert run.metrics.model_extra["refusal"]["false_refusal"] == 0.2
    assert "20.0\u00a0% of pictures like these were to be refused by mistake" in run.report.read_text()
    assert "--coverage 0.8 --false-refusal 0.2" in run.metrics.command
    few = fovea.train(str(photos), out=str(tmp_path / "few"), coverage=0.99, false_refusal=0.01, **asked)
    assert few.metrics.model_extra["conformal"] is few.metrics.model_extra["refusal"] is None
    assert sum("99 are needed" in note for note in few.metrics.model_extra["notes"]) == 2
    task = create_task("regression", ("age",))
    answers = {"values": np.arange(200, dtype=np.float32)[:, None] + np.linspace(-1, 1, 200, dtype=np.float32)[:, None]}
    true = np.arange(200, dtype=np.float32)[:, None]
    half = [task.promising(coverage).settle(answers, true, true)["half_width"]["age"] for coverage in (0.5, 0.9)]
    assert half == pytest.approx([0.5, 0.9], abs=0.03)
    assert task.settle(answers, true, true)["coverage"] == 0.9


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--coverage", "95"), "--coverage cannot be 95"),
        (("--coverage", "nan"), "--coverage cannot be nan"),
        (("--false-refusal", "0"), "--false-refusal cannot be 0"),
        (("--task", "multi_label", "--coverage", "0.9"), "several labels have neither"),
        (("--task", "regression", "--false-refusal", "0.1"), "nothing else refuses pictures"),
    ],
)
def test_promises_that_cannot_be_made(words: tuple[str, ...], says: str, photos, tmp_path, here) -> None:
    data = photos
    if "--task" in words:
        kind = {"multi_label": "labels", "regression": "target"}[words[1]]
        data = tmp_path / "table.csv"
        data.write_text(f"path,{kind}\n" + "".join(f"{photos}/disc/disc{i:03}.png,{i % 3}\n" for i in range(20)))
    done = here("train", data, "--out", tmp_path / "out", "--strategy", "probe", "--backbone", "fovea_tiny", *words)
    assert (done.returncode, says in done.stderr) == (2, True), done.stderr
    assert "fix:" in done.stderr
    assert not (tmp_path / "out").exists()


def test_vector_scaling_is_shipped_inside_the_model(photos, tmp_path, monkeypatch) -> None:
    """`write_bundle` compares with torch, so that a wrong fold would be an error here."""
    logits, true = drawn(400, 2)

    def with_vector(*rows: object, **more: object) -> Answering:
        return Answering(fit_vector(logits * [1, 4], true))

    monkeypatch.setattr("fovea.evaluation.assessed.fit_answering", with_vector)
    run = fovea.train(str(photos), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=64)
    said = json.loads((run.bundle / "bundle.json").read_text())
    assert said["calibration"]["method"] == "vector"
    assert len(said["calibration"]["scale"]) == 2
    assert (said["conformal"], said["refusal"], fovea.load_bundle(run.bundle).refusal) == (None, None, None)
    assert not (run.bundle / "refusal.npz").exists()


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ("missing", "lacks what it needs to refuse pictures"),
        ("other sizes", "lacks what it needs to refuse pictures"),
        ("no archive", "refusal.npz of the bundle"),
        ("unknown method", "in a way that this Fovea does not know"),
    ],
)
def test_a_broken_refusal_is_an_error(probe_run, tmp_path, spoil: str, told: str) -> None:
    copy = Path(shutil.copytree(probe_run.bundle, tmp_path / "b"))
    if spoil == "missing":
        (copy / "refusal.npz").unlink()
    elif spoil == "other sizes":
        (copy / "refusal.npz").write_bytes(pack_arrays({"centre": np.zeros(3, np.float32), "vectors": np.zeros((5, 4), np.float32)}))
    elif spoil == "no archive":
        (copy / "refusal.npz").write_bytes(b"no archive")
    else:
        said = json.loads((copy / "bundle.json").read_text())
        (copy / "bundle.json").write_text(json.dumps(said | {"refusal": said["refusal"] | {"method": "dreams"}}))
    with pytest.raises(BundleError, match=told):
        fovea.load_bundle(copy)


def test_an_old_bundle_opens_and_refuses_nothing(probe_run, photos, tmp_path) -> None:
    copy = Path(shutil.copytree(probe_run.bundle, tmp_path / "b"))
    (copy / "refusal.npz").unlink()
    said = json.loads((copy / "bundle.json").read_text())
    said |= {"conformal": None, "refusal": None, "calibration": {"temperature": said["calibration"]["temperature"]}}
    (copy / "bundle.json").write_text(json.dumps(said))
    (answer,) = fovea.predict(str(copy), str(next((photos / "disc").iterdir()))).to_json()["predictions"]
    assert (answer["refused"], answer["prediction_set"]) == (False, [answer["class_name"]])
    assert read_refusal(None, None, path="b") is None
