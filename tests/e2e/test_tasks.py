"""Several labels, and numbers: from a table to a bundle, a report and answers, through every strategy."""

import csv
import json

import cv2
import jsonschema
import numpy as np
import pytest

import fovea
from fovea.bundle import format as bundle_format
from fovea.data import open_source
from fovea.errors import InputError
from fovea.selection.choose import choose_task
from fovea.training import run as run_module

LOOK = {"strategy": "probe", "backbone": "mobilenet_v2", "weights": "none", "image_size": 64}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """120 pictures in noise: a disc of some radius, a frame, both or neither; tables of what is there, and of how much."""
    folder = tmp_path_factory.mktemp("drawn")
    rng = np.random.default_rng(0)
    labels, numbers = [["path", "labels"]], [["path", "target:radius", "target:year"]]
    for n in range(120):
        pixels = rng.integers(0, 60, (40, 40, 3), dtype=np.uint8)
        radius = int(rng.integers(3, 12)) if n % 5 else 0
        if radius:
            cv2.circle(pixels, tuple(int(v) for v in rng.integers(12, 28, 2)), radius, (230, 230, 230), -1)
        if framed := n % 3 == 0:
            cv2.rectangle(pixels, (1, 1), (38, 38), (0, 200, 0), 2)
        cv2.imwrite(str(folder / f"{n:03}.png"), pixels)
        labels.append([f"{n:03}.png", ";".join((["disc"] if radius else []) + (["frame"] if framed else []))])
        numbers.append([f"{n:03}.png", str(radius * 100), str(2000 + 10 * framed)])
    for name, rows in (("labels", labels), ("numbers", numbers)):
        with open(folder / f"{name}.csv", "w", newline="") as file:
            csv.writer(file).writerows(rows)
    return folder


@pytest.fixture(scope="module")
def runs(drawn, tmp_path_factory):
    out = tmp_path_factory.mktemp("task_runs")
    return {name: fovea.train(str(drawn / f"{name}.csv"), out=str(out / name), **LOOK) for name in ("labels", "numbers")}


def outputs_of(run):
    import onnxruntime

    session = onnxruntime.InferenceSession(run.bundle / "model.onnx")
    return [output.name for output in session.get_outputs()]


def test_labels_are_learned(runs, drawn):
    run = runs["labels"]
    content = json.loads((run.path / "metrics.json").read_text())
    jsonschema.validate(content, run_module.json_schema())
    measured = content["test"]
    assert (content["task"], content["class_names"]) == ("multi_label", ["disc", "frame"])
    assert measured["mean_average_precision_ci95"][0] > measured["mean_average_precision_by_chance"]
    assert measured["subset_accuracy"] > measured["baseline_subset_accuracy"]
    jsonschema.validate(json.loads((run.bundle / "bundle.json").read_text()), bundle_format.json_schema())
    assert outputs_of(run)[:2] == ["probabilities", "embedding"]
    rows = (run.path / "predictions.csv").read_text().splitlines()
    assert (rows[0], len(rows)) == ("path,split,true,predicted,probability:disc,probability:frame", 1 + content["num_files"]["test"])
    answer = fovea.predict(str(run.bundle), str(drawn / "003.png"), str(drawn / "005.png")).to_json()["predictions"]
    assert [set(found) for found in answer] == [{"path", "labels", "probabilities"}] * 2
    assert sorted(answer[0]["labels"]) == ["disc", "frame"]
    again = fovea.evaluate(str(run.bundle), str(drawn / "labels.csv"))
    assert again.metrics["n"] == 120
    assert again.to_text().startswith("It had every label right on ")
    assert "A model that names what is true of a picture: disc, frame" in (run.bundle / "README.md").read_text()
    assert "every label right" in run.to_text()


def test_numbers_are_learned_and_answered_in_their_units(runs, drawn):
    run = runs["numbers"]
    content = json.loads((run.path / "metrics.json").read_text())
    jsonschema.validate(content, run_module.json_schema())
    assert (content["task"], content["class_names"], content["temperature"]) == ("regression", ["radius", "year"], 1)
    for measured in content["test"]["targets"].values():
        assert measured["mae_ci95"][1] < measured["baseline_mae"]
        assert measured["r2"] > 0.5
    assert outputs_of(run)[:2] == ["values", "embedding"]
    found = fovea.predict(str(run.bundle), str(drawn / "003.png")).to_json()["predictions"][0]
    assert set(found) == {"path", "values", "intervals"}
    assert found["values"]["year"] == pytest.approx(2010, abs=4)  # a head that answered at deviation 1 would say 1
    low, high = found["intervals"]["radius"]
    assert low < found["values"]["radius"] < high
    out = drawn.parent / "answers.csv"
    fovea.predict(str(run.bundle), str(drawn / "003.png"), out=str(out), overwrite=True)
    assert out.read_text().splitlines()[0] == "path,radius,radius_low,radius_high,year,year_low,year_high,problem"
    again = fovea.evaluate(str(run.bundle), str(drawn / "numbers.csv"))
    assert again.to_text().startswith("On average it is off, on 120 measured pictures, in “radius” by ")


@pytest.mark.parametrize(("name", "says"), [("labels", "It had every label right on"), ("numbers", "On average it is off, on")])
def test_the_report_opens_with_the_answer(runs, name, says):
    import html5lib

    page = runs[name].report.read_text()
    html5lib.HTMLParser(strict=True).parse(page)
    assert f'<p class="answer">{says}' in page
    assert ('id="scatter-0-title"' in page) == (name == "numbers")
    assert "The worst mistakes" in page or name == "labels"
    assert "Average precision" in page or name == "numbers"


def test_data_of_another_kind_are_refused(runs, drawn, photos):
    with pytest.raises(InputError, match=r"learned from labels, and .* has numbers"):
        fovea.evaluate(str(runs["labels"].bundle), str(drawn / "numbers.csv"))
    with pytest.raises(InputError, match=r"learned from numbers, and .* has classes"):
        fovea.evaluate(str(runs["numbers"].bundle), str(photos))
    with pytest.raises(InputError, match="--task regression learns from one or more numbers"):
        choose_task("regression", open_source(photos))
    with pytest.raises(InputError, match="is no classifier, and only the head of one can be adapted"):
        fovea.adapt(str(runs["numbers"].path), str(photos), out=str(drawn.parent / "adapted"))
    with pytest.raises(InputError, match="has labels"):
        fovea.experiment(str(drawn / "labels.csv"), out=str(drawn.parent / "experiment"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["labels", "numbers"])
@pytest.mark.parametrize("strategy", ["scratch", "frozen", "finetune", "probe with mlp"])
def test_every_strategy_learns_every_task(drawn, tmp_path, name, strategy):
    how = {
        "scratch": {"strategy": "scratch", "image_size": 28, "augment": "light+mixup", "epochs": 12},
        "frozen": LOOK | {"strategy": "frozen", "augment": "light+cutmix", "epochs": 2},
        "finetune": LOOK | {"strategy": "finetune", "augment": "light", "epochs": 2},
        "probe with mlp": LOOK | {"head": "mlp", "epochs": 10},
    }[strategy]
    run = fovea.train(str(drawn / f"{name}.csv"), out=str(tmp_path / "run"), **how)
    first = (run.path / "history.csv").read_text().splitlines()[0]
    assert first == ("epoch,split,loss,accuracy,lr,seconds" if name == "labels" else "epoch,split,loss,r2,lr,seconds")
    measured = run.metrics.test.model_dump()
    if name == "labels":
        assert measured["mean_average_precision"] > measured["mean_average_precision_by_chance"]
    else:
        assert measured["targets"]["year"]["mae"] < measured["targets"]["year"]["baseline_mae"] * 1.05
    assert fovea.predict(str(run.bundle), str(drawn / "003.png")).predictions


@pytest.mark.slow
def test_a_killed_training_of_numbers_goes_on_exactly(drawn, tmp_path, monkeypatch):
    from fovea.training import loop

    options = {"strategy": "scratch", "image_size": 28, "epochs": 4}
    whole = fovea.train(str(drawn / "numbers.csv"), out=str(tmp_path / "whole"), **options)
    train_epoch = loop._train_epoch

    def crash_in_the_third(model, state, train, epoch, *rest):
        if epoch == 3:
            raise RuntimeError("killed")
        return train_epoch(model, state, train, epoch, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_train_epoch", crash_in_the_third)
        with pytest.raises(RuntimeError, match="killed"):
            fovea.train(str(drawn / "numbers.csv"), out=str(tmp_path / "parts"), **options)
    parts = fovea.train(str(drawn / "numbers.csv"), out=str(tmp_path / "parts"), **options)
    assert (whole.bundle / "model.onnx").read_bytes() == (parts.bundle / "model.onnx").read_bytes()


@pytest.mark.slow
def test_a_task_from_outside_goes_the_whole_way(drawn, tmp_path, monkeypatch):
    """As a plug-in registers it: nothing else knows of it."""
    from fovea.tasks import TASKS, TaskInfo
    from fovea.tasks.multi_label import MultiLabel
    from fovea.testing.tasks import check_task

    class Tags(MultiLabel):
        name = "tags"

        def told(self, metrics, *, split):
            return super(MultiLabel, self).told({"n": metrics["n"], "macro_f1": 0.5, "macro_f1_ci95": [0.4, 0.6]}, split=split)

    TASKS.names()
    monkeypatch.setattr(TASKS, "_entries", dict(TASKS._entries))
    TASKS.add(TaskInfo(answers="which tags?", targets="tags", kind="labels"), name="tags")(Tags)
    check_task("tags")
    run = fovea.train(str(drawn / "labels.csv"), out=str(tmp_path / "run"), task="tags", **LOOK)
    assert run.metrics.task == "tags"
    assert f"On {run.metrics.test.n} test pictures: macro_f1 0.5 (0.4 to 0.6)." in run.report.read_text()
    assert fovea.load_bundle(run.bundle).task.name == "tags"
