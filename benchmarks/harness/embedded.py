"""Real pictures as embeddings, for questions about what is done with them; what the cache holds already is not computed again."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.places import PHOTOS, WEIGHTS, shared
from benchmarks.harness.tiny import drawn, extract, pictures_of

if TYPE_CHECKING:
    from fovea.types import Floats, Ints

IMAGENET = "data/imagenet_samples"
IMAGENET_CLASSES = "data/imagenet_classes.json"

_SEED = 0
_NUM_KNOWN, _NUM_STRANGE = 20, 40  # classes of Tiny-ImageNet
_CATS_AND_DOGS = (range(151, 269), range(281, 286))  # places of the dogs' breeds and the domestic cats in ImageNet's order


@dataclass(frozen=True, eq=False)
class Rows:
    """Embedded pictures.

    Args:
        vectors: (N, D).
        targets: (N,) classes, -1 for pictures of no known class.
        splits: For each row "train", "validation", "test" or "strange".
    """

    vectors: "Floats"
    targets: "Ints"
    splits: list[str]

    def of(self, split: str) -> tuple["Floats", "Ints"]:
        """Vectors and targets of one split."""
        rows = [i for i, name in enumerate(self.splits) if name == split]
        return self.vectors[rows], self.targets[rows]

    @property
    def num_classes(self) -> int:
        return int(self.targets.max()) + 1


def cats_and_dogs() -> Rows:
    """The 4,000 photos at 224 px, without strange ones."""
    items = [(str(path), path.parts[-2], path.parts[-3]) for path in sorted(shared(PHOTOS).glob("*/*/*"))]
    return _embedded(items, size_px=224)


def cats_dogs_and_others() -> Rows:
    """The same, and as strange ones a photo of each ImageNet class that is neither a breed of dogs nor a domestic cat."""
    order = {entry["synset"]: place for place, entry in enumerate(json.loads(shared(IMAGENET_CLASSES).read_text()))}
    items = [(str(path), path.parts[-2], path.parts[-3]) for path in sorted(shared(PHOTOS).glob("*/*/*"))]
    for path in sorted(shared(IMAGENET).glob("*.jpg")):
        if not any(order[path.stem] in places for places in _CATS_AND_DOGS):
            items.append((str(path), "", "strange"))
    return _embedded(items, size_px=224)


def tiny_imagenet(folder: Path) -> Rows:
    """20 classes of Tiny-ImageNet, drawn by a seed, as the question `tiny_imagenet` draws them; and 40 others as strange ones, at 160 px."""
    known = drawn(_SEED, _NUM_KNOWN)
    strange = drawn(_SEED + 1, _NUM_STRANGE, without=known)
    pictures = [picture for picture in pictures_of({*known, *strange}) if picture.label in known or picture.split == "test"]
    extract(pictures, folder)
    rows = [(picture.label, picture.split) if picture.label in known else ("", "strange") for picture in pictures]
    return _embedded([(str(folder / picture.path), *row) for picture, row in zip(pictures, rows, strict=True)], size_px=160)


def _embedded(items: list[tuple[str, str, str]], *, size_px: int) -> Rows:
    """(path, class, split) -> rows, by MobileNetV2; each picture must be readable."""
    import tempfile

    import numpy as np

    from fovea.data import open_source
    from fovea.embeddings.extract import embed
    from fovea.embeddings.store import EmbeddingStore
    from fovea.loading.scan import scan
    from fovea.selection.choose import choose
    from fovea.training.settings import checked

    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        table = Path(name) / "table.csv"
        with open(table, "w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *((path, label or "none") for path, label, _ in items)])
        with open_source(str(table)) as source, EmbeddingStore() as store:
            settings = checked(data=str(table), backbone="mobilenet_v2", weights=str(shared(WEIGHTS)), strategy="probe", image_size=size_px)
            hashes = list(scan(source, source.items).hashes)
            found = embed(source, source.items, hashes, embedder=choose(settings, source).embedder(), store=store)
    if found.problems:
        raise ValueError(f"{len(found.problems)} pictures cannot be read, first {next(iter(found.problems.values()))}")
    classes = sorted({label for _, label, _ in items if label})
    told = {path: (label, split) for path, label, split in items}
    ordered = [told[item.path] for item in source.items]  # the source has an order of its own
    targets = np.array([classes.index(label) if label else -1 for label, _ in ordered], np.int64)
    return Rows(found.vectors, targets, [split for _, split in ordered])
