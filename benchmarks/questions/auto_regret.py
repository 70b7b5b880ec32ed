"""How much is lost by letting `--strategy auto` choose, on little data, against whoever always guesses the best strategy."""

import csv
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Grid, Limit, Options
from benchmarks.harness.places import PHOTOS, WEIGHTS, shared
from benchmarks.harness.tiny import TINY, drawn, extract, pictures_of

ASKS = (
    "From 5, 25 and 100 pictures a class of the cats and dogs and of 10 classes of Tiny-ImageNet, with 3 seeds: how far behind the best fixed strategy is `--strategy auto`, judged "
    "on pictures outside the subset, and how far a script that always probes?"
)
REPEATS = 3
NEEDS = (PHOTOS, WEIGHTS, TINY)

_SIZES, _NUM_CLASSES, _SEED = (5, 25, 100), 10, 0
_FIXED = ("probe", "frozen", "finetune")
_SIDE_PX = "128"
_NUM_JUDGED = {"cats_dogs": 500, "tiny_imagenet": 30}  # a class, none of them in any subset


def measure(options: Options) -> Answer:
    """Trains each strategy and auto on each subset.

    Raises:
        Skip: Data or weights are not here.
        Failed: A run did not end well.
    """
    rows: list[tuple[str, ...]] = []
    plain: list[dict[str, object]] = []
    regrets: dict[str, list[float]] = {"auto": [], "probe": []}
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        extract(pictures_of(drawn(_SEED, _NUM_CLASSES)), folder / "tiny")
        for data in _NUM_JUDGED:
            for size in _SIZES:
                for seed in range(options.repeats):
                    table = _subset(folder, data, size, seed)
                    found: dict[str, float] = {}
                    seconds: dict[str, float] = {}
                    taken = ""
                    for way in (*_FIXED, "auto"):
                        out = f"{table.stem}-{way}"
                        words = ["train", str(table), "--strategy", way, "--image-size", _SIDE_PX, "--seed", str(seed), "--out", out]
                        weights = ["--backbone", "mobilenet_v2", "--weights", str(shared(WEIGHTS))]
                        seconds[way] = fovea([*words, *weights], cache=folder / "cache", folder=folder).seconds
                        metrics = json.loads((folder / out / "metrics.json").read_text())
                        found[way] = metrics["test"]["accuracy"]
                        taken = metrics["strategy"] if way == "auto" else taken
                    best = max(found[way] for way in _FIXED)
                    for way, values in regrets.items():
                        values.append(best - found[way])
                    plain.append({"data": data, "a class": size, "seed": seed, **found, "auto took": taken, "seconds": seconds})
                    rows.append(
                        (data, str(size), str(seed), *(f"{found[way]:.1%}" for way in (*_FIXED, "auto")), taken, f"{seconds['auto']:.0f} s")
                    )
                    options.say(" ".join(rows[-1]))
    figures = []
    for way, values in regrets.items():
        limits = (Limit(0.01), Limit(0.03)) if way == "auto" else (None, None)
        n = len(values)
        figures.append(Figure(f"{way}: regret, mean", fmean(values), min(values), max(values), n, "subsets", "%", limits[0]))
        figures.append(Figure(f"{way}: regret, worst", max(values), max(values), max(values), n, "subsets", "%", limits[1]))
    return Answer(
        figures,
        [
            "MobileNetV2's weights, 128 px. Every fifth picture of a subset is watched. The best fixed strategy is the best on the judging pictures, which nobody can know before: part of the "
            "regret is its luck.",
            f"Judged on {_NUM_JUDGED['cats_dogs']} photos a class of the test split, and on the {_NUM_JUDGED['tiny_imagenet']} of the official validation set of each Tiny-ImageNet class.",
            "Both data are of ImageNet's classes, which the weights were trained on.",
        ],
        grid=Grid(("data", "pictures a class", "seed", *_FIXED, "auto", "auto took", "auto's time"), rows, plain),
    )


def _subset(folder: Path, data: str, size: int, seed: int) -> Path:
    """A table of `size` training pictures a class, every fifth of them watched, and the judging pictures as test."""
    path = folder / f"{data}-{size}-{seed}.csv"
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        for label, learned, judged in _classes(folder, data):
            chosen = random.Random(f"{seed} {label}").sample(learned, size)
            for number, picture in enumerate(chosen):
                table.writerow([picture, label, "validation" if number % 5 == 4 else "train"])
            for picture in judged[: _NUM_JUDGED[data]]:
                table.writerow([picture, label, "test"])
    return path


def _classes(folder: Path, data: str) -> Iterator[tuple[str, list[Path], list[Path]]]:
    """(class, pictures to learn from, pictures to be judged on)."""
    root, sides = (shared(PHOTOS), ("train", "test")) if data == "cats_dogs" else (folder / "tiny", ("train", "validation"))
    for label in sorted(place.name for place in (root / "train").iterdir()):
        learned, judged = (sorted(file for file in (root / side / label).rglob("*") if file.is_file()) for side in sides)
        yield label, learned, judged
