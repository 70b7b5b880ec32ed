"""The texts' small networks on MNIST: how right they become, what transfer between digits brings, which optimizer learns best."""

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Grid, Limit, Options
from benchmarks.harness.places import SHOWN, shared

_DATA = "data/mnist.npz"
ASKS = (
    "How right are the texts' basic network after 5 epochs and LeNet-5 on MNIST, what do the weights of the digits 0-4 bring for 5-9, and which "
    "optimizer and which regulariser serve LeNet-5 best?"
)
REPEATS = 1
NEEDS = (_DATA,)

_ALONE = {
    "basic, 64-128-256": (
        ("--backbone", "convnet:variant=28", "--batch-size", "64", "--epochs", "5", "--schedule", "cosine", "--lr", "0.002"),
        Limit(0.991, "at least"),
    ),
    "LeNet-5": (("--backbone", "lenet5", "--optimizer", "sgd", "--epochs", "15", "--schedule", "cosine"), Limit(0.985, "at least")),
}
_TEXT = {"convolutions frozen": "96.8 %", "everything re-initialised": "95.4 %", "nothing frozen": "94.5 %"}
_OPTIMIZERS = "optimizer=sgd,momentum,nesterov,adagrad,adadelta,rmsprop,adam,nadam,adamw"
_REGULARISERS = "dropout=0,0.5 weight_decay=0,0.001"
_NUM_FEW = 6_000  # pictures for the comparisons, the same share of each digit
_EPOCHS, _LR = 10, 0.01  # of the transfer, as the texts


def measure(options: Options) -> Answer:
    """Trains each network once, the transfer in this process, and two experiments.

    Raises:
        Skip: MNIST is not here.
        Failed: A run did not end well.
    """
    figures: list[Figure] = []
    curves: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for number, (title, (words, limit)) in enumerate(_ALONE.items()):
            said = ["train", str(shared(_DATA)), "--strategy", "scratch", "--image-size", "28", *words, "--out", f"run{number}"]
            fovea(said, cache=folder / "cache", folder=folder)
            metrics = json.loads((folder / f"run{number}" / "metrics.json").read_text())
            figures += [
                _of_split(f"{title}: test, once", metrics["test"], limit),
                _of_split(f"{title}: validation", metrics["validation"]),
                Figure(f"{title}: time of learning", metrics["timing"]["train_s"], 0, 0, 1, "run", "s"),
            ]
            options.say(f"{title}: {metrics['test']['accuracy']:.2%}")
        for way in _transferred():
            figures.append(_of_split(f"5-9 after 0-4, {way['name']}: test", way))
            figures.append(Figure(f"5-9 after 0-4, {way['name']}: an epoch", way["seconds"] / _EPOCHS, 0, 0, _EPOCHS, "epochs", "s"))
            curves.append(_curve(f"5-9, {way['name']}", way["history"], _TEXT[way["name"]]))
        few = _write_few(folder)
        for title, vary in (("optimizer", _OPTIMIZERS), ("regulariser", _REGULARISERS)):
            said = ["experiment", str(few), "--strategies", "scratch", "--backbone", "lenet5", "--image-size", "28", "--epochs", "5"]
            fovea([*said, "--vary", vary, "--seeds", "2", "--out", title], cache=folder / "cache", folder=folder)
            for way in json.loads((folder / title / "experiment.json").read_text())["ways"]:
                low, high = way["accuracy_ci95"]
                figures.append(
                    Figure(f"LeNet-5, {way['name']}: validation", way["accuracy"], low, high, way["n"], "pictures, 2 seeds", "%")
                )
            options.say(f"{title}: compared")
    return Answer(
        figures=figures,
        grid=Grid(
            ("curve of validation accuracy", *(str(epoch + 1) for epoch in range(_EPOCHS)), "the texts"),
            [_cells(row) for row in curves],
            curves,
        ),
        notes=[
            f"Commands: {'; '.join(f'`fovea train {SHOWN}/{_DATA} --strategy scratch --image-size 28 ' + ' '.join(words) + '`' for words, _ in _ALONE.values())}.",
            "Validation is taken from the 60,000 training pictures, about 10,600 of them; near copies of validation and test pictures do not learn. "
            "The texts learn from all 60,000.",
            f"Transfer as the texts: Adam at {_LR} for 5-9, {_EPOCHS} epochs, batches of 32 (theirs: 128); 0-4 with Adam at 0.001. A share of the "
            "training pictures is validation.",
            f'Optimizers, each at its own rate, and regularisers: `fovea experiment --vary "{_OPTIMIZERS}"` and `"{_REGULARISERS}"` on {_NUM_FEW:,} training pictures, 10 '
            "epochs, judged on validation; the interval is Wilson's of the mean over the seeds.",
        ],
        versions=metrics["versions"],
    )


def _of_split(name: str, measured: dict[str, Any], limit: Limit | None = None) -> Figure:
    low, high = measured["accuracy_ci95"]
    return Figure(name, measured["accuracy"], low, high, measured["n"], "pictures", "%", limit)


def _transferred() -> list[dict[str, Any]]:
    """The three ways of the demo, on MNIST: every sixth training picture is validation."""
    import numpy as np

    from fovea.recipes.demo import Digits, three_ways

    with np.load(shared(_DATA)) as arrays:
        pictures = np.concatenate([arrays["train_images"], arrays["test_images"]])
        labels = np.concatenate([arrays["train_labels"], arrays["test_labels"]]).astype(np.int64)
        num_train = len(arrays["train_labels"])
    splits = np.where(np.arange(len(labels)) >= num_train, "test", np.where(np.arange(len(labels)) % 6, "train", "validation"))
    digits = Digits(np.repeat(pictures[..., None], 3, axis=3), labels, splits)
    return [way.to_json() for way in three_ways(digits, epochs=_EPOCHS, seed=0, lr=_LR, first_lr=1e-3)]


def _write_few(folder: Path) -> Path:
    """Some of the training pictures alone, as a file of their own: the test pictures stay out of the comparisons."""
    import numpy as np

    with np.load(shared(_DATA)) as arrays:
        step = len(arrays["train_labels"]) // _NUM_FEW
        np.savez(folder / "few.npz", train_images=arrays["train_images"][::step], train_labels=arrays["train_labels"][::step])
    return folder / "few.npz"


def _curve(name: str, history: list[dict[str, Any]], text: str) -> dict[str, object]:
    return {"name": name, "accuracy": [row["accuracy"] for row in history if row["split"] == "validation"], "text": text}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (row["name"], *(f"{value:.1%}" for value in row["accuracy"]), row["text"])
