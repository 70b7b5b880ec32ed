"""Published weights as they are: bundled, and asked for one photo of each ImageNet class through `fovea predict`."""

import csv
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Limit, Options, share
from benchmarks.harness.places import WEIGHTS, shared

ASKS = (
    "How often does a bundle of published weights name the right one of 1,000 classes first, and among its first five, through "
    "`fovea bundle` and `fovea predict`, on one photo of each ImageNet class?"
)
REPEATS = 1
_SAMPLES, _SQUEEZENET = "data/imagenet_samples", "weights/squeezenet1_0_imagenet.safetensors"
NEEDS = (_SAMPLES, WEIGHTS, _SQUEEZENET)
# A plain script reaches 85.6 % with the first (the design's baselines); the second's own metadata say 62.5 %
_ASKED = {"mobilenet_v2": (WEIGHTS, 0.84), "squeezenet1_0": (_SQUEEZENET, 0.55)}


def measure(options: Options) -> Answer:
    """Bundles each, predicts all photos, and counts.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: A command did not end well.
    """
    from fovea.models.classes import load_classes
    from fovea.versions import versions

    names = load_classes("imagenet_1k").class_names
    # the files are named by synset, whose order is the order of the classes
    truth = dict(zip(sorted(path.name for path in shared(_SAMPLES).glob("*.jpg")), names, strict=True))
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for backbone, (weights, least) in _ASKED.items():
            options.say(f"asking {backbone}")
            fovea(("bundle", backbone, "--weights", str(shared(weights)), "--out", backbone), cache=folder / "cache", folder=folder)
            table = folder / f"{backbone}.csv"
            fovea(("predict", backbone, str(shared(_SAMPLES)), "--out", str(table)), cache=folder / "cache", folder=folder)
            with open(table, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            first, five = _right(rows, truth, names)
            figures.append(share(f"{backbone}, top-1", first, len(rows), limit=Limit(least, "at least")))
            figures.append(share(f"{backbone}, top-5", five, len(rows)))
    return Answer(
        figures=figures,
        notes=["One photo of each class, some of which may be training photos of the weights: good for finding faults, not for ranking."],
        command="fovea bundle BACKBONE --weights FILE --out BUNDLE; fovea predict BUNDLE ../shared/data/imagenet_samples --out CSV",
        versions=versions("onnxruntime", "torch"),
    )


def _right(rows: list[dict[str, str]], truth: dict[str, str], names: Sequence[str]) -> tuple[int, int]:
    """How often the first answer is right, and one of the first five."""
    first = five = 0
    for row in rows:
        name = truth[Path(row["path"]).name]
        ranked = sorted(names, key=lambda each: -float(row[each]))[:5]
        first += row["predicted"] == name
        five += name in ranked
    return first, five
