"""What people and programs outside rely on: later work extends it and never moves it.

A schema that differs from the file beside its code fails here. If the change only adds, write the new one into the file:
    python -c "import json; from fovea.bundle.format import BundleInfo as M; print(json.dumps(M.model_json_schema(), indent=2))"
"""

import inspect
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest

import fovea
from fovea.bundle import format as bundle_format
from fovea.commands import find
from fovea.training import run as run_module

COMMANDS = {
    "train": [
        *(
            "data",
            "out",
            "task",
            "strategy",
            "budget",
            "backbone",
            "weights",
            "head",
            "image_size",
            "augment",
            "epochs",
            "batch_size",
            "lr",
        ),
        *(
            "patience",
            "engine",
            "device",
            "split_by",
            "keep_leaks",
            "private",
            "seed",
            "overwrite",
            "optimizer",
            "schedule",
            "warmup_epochs",
        ),
        *("weight_decay", "l1", "l2", "label_smoothing", "clip_norm", "dropout", "ema_decay", "balance", "unfreeze", "layer_decay"),
        *("auxiliary_weight", "weights_pattern", "schedule_options", "monitor", "min_delta"),
        *("batch_norm", "precision", "compile", "tensorboard", "coverage", "false_refusal", "embedding_map"),
    ],
    "experiment": [
        *("data", "out", "strategies", "seeds", "vary", "budget", "backbone", "weights", "image_size", "augment", "epochs", "batch_size"),
        "overwrite",
    ],
    "find-lr": [
        *("data", "out", "strategy", "backbone", "weights", "image_size", "augment", "batch_size", "optimizer", "steps", "seed"),
        "overwrite",
    ],
    "pretrain": [
        "data",
        "out",
        "backbone",
        "weights",
        "image_size",
        "augment",
        "epochs",
        "batch_size",
        "lr",
        "temperature",
        "seed",
        "overwrite",
    ],
    "distill": [
        *(
            "teacher",
            "data",
            "out",
            "student",
            "weights",
            "image_size",
            "augment",
            "views",
            "epochs",
            "batch_size",
            "lr",
            "softness",
            "embedding_weight",
            "precision",
            "seed",
        ),
        "overwrite",
    ],
    "average": ["runs", "out", "how", "tta", "data", "seed", "overwrite"],
    "adapt": ["run", "data", "out", "before", "most_forgotten", "seed", "overwrite"],
    "audit": ["data", "out", "apply", "subset", "labels", "backbone", "weights", "split_by", "seed"],
    "augment": ["data", "out", "preset", "image_size", "picture", "seed", "overwrite"],
    "predict": ["bundle", "paths", "out", "top", "overwrite"],
    "evaluate": ["bundle", "data", "split", "split_by"],
    "compare": ["runs", "seed"],
    "report": ["runs", "out", "data", "embedding_map", "show", "seed"],
    "explain": [
        "model",
        "pictures",
        "method",
        "layer",
        "class_",
        "check",
        "boxes",
        "view",
        "stage",
        "channel",
        "colours",
        "animate",
        "out",
        "seed",
        "overwrite",
    ],
    "bundle": ["backbone", "weights", "out", "classes", "image_size", "keep_weights", "overwrite"],
    "models": ["name", "image_size"],
    "cache": ["clear"],
    "tune": [
        *("data", "out", "strategy", "search", "trials", "budget", "backbone", "weights", "image_size", "epochs", "batch_size", "seed"),
        "overwrite",
    ],
    "demo": ["out", "epochs", "seed", "overwrite"],
    "bench-main": ["pairs", "peer_python"],
    "bench-data": ["data", "image_size", "augment", "batch_size", "threads", "max_items", "seed"],
}
METRICS = ["task", "strategy", "backbone", "class_names", "num_files", "validation", "test", "timing", "seed", "command", "versions"]
SPLIT = ["n", "accuracy", "accuracy_ci95", "top5_accuracy", "ece", "nll", "confusion"]
TIMING = [f"{stage}_s" for stage in ["total", "audit", "decode", "embed", "train", "evaluate", "explain", "export", "report"]]
BUNDLE = [
    "format",
    "task",
    "modality",
    "class_names",
    "preprocessing",
    "outputs",
    "calibration",
    "conformal",
    "refusal",
    "backbone",
    "strategy",
    "training_data",
    "metrics",
    "licences",
    "versions",
    "opset",
]
RUN_FILES = ["audit.json", "bundle", "checkpoint", "history.csv", "metrics.json", "predictions.csv", "report.html", "report.json"]
MODEL_FIELDS = ["name", "num_parameters", "image_size_px", "weights", "licence"]


@pytest.mark.parametrize(
    ("model", "frozen"),
    [
        (bundle_format.BundleInfo, bundle_format.json_schema),
        (run_module.Metrics, run_module.json_schema),
    ],
    ids=["bundle.json", "metrics.json"],
)
def test_schema_is_the_frozen_one(model, frozen):
    assert model.model_json_schema(by_alias=True) == frozen()


def test_commands_and_their_options_are_there():
    """All of them: one that is added is added here too, so that the next change cannot lose it unnoticed."""
    assert {name: set(inspect.signature(recipe.load()).parameters) for name, recipe in find().items()} == {
        name: set(options) for name, options in COMMANDS.items()
    }


@pytest.mark.parametrize("run_name", ["probe_run", "scratch_run"])
def test_run_folder(run_name, request):
    run = request.getfixturevalue(run_name)
    with_curves = ["learning_curves.png"] if run_name == "scratch_run" else []  # of epochs
    assert sorted(path.name for path in run.path.iterdir()) == sorted(RUN_FILES + with_curves)
    metrics = json.loads((run.path / "metrics.json").read_text())
    jsonschema.validate(metrics, run_module.json_schema())
    assert set(METRICS) <= set(metrics)
    assert set(TIMING) <= set(metrics["timing"])
    for split in ("validation", "test"):
        found = metrics[split]
        assert set(SPLIT) <= set(found)
        assert found["top5_accuracy"] is None  # two classes
        assert np.sum(found["confusion"]) == found["n"] == metrics["num_files"][split]
        assert found["accuracy_ci95"][0] <= found["accuracy"] <= found["accuracy_ci95"][1]
    rows = (run.path / "predictions.csv").read_text().splitlines()
    assert rows[0] == "path,split,true,predicted,probability"
    assert len(rows) == 1 + metrics["num_files"]["test"]
    history = (run.path / "history.csv").read_text().splitlines()
    assert history[0].startswith("epoch,split,loss,accuracy")
    assert history[0].endswith("lr,seconds")


@pytest.mark.parametrize("run_name", ["probe_run", "scratch_run"])
def test_bundle_folder(run_name, request):
    bundle = request.getfixturevalue(run_name).bundle
    assert {"bundle.json", "model.onnx", "golden.npz", "README.md"} <= {path.name for path in bundle.iterdir()}
    content = json.loads((bundle / "bundle.json").read_text())
    jsonschema.validate(content, bundle_format.json_schema())
    assert set(BUNDLE) <= set(content)
    assert set(content["preprocessing"]) == {"resize", "crop", "channels", "dtype"}
    assert set(content["preprocessing"]["resize"]) == {"rule", "size_px", "interpolation", "antialias"}
    assert set(content["outputs"]) == {"probabilities", "embedding", "features"}  # features where the embedding is their mean
    with np.load(bundle / "golden.npz", allow_pickle=False) as golden:
        assert set(golden.files) == {"pixels", *content["outputs"]}
        assert golden["pixels"].dtype == np.uint8


def test_model_takes_uint8_pictures_and_gives_probabilities(probe_run):
    import onnxruntime

    session = onnxruntime.InferenceSession(probe_run.bundle / "model.onnx")
    (pixels,) = session.get_inputs()
    assert (pixels.name, pixels.type, pixels.shape[1:]) == ("pixels", "tensor(uint8)", [64, 64, 3])
    assert [output.name for output in session.get_outputs()][:2] == ["probabilities", "embedding"]
    answer = session.run(["probabilities"], {"pixels": np.zeros((3, 64, 64, 3), np.uint8)})[0]
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-5)


def test_predict_json(probe_run, photos, command):
    picture = next((photos / "disc").iterdir())
    done = command("predict", probe_run.bundle, picture, photos / "gone.png", "--json")
    assert done.returncode == 1, done.stderr  # some inputs failed
    answer = json.loads(done.stdout)
    (found,), (error,) = answer["predictions"], answer["errors"]
    assert set(found) == {"path", "class_name", "probability", "probabilities", "prediction_set", "refused"}
    assert set(found["probabilities"]) == {"cross", "disc"}
    assert found["probabilities"][found["class_name"]] == found["probability"]
    assert set(error) == {"path", "problem", "fix"}
    assert error["path"] == str(photos / "gone.png")


def test_models_say_where_weights_are_looked_for():
    assert "FOVEA_WEIGHTS" in fovea.models().to_text().rpartition("\n\n")[2]


def test_models_json():
    rows = fovea.models().to_json()["models"]
    assert {"convnet", "mobilenet_v2", "resnet18", "resnet34", "resnet50"} <= {row["name"] for row in rows}
    assert all(set(MODEL_FIELDS) <= set(row) for row in rows)
    assert next(row for row in rows if row["name"] == "mobilenet_v2")["num_parameters"] == 3_504_872


def test_models_say_what_is_not_fetched():
    assert "only fetched where you name one: --weights hub:timm/resnet34.a1_in1k@REVISION" in fovea.models("resnet34").to_text()
    assert "from hub:timm/resnet18.a1_in1k@491b427b45c9" in fovea.models("resnet18").to_text()


@pytest.mark.parametrize(("output", "share"), [("probabilities", 2e-4), ("embedding", 2e-3), ("features", 2e-3)])
def test_golden_answers_are_checked_at_every_load(probe_run, tmp_path, output, share):
    import shutil

    from fovea.errors import BundleError

    copy = Path(shutil.copytree(probe_run.bundle, tmp_path / "b"))
    with np.load(copy / "golden.npz") as golden:
        right = dict(golden)
    scale = np.abs(right[output]).max() if output != "probabilities" else 1
    for factor, fails in ((0.3, False), (1, True), (np.nan, True)):
        changed = right[output].copy()
        changed.flat[0] += np.float32(share * factor * scale)
        np.savez(copy / "golden.npz", **(right | {output: changed}))
        if not fails:
            fovea.load_bundle(copy)
            continue
        with pytest.raises(BundleError, match="no longer answers as it did") as caught:
            fovea.load_bundle(copy)
        assert str(copy) in caught.value.problem
        assert output in caught.value.got
