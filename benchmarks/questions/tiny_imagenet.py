"""Networks that learn from nothing on 20 classes of Tiny-ImageNet: what batch norm and regularisation bring, beside a transfer."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Grid, Options
from benchmarks.harness.places import WEIGHTS, shared
from benchmarks.harness.tiny import TINY, drawn, names_of, write_split

ASKS = (
    "On 20 classes of Tiny-ImageNet, 162 pictures a class: what does batch norm bring to Minception, what does regularisation bring to Inception v1, and how far is "
    "either from a transfer?"
)
REPEATS = 1
NEEDS = (TINY, WEIGHTS)

_NUM_CLASSES, _SEED = 20, 0
_LONG = ("--strategy", "scratch", "--batch-size", "64", "--epochs", "12")
_PLATEAU = ("--schedule", "plateau", "--patience", "10")
_PLAIN = ("--backbone", "googlenet:norm=response:auxiliary=false:dropout=0", "--image-size", "64", "--augment", "none", "--patience", "5")
_HELD = ("--backbone", "googlenet:norm=response", "--image-size", "64", "--augment", "tiny_imagenet", "--patience", "5")
_WAYS: dict[str, tuple[tuple[str, ...], str]] = {
    "Minception": (
        (*_LONG, "--backbone", "minception", "--image-size", "56", "--augment", "standard", *_PLATEAU),
        "47.9 % validation, 51 % test",
    ),
    "Minception without batch norm": (
        (*_LONG, "--backbone", "minception:batch_norm=false", "--image-size", "56", "--augment", "standard", *_PLATEAU),
        "",
    ),
    "Inception v1, regularised": ((*_LONG, *_HELD), "29.4 % validation, training 32.8 %"),
    "Inception v1, not regularised": ((*_LONG, *_PLAIN), "27 to 30 % test, training 94 %"),
    "transfer from MobileNetV2 (contaminated)": (
        ("--strategy", "probe", "--backbone", "mobilenet_v2", "--image-size", "160"),
        "74 % validation, 79 % test",
    ),
}


def measure(options: Options) -> Answer:
    """Trains each once.

    Raises:
        Skip: The pictures or the weights are not here.
        Failed: A run did not end well.
    """
    figures: list[Figure] = []
    curves: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        classes = drawn(_SEED, _NUM_CLASSES)
        write_split(classes, folder)
        for number, (title, (words, text)) in enumerate(_WAYS.items()):
            weights = ("--weights", str(shared(WEIGHTS))) if "mobilenet_v2" in words else ()
            fovea(["train", "table.csv", *words, *weights, "--out", f"run{number}"], cache=folder / "cache", folder=folder)
            metrics = json.loads((folder / f"run{number}" / "metrics.json").read_text())
            figures += [_of_split(f"{title}: {split}", metrics[split]) for split in ("test", "validation", "train")]
            figures.append(Figure(f"{title}: time of learning", metrics["timing"]["train_s"], 0, 0, 1, "run", "s"))
            with open(folder / f"run{number}" / "history.csv", newline="") as file:
                curves += _curves(title, list(csv.DictReader(file)), text)
            options.say(f"{title}: test {metrics['test']['accuracy']:.1%}, training {metrics['train']['accuracy']:.1%}")
    epochs = max((len(row["accuracy"]) for row in curves), default=0)  # type: ignore[arg-type]
    shown = [epoch for epoch in (1, 2, 3, 5, 8, 12) if epoch <= epochs]
    return Answer(
        figures=figures,
        grid=Grid(("curve of accuracy, epoch", *map(str, shown), "the texts, 200 classes"), [_cells(row, shown) for row in curves], curves),
        notes=[
            f"Classes, drawn with seed {_SEED}: {', '.join(names_of(classes))}. 3,240 pictures learn, 360 are watched, 600 of the official validation set are the test.",
            "MobileNetV2's weights have seen these very classes of ImageNet, of which Tiny-ImageNet is a part: its figure says nothing of new classes.",
            "The texts learn 200 classes from 500 pictures each: their figures are another task's, and stand there for the order of things.",
            "Minception's random crop of 56 from 64 px and its contrast are here the preset `standard`.",
            "Commands: " + "; ".join(f"`fovea train DATA {' '.join(words)}`" for words, _ in _WAYS.values()) + ".",
        ],
        versions=metrics["versions"],
    )


def _curves(title: str, history: list[dict[str, str]], text: str) -> list[dict[str, object]]:
    """A row for each split; none where there are no epochs."""
    rows = {split: [float(row["accuracy"]) for row in history if row["split"] == split] for split in ("train", "validation")}
    return [{"name": f"{title}, {split}", "accuracy": values, "text": text} for split, values in rows.items() if values]


def _cells(row: dict[str, Any], shown: list[int]) -> tuple[str, ...]:
    values = row["accuracy"]
    return (row["name"], *(f"{values[epoch - 1]:.1%}" if epoch <= len(values) else "" for epoch in shown), row["text"])


def _of_split(name: str, measured: dict[str, Any]) -> Figure:
    low, high = measured["accuracy_ci95"]
    return Figure(name, measured["accuracy"], low, high, measured["n"], "pictures", "%")
