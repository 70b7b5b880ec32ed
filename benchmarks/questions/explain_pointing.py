"""Whether explanations point to the thing itself: on drawn shapes that a network learned, and on photos with boxes."""

import json
import shlex
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.child import fovea
from benchmarks.harness.coco_of_imagenet import coco_of_imagenet
from benchmarks.harness.figures import Answer, Figure, Limit, Options, share
from benchmarks.harness.places import WEIGHTS, shared

if TYPE_CHECKING:
    from fovea.bundle import Bundle
    from fovea.types import Floats, Pixels

    Boxed = tuple[str, Pixels, Floats, int | None]  # what it is called, pixels as the model sees them, boxes there, what to explain

ASKS = (
    "Does the hottest place lie on the thing that was recognised? On `shapes`, where it is known what was painted, with a `convnet` trained from scratch; and on "
    "coco128 with MobileNetV2's ImageNet weights, where the class that is answered is one of COCO's kinds of things and has boxes there: against pointing to the middle."
)
REPEATS = 1
_COCO = "data/coco128"
NEEDS = (_COCO, WEIGHTS)

_METHODS = ("gradcam", "cam")
_FEW_CLASSES = 4
_SEEDS = (0, 1)  # how long such a network knows one shape alone is chance; validation takes the better one
_SCENES = 8_000  # of 1,000 such a network learns one of the two shapes, and knows the other by its absence
_TRAIN = (
    "train", "scenes", "--strategy", "scratch", "--backbone", "convnet:variant=28:dropout=0", "--image-size", "48", "--augment", "none",
    "--epochs", "34", "--patience", "34", "--schedule", "one_cycle", "--schedule-options", "rise=0.1", "--lr", "0.0015", "--batch-size", "24", "--precision", "bfloat16",
)  # fmt: skip


def measure(options: Options) -> Answer:
    """Trains, then plays the pointing game on the test pictures of one and on the photos of the other.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: A run did not end well.
    """
    from fovea.versions import versions

    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        _paint(folder / "scenes")
        right = {}
        for seed in _SEEDS:
            fovea([*_TRAIN, "--seed", str(seed), "--out", f"run{seed}"], cache=folder / "cache", folder=folder)
            metrics = json.loads((folder / f"run{seed}" / "metrics.json").read_text())
            right[seed] = metrics["validation"]["accuracy"]
            options.say(f"shapes, seed {seed}: learned, {right[seed]:.1%} right on validation")
        run = folder / f"run{max(right, key=lambda seed: right[seed])}"
        test = json.loads((run / "metrics.json").read_text())["test"]
        figures = [share("shapes: right on test", round(test["accuracy"] * test["n"]), test["n"])]
        figures += pointing_on_shapes(run, limit=Limit(0.95, "at least"))
        fovea(
            ["bundle", "mobilenet_v2", "--weights", str(shared(WEIGHTS)), "--out", "imagenet", "--keep-weights"],
            cache=folder / "cache",
            folder=folder,
        )
        figures += pointing_on_coco(folder / "imagenet")
    return Answer(
        figures=figures,
        command=f"fovea {shlex.join(_TRAIN)} --seed SEED --out RUN",  # in `scenes`: the first 8,000 of `shapes`
        notes=[
            f"Of the seeds {' and '.join(map(str, _SEEDS))} the one is explained that was right more often on validation.",
            "Pointing game (Zhang et al. 2016): the hottest place, without tolerance, lies within a box of what was answered; heat is Wang et al.'s share inside the boxes.",
            f"shapes: {_SCENES:,} scenes, 15 % of them the test.",
            "A network of two classes behind a mean over places may know one of them by what is there and the other by its absence: heat for the latter lies on all that is "
            "not the thing, and rightly so. The shares by answered class show it.",
            "coco128: the 128 training photos, as the model sees them (the middle of the photo); counted are those whose most probable ImageNet class is one of COCO's "
            "kinds of things (`harness/coco_of_imagenet.py`) with a box that is in view. Right by chance is the share of the picture that the boxes cover.",
        ],
        versions=versions("fovea", "numpy", "torch"),
    )


def pointing_on_shapes(run: Path, *, limit: Limit | None = None) -> list[Figure]:
    """The figures of a run on `shapes`: its test pictures, each explained for what it answered."""
    from fovea.bundle import load_bundle

    bundle = load_bundle(run)
    return _figures("shapes", bundle, list(_shapes(run, bundle)), limit)


def pointing_on_coco(path: Path) -> list[Figure]:
    """The figures of a bundle of ImageNet weights on coco128."""
    from fovea.bundle import load_bundle

    bundle = load_bundle(path)
    return _figures("coco128", bundle, list(_coco(bundle)), None)


def _paint(folder: Path) -> None:
    """The scenes of `shapes`, more of them than its name alone gives, in class folders."""
    from fovea.data import open_source

    with open_source("shapes", seed=0, max_items=_SCENES) as source:
        for name in source.class_names:
            (folder / name).mkdir(parents=True)
        for item in source.items:
            (folder / str(item.label) / item.path).write_bytes(source.read(item))


def _figures(title: str, bundle: "Bundle", pictures: "list[Boxed]", limit: Limit | None) -> list[Figure]:
    import numpy as np

    from fovea.explain.explanation import explain_picture
    from fovea.explain.faithfulness import centre_prior, energy_inside, points_inside
    from fovea.explain.network_subject import NetworkSubject
    from fovea.explain.opening import network_of
    from fovea.metrics.intervals import mean_interval, paired_interval

    figures, n = [], len(pictures)
    subject = NetworkSubject(network_of(bundle), task=bundle.task)
    middle = [points_inside(centre_prior(*pixels.shape[:2]), boxes) for _, pixels, boxes, _ in pictures]
    covered = [energy_inside(np.zeros(pixels.shape[:2], np.float32), boxes) for _, pixels, boxes, _ in pictures]
    figures += [
        share(f"{title}: the middle lies in a box", sum(middle), n),
        _mean(f"{title}: covered by boxes", covered, mean_interval(covered)),
    ]
    for method in _METHODS:
        heats = [explain_picture(subject, pixels, method=method, target=target).heat for _, pixels, _, target in pictures]
        right = [points_inside(heat, boxes) for heat, (_, _, boxes, _) in zip(heats, pictures, strict=True)]
        inside = [energy_inside(heat, boxes) for heat, (_, _, boxes, _) in zip(heats, pictures, strict=True)]
        only = sum(a and not b for a, b in zip(right, middle, strict=True))
        only_middle = sum(b and not a for a, b in zip(right, middle, strict=True))
        low, high = paired_interval(only, only_middle, n)
        figures += [
            share(f"{title}: {method} points into a box", sum(right), n, limit=limit),
            Figure(
                f"{title}: {method} over the middle",
                (only - only_middle) / n,
                low,
                high,
                n,
                "pictures",
                "%",
                Limit(0.0, "at least") if limit else None,
            ),
            _mean(f"{title}: {method}, heat inside", inside, mean_interval(inside)),
        ]
        if len(bundle.class_names) <= _FEW_CLASSES:  # a network may know one class by what is there, and the other by what is not
            answered = bundle.outputs(np.stack([pixels for _, pixels, _, _ in pictures]))[bundle.task.answer].argmax(axis=1)
            for number, name in enumerate(bundle.class_names):
                mine = [point for point, each in zip(right, answered, strict=True) if each == number]
                figures += [share(f"{title}: {method}, answered {name}", sum(mine), len(mine))] if mine else []
    return figures


def _mean(name: str, values: list[float], ends: tuple[float, float]) -> Figure:
    return Figure(name, sum(values) / len(values), *ends, len(values), "pictures", "%")


def _shapes(run: Path, bundle: "Bundle") -> "Iterator[Boxed]":
    import csv

    from fovea.data import decode, open_source

    with open(run / "predictions.csv", newline="", encoding="utf-8") as file:
        asked = {Path(row["path"]).name for row in csv.DictReader(file)}
    with open_source("shapes", seed=0, max_items=_SCENES) as source:
        for item in source.items:
            if item.path in asked:
                pixels = decode(source.read(item), path=item.path).pixels
                yield item.path, bundle.info.preprocessing.apply(pixels), _seen(bundle, pixels, source.targets(item).boxes), None


def _coco(bundle: "Bundle") -> "Iterator[Boxed]":
    import numpy as np

    from fovea.data import decode

    folder, kinds = shared(_COCO), coco_of_imagenet()
    names = _coco_names(folder / "object_detection" / "config.yaml")
    for photo in sorted((folder / "images" / "train2017").glob("*.jpg")):
        table = folder / "object_detection" / "labels" / "train2017" / f"{photo.stem}.txt"
        pixels = bundle.prepare(photo.read_bytes(), path=photo.name)
        answered = int(bundle.outputs(pixels[None])["probabilities"][0].argmax())
        kind = kinds.get(answered)
        if kind is None or not table.is_file():
            continue
        whole = decode(photo.read_bytes(), path=photo.name).pixels
        rows = np.array(
            [line.split() for line in table.read_text().splitlines() if names[int(line.split()[0])] == kind], np.float64
        ).reshape(-1, 5)
        centre, size = rows[:, 1:3] * whole.shape[1::-1], rows[:, 3:5] * whole.shape[1::-1]
        boxes = _seen(bundle, whole, np.hstack([centre - size / 2, centre + size / 2]).astype(np.float32))
        if len(boxes):
            yield photo.name, pixels, boxes, answered


def _coco_names(config: Path) -> dict[int, str]:
    """The names of the kinds by number, of a YAML file that holds one `number: name` a line."""
    lines = config.read_text().split("names:")[1].splitlines()
    return {int(number): name.strip() for number, _, name in (line.partition(":") for line in lines) if number.strip().isdigit()}


def _seen(bundle: "Bundle", pixels: "Pixels", boxes: "Floats") -> "Floats":
    """Boxes where the model sees them."""
    return bundle.info.preprocessing.move_boxes(boxes, width_px=pixels.shape[1], height_px=pixels.shape[0])
