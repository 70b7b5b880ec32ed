"""The main job from end to end, on pictures painted here."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.shared_runs import paint

import fovea
from fovea.errors import DataError, OutputError, ParityError


def test_a_network_from_nothing_learns(photos, tmp_path):
    run = fovea.train(str(photos), out=str(tmp_path / "run"), strategy="scratch", image_size=28, epochs=12, lr=3e-3)
    assert run.metrics.test.accuracy_ci95[0] > 0.6, run.metrics.test  # chance is 0.5
    losses = [float(row["loss"]) for row in csv.DictReader((run.path / "history.csv").open()) if row["split"] == "validation"]
    assert min(losses) < losses[0]
    text = run.report.read_text()
    assert "https://" not in text.replace("https://github.com", "")
    assert len(text) < 5e6


def test_predictions_csv_is_what_the_bundle_answers(probe_run, photos):
    bundle = fovea.load_bundle(probe_run.bundle)
    with (probe_run.path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) > 20
    for row in rows[:10]:
        answer = bundle.predict_bytes((photos / row["path"]).read_bytes())
        assert answer.class_name == row["predicted"]
        assert answer.probability == pytest.approx(float(row["probability"]), abs=1e-4)


def test_evaluate_gives_the_figures_of_the_run(probe_run, photos, tmp_path):
    with (probe_run.path / "predictions.csv").open() as file:
        rows = [(photos / row["path"], row["true"]) for row in csv.DictReader(file)]
    (tmp_path / "test.csv").write_text("path,label\n" + "".join(f"{path},{label}\n" for path, label in rows))
    report = fovea.evaluate(str(probe_run.bundle), str(tmp_path / "test.csv"))
    assert report.metrics["confusion"] == probe_run.metrics.test.confusion
    assert report.metrics["nll"] == pytest.approx(probe_run.metrics.test.nll, abs=1e-4)


def test_moved_and_renamed_pictures_are_not_computed_again(probe_run, photos, tmp_path, monkeypatch):
    moved = Path(shutil.copytree(photos, tmp_path / "moved"))
    for index, path in enumerate(sorted((moved / "disc").iterdir())):
        path.rename(path.with_name(f"renamed{index}.png"))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a picture was decoded that was seen before")

    monkeypatch.setattr("fovea.embeddings.extract.load_picture", refuse)
    again = fovea.train(str(moved), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=64)
    assert again.metrics.test == probe_run.metrics.test


def test_class_order_is_stored_and_lexical(tmp_path):
    data = paint(tmp_path / "data", {"square": 30, "cross": 30, "disc": 30})
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=32)
    assert run.metrics.class_names == ["cross", "disc", "square"] == fovea.load_bundle(run.path).class_names


@pytest.mark.parametrize("head", ["linear", "mlp"])
@pytest.mark.slow
def test_heads(photos, tmp_path, head):
    run = fovea.train(
        str(photos), out=str(tmp_path / "run"), strategy="probe", backbone="resnet18", weights="none", image_size=32, head=head, epochs=3
    )
    assert run.metrics.test.n > 0
    assert (run.path / "history.csv").read_text().count("\n") == (7 if head == "mlp" else 1)


def test_leaks_are_taken_out_of_training_and_named(tmp_path):
    data = tmp_path / "data"
    for split, seed in (("train", 1), ("validation", 2), ("test", 3)):
        paint(data / split, {"disc": 20, "square": 20}, seed=seed)
    shutil.copy(data / "test" / "disc" / "disc001.png", data / "train" / "disc" / "copied.png")
    run = fovea.train(str(data), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=32)
    assert run.metrics.num_files == {"train": 40, "validation": 20 * 2, "test": 20 * 2}
    audit = json.loads((run.path / "audit.json").read_text())
    assert [(leak["path"], leak["split"]) for leak in audit["leaks"]] == [("train/disc/copied.png", "test")]


def test_a_finished_run_is_never_written_over_unasked(probe_run, photos, tmp_path):
    out = Path(shutil.copytree(probe_run.path, tmp_path / "run"))
    options = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 64}
    with pytest.raises(OutputError, match="already holds a finished run"):
        fovea.train(str(photos), out=str(out), **options)
    assert fovea.train(str(photos), out=str(out), overwrite=True, **options).metrics.test == probe_run.metrics.test
    (out / "thesis.docx").write_text("years of work")
    with pytest.raises(OutputError, match="holds other files"):
        fovea.train(str(photos), out=str(out), overwrite=True, **options)
    assert (out / "thesis.docx").read_text() == "years of work"


@pytest.mark.slow
def test_an_unfinished_run_resumes_with_the_same_settings_only(photos, tmp_path, monkeypatch):
    out, options = tmp_path / "run", {"strategy": "scratch", "image_size": 28, "epochs": 4}

    def killed(*_: object, **__: object) -> None:
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr("fovea.recipes.train.write_bundle", killed)
        with pytest.raises(RuntimeError, match="killed"):
            fovea.train(str(photos), out=str(out), **options)
    with pytest.raises(OutputError, match=r"an unfinished run with other settings .*epochs was 4, is 5"):
        fovea.train(str(photos), out=str(out), **(options | {"epochs": 5}))
    resumed = fovea.train(str(photos), out=str(out), **options)
    undisturbed = fovea.train(str(photos), out=str(tmp_path / "other"), **options)
    assert resumed.metrics.test == undisturbed.metrics.test
    assert resumed.metrics.validation == undisturbed.metrics.validation


@pytest.mark.slow
def test_resuming_in_the_middle_gives_the_same_weights(photos, tmp_path, monkeypatch):
    """Four epochs at once, and two, a crash, then the rest: bit for bit the same network."""
    from fovea.training import loop

    options = {"strategy": "scratch", "image_size": 28, "epochs": 4}
    whole = fovea.train(str(photos), out=str(tmp_path / "whole"), **options)
    train_epoch = loop._train_epoch

    def crash_in_the_third(model, state, train, epoch, *rest):
        if epoch == 3:
            raise RuntimeError("killed")
        return train_epoch(model, state, train, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_train_epoch", crash_in_the_third)
        with pytest.raises(RuntimeError, match="killed"):
            fovea.train(str(photos), out=str(tmp_path / "parts"), **options)
    parts = fovea.train(str(photos), out=str(tmp_path / "parts"), **options)
    assert (whole.bundle / "model.onnx").read_bytes() == (parts.bundle / "model.onnx").read_bytes()


def test_no_bundle_is_written_when_torch_and_the_engine_disagree(photos, tmp_path, monkeypatch):
    from fovea.export import bundles

    append = bundles.append_head
    monkeypatch.setattr(bundles, "append_head", lambda *parts, temperature, **rest: append(*parts, temperature=temperature * 1.5, **rest))
    with pytest.raises(ParityError, match="answers differently"):
        fovea.train(str(photos), out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights="none", image_size=64)
    assert not (tmp_path / "run" / "bundle").exists()
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_the_test_split_is_touched_once(photos, tmp_path, monkeypatch):
    """Shuffling the labels of the test pictures changes nothing that was learned or chosen."""
    import random

    labels = {path.relative_to(photos).as_posix(): path.parent.name for path in sorted(photos.rglob("*.png"))}
    splits = {path: ("train", "train", "validation", "test")[index % 4] for index, path in enumerate(labels)}
    runs = []
    for name in ("true", "shuffled"):
        test = [path for path in labels if splits[path] == "test"]
        shown = dict(labels)
        if name == "shuffled":
            shown |= dict(zip(test, random.Random(0).sample([labels[p] for p in test], len(test)), strict=True))
        table = "".join(f"{photos / path},{shown[path]},{splits[path]}\n" for path in labels)
        (tmp_path / f"{name}.csv").write_text("path,label,split\n" + table)
        run = fovea.train(
            str(tmp_path / f"{name}.csv"),
            out=str(tmp_path / name),
            strategy="probe",
            backbone="mobilenet_v2",
            weights="none",
            image_size=64,
        )
        runs.append(run)
    true, shuffled = runs
    assert true.metrics.validation == shuffled.metrics.validation
    with np.load(true.bundle / "golden.npz") as a, np.load(shuffled.bundle / "golden.npz") as b:
        np.testing.assert_array_equal(a["probabilities"], b["probabilities"])


def test_an_error_of_the_data_leaves_nothing_in_the_way(tmp_path):
    data = paint(tmp_path / "data", {"disc": 12, "square": 2})
    (data / "square" / "square000.png").write_bytes(b"")
    options = {"out": str(tmp_path / "run"), "strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 32}
    with pytest.raises(DataError, match="only one picture of 'square'"):
        fovea.train(str(data), **options)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("run_name", ["probe_run", "scratch_run"])
def test_the_backbone_of_a_run_serves_the_next(run_name, request, photos, tmp_path):
    """`--weights RUN`: the same numbers come back, and the backbone need not be named."""
    first = request.getfixturevalue(run_name)
    again = fovea.train(
        str(photos), out=str(tmp_path / "run"), strategy="probe", weights=str(first.path), image_size=first.metrics.image_size_px
    )
    assert again.metrics.backbone == first.metrics.backbone
    if run_name == "probe_run":
        assert again.metrics.test.confusion == first.metrics.test.confusion
    else:
        with np.load(again.bundle / "golden.npz") as a, np.load(first.bundle / "golden.npz") as b:
            np.testing.assert_allclose(a["embedding"], b["embedding"], atol=1e-5)


def test_a_device_that_is_not_there(photos, tmp_path):
    import torch

    missing = next(name for name, found in (("mps", torch.backends.mps.is_available()), ("cuda", torch.cuda.is_available())) if not found)
    with pytest.raises(fovea.FoveaError, match=f"--device {missing} is not to be had here"):
        fovea.train(str(photos), out=str(tmp_path / "run"), strategy="scratch", image_size=28, epochs=1, device=missing)


@pytest.mark.parametrize(
    "theirs",
    [("report.html",), ("bundle/app.js", "report.html"), ("checkpoint/my_model.pt",), ("notes.txt",), ("bundle/model.onnx", "audit.json")],
    ids=lambda theirs: theirs[0],
)
def test_overwrite_deletes_nothing_that_no_run_wrote(theirs, photos, tmp_path):
    for name in theirs:
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        fovea.train(str(photos), out=str(tmp_path / "out"), overwrite=True)
    assert all((tmp_path / "out" / name).read_text() == "mine" for name in theirs)


@pytest.mark.parametrize("name", ["bundle/notes.txt", "tensorboard/thesis.txt"])
def test_overwrite_leaves_what_somebody_put_into_a_run(photos, probe_run, tmp_path, name):
    out = shutil.copytree(probe_run.path, tmp_path / "run")
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    with pytest.raises(OutputError, match="holds other files") as caught:
        fovea.train(str(photos), out=str(out), overwrite=True)
    assert caught.value.got == name
    assert (out / "metrics.json").exists()


def test_overwrite_keeps_a_good_run_until_the_new_data_are_known_to_be_usable(probe_run, tmp_path):
    out = Path(shutil.copytree(probe_run.path, tmp_path / "run"))
    for name in ("a", "b"):
        (tmp_path / "broken" / name).mkdir(parents=True)
        for index in range(3):
            (tmp_path / "broken" / name / f"{index}.jpg").write_bytes(b"\xff\xd8\xff no picture")
    with pytest.raises(DataError, match="none of the pictures of 'a'") as caught:
        fovea.train(str(tmp_path / "broken"), out=str(out), overwrite=True)
    assert "the first: 'a/0.jpg'" in caught.value.got, "why it cannot be read is told"
    assert fovea.load_bundle(out).class_names == probe_run.metrics.class_names


@pytest.mark.slow
def test_alike_by_template_still_leaves_something_to_measure_on(tmp_path):
    """Forms that differ in a few words, and groups that leave no test: told, and never 20 pictures of one."""
    chance = np.random.default_rng(0)
    form = chance.integers(0, 2, (160, 160, 3), dtype=np.uint8) * 255
    for index in range(20):
        pixels = form.copy()
        pixels[60:72, 40:120] = chance.integers(0, 2, (12, 80, 1), dtype=np.uint8) * 255
        path = tmp_path / "forms" / ("new", "old")[index % 2] / f"page{index // 10}-{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels)
    options = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 32}
    run = fovea.train(str(tmp_path / "forms"), out=str(tmp_path / "run"), **options)
    assert min(run.metrics.num_files.values()) >= 2, run.metrics.num_files
    grouped = fovea.train(str(tmp_path / "forms"), out=str(tmp_path / "grouped"), split_by=r"page(\d)", **options)
    assert grouped.metrics.num_files["test"] == 0
    assert "note: there is no test picture: nothing was measured on pictures that were not learned from" in grouped.to_text()
