"""What the backbone in the package sees: linear probes on frozen embeddings, beside random weights, handcrafted features and larger networks."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tools.make_fovea_tiny import held_out

from benchmarks.harness.child import measured, our_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options, repeated, share
from benchmarks.harness.places import PHOTOS, WEIGHTS, Skip, shared
from benchmarks.harness.tiny import TINY, names_of, write_split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from fovea.data import Source
    from fovea.types import Floats, Item, Pixels

ASKS = (
    "What does a linear probe make of the packaged backbone's frozen embeddings, on cats and dogs, on 20 classes that its weights have never seen, and on digits, beside "
    "the same network with random weights, handcrafted features, SqueezeNet 1.0, and MobileNetV2, its teacher? And how fast is it?"
)
REPEATS = 5
_SQUEEZENET = "weights/squeezenet1_0_imagenet.safetensors"
NEEDS = (PHOTOS, WEIGHTS, _SQUEEZENET, TINY)

_OURS, _RANDOM = "fovea_tiny", "fovea_tiny, random weights"
_TEACHER = "mobilenet_v2, the teacher"
_SMALL_PX, _LARGE_PX = (64, 80, 96, 128, 160), (128, 160, 224)
_DIGITS_PX = (*_SMALL_PX, 224)  # random weights like them large
_CATS_DOGS, _NEW, _DIGITS = "cats_dogs", "20 held-out classes", "digits"
_NUM_TIMED, _LARGER_PX = 6_000, 128  # pictures: some seconds; where cats and dogs are told best
_TURN, _FOLDS = 8, 5
_MOST_BYTES = 3_000_000


@dataclass(frozen=True)
class Way:
    """A source of vectors, and the sides in pixels at which it may look: validation chooses one. No backbone: handcrafted features."""

    name: str
    backbone: str
    weights: str
    sides_px: tuple[int, ...]


def measure(options: Options) -> Answer:
    """Chooses each way's side on validation, then asks it about the test split, once; then times the packaged one.

    Raises:
        Skip: Data or weights are not here, or none lie in the package.
    """
    from fovea.models.backbone import BACKBONES
    from fovea.models.weights.find import PACKAGED
    from fovea.versions import versions

    packaged = sorted(PACKAGED.glob(f"{_OURS}*.safetensors"))
    if not packaged:
        raise Skip("no weights lie in the package")
    ways = [
        Way(_OURS, _OURS, "auto", _SMALL_PX),
        Way(_RANDOM, _OURS, "none", _SMALL_PX),
        Way("handcrafted features", "", "", (64, 96, 128)),
        Way("squeezenet1_0", "squeezenet1_0", str(shared(_SQUEEZENET)), _LARGE_PX),
        Way(_TEACHER, "mobilenet_v2", str(shared(WEIGHTS)), _LARGE_PX),
    ]
    own = BACKBONES[_OURS].info.image_size_px
    figures: list[Figure] = []
    chosen: list[str] = []
    right: dict[tuple[str, str], tuple[int, int]] = {}
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for task, data in ((_CATS_DOGS, str(shared(PHOTOS))), (_NEW, str(write_split(held_out(), folder))), (_DIGITS, "digits")):
            pictures = _Labelled(data)
            for way in ways:
                shares = {side: pictures.probe(way, side, "validation") for side in way.sides_px}
                side = max(shares, key=lambda each: shares[each][0])
                right[task, way.name] = hits, n = pictures.probe(way, side, "test")
                limit = Limit(0.9, "at least") if (task, way.name) == (_CATS_DOGS, _OURS) else None
                figures.append(share(f"{task}: {way.name}, at {side} px", hits, n, limit=limit))
                chosen.append(
                    f"{task}, {way.name}: " + ", ".join(f"{each} px {good / total:.1%}" for each, (good, total) in shares.items())
                )
                options.say(f"{task}, {way.name} at {side} px: {hits / n:.2%} of {n}")
            if task == _DIGITS:
                figures += _over_random({way.name: pictures.cross_validated(way) for way in ways if way.backbone == _OURS}, own)
        figures.append(_of_the_teacher(right))
        words, environment = [sys.executable, "-m", "benchmarks.questions.packaged"], our_environment(folder / "cache")
        turns = []
        (folder / "onnx").mkdir()
        _write_onnx(folder / "onnx")
        for _ in range(options.repeats):
            rate, larger = (
                json.loads(measured([*words, "rate", str(side)], environment=environment, folder=folder).output.splitlines()[-1])["rate"]
                for side in (own, _LARGER_PX)
            )
            opened = json.loads(
                measured(
                    [*words, "open", str(folder / "onnx" / "tiny.onnx"), str(own)], environment=environment, folder=folder
                ).output.splitlines()[-1]
            )
            turns.append({"rate": rate, "larger": larger, **opened})
        num_onnx = (folder / "onnx" / "tiny.onnx").stat().st_size
    figures += [
        repeated(f"embeds at its own {own} px, both cores", [turn["rate"] for turn in turns], "pictures/s", limit=Limit(1500, "at least")),
        repeated(f"embeds at {_LARGER_PX} px, both cores", [turn["larger"] for turn in turns], "pictures/s"),
        repeated("its ONNX opens and answers in a fresh process without torch", [turn["seconds"] for turn in turns], "s", limit=Limit(1)),
        repeated("bytes in the package", [float(sum(path.stat().st_size for path in packaged))], "", limit=Limit(_MOST_BYTES), of="files"),
        repeated("bytes of its ONNX form", [float(num_onnx)], "", limit=Limit(_MOST_BYTES), of="files"),
    ]
    notes = [
        "SqueezeNet and MobileNetV2 have learned from ImageNet, which holds cats, dogs and the held-out classes: they have seen them. fovea_tiny has seen no picture of "
        "the held-out classes, and no photo of cats_dogs; but its teacher knows these classes: the embedding and the thousand probabilities that fovea_tiny learned to give for pictures of "
        "the other 180 classes have places for them, and some breeds are among those 180.",
        f"Held out, drawn by the seed in tools/make_fovea_tiny.py: {', '.join(name.split(',')[0] for name in names_of(held_out()))}. For the probes 162 pictures a class learn, 18 choose, the 30 of the official validation set are the test.",
        "Each way's side in pixels is the one with the best share of the validation pictures: " + "; ".join(chosen) + ".",
        f"Digits by cross-validation: {_FOLDS} folds of all pictures but the test split's, whose 277 are too few to tell them apart; each weights at their best "
        f"side of {', '.join(map(str, _DIGITS_PX))} px by the same folds, and the interval of their difference over the same pictures (Agresti and Min 2005); then both at "
        "the network's own side, where only the weights differ. Random weights are one draw (seed 0).",
        "The test photos of cats and dogs were asked before about four earlier states of these weights (84.7, 88.8, 88.8 and 89.5 %), and learning went on each time since "
        '90 % were missed: choices were made on other pictures, but of this split "asked once" holds for each state of the weights, not for all of them together.',
        "The share of the teacher's takes its own figure for exact. Larger pictures than 224 px were not tried for it.",
        "Handcrafted: histograms of gradients at two scales, of colours on a grid, and of local binary patterns.",
        "Rate: random pictures, already in memory, in turns of 8 on two threads; the figures of cats and dogs and of the held-out classes are at the side that is named there. Opening: from the start of the first import to the first answer.",
    ]
    return Answer(figures, notes, versions=versions("numpy", "onnxruntime", "opencv-python-headless", "torch"))


def on_validation(weights: str, sides_px: tuple[int, ...]) -> list[tuple[str, int, int, int]]:
    """What probes make of other weights of our network, on validation pictures: data, side, how many are right, of how many; each at each side."""
    found = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        for task, data in ((_CATS_DOGS, str(shared(PHOTOS))), (_NEW, str(write_split(held_out(), Path(name)))), (_DIGITS, "digits")):
            pictures, way = _Labelled(data), Way(_OURS, _OURS, weights, sides_px)
            found += [(task, side, *pictures.probe(way, side, "validation")) for side in sides_px]
    return found


class _Labelled:
    """Pictures of one task, their vectors by way and side, and probes on them."""

    def __init__(self, data: str) -> None:
        import numpy as np

        from fovea.data import assign_splits, open_source
        from fovea.embeddings.store import EmbeddingStore
        from fovea.loading.scan import scan

        self.data, self.store = data, EmbeddingStore()
        with open_source(data) as source:
            self.seen = scan(source)
            self.num_classes = len(source.class_names)
            self.targets = np.array([source.class_names.index(item.label or "") for item in self.seen.items])
        self.splits = np.array(assign_splits(self.seen.items, self.seen.hashes, seed=0))
        self._vectors = cache(self._look)

    def probe(self, way: Way, side: int, split: str) -> tuple[int, int]:
        """Learns on train, and answers the split: how many are right, of how many."""
        import numpy as np

        from fovea.training.logistic import fit_logistic

        vectors, train, asked = self._vectors(way, side), np.flatnonzero(self.splits == "train"), np.flatnonzero(self.splits == split)
        fitted = fit_logistic(vectors[train], self.targets[train], train, num_classes=self.num_classes, seed=0)
        answers = (vectors[asked] @ fitted.weight.T + fitted.bias).argmax(1)
        return int((answers == self.targets[asked]).sum()), len(asked)

    def cross_validated(self, way: Way) -> "dict[int, npt.NDArray[np.bool_]]":
        """Of all pictures but the test split's, each answered by a probe that learned from the other folds: which are right, by side."""
        return {side: self._cross_validated(way, side) for side in _DIGITS_PX}

    def _cross_validated(self, way: Way, side: int) -> "npt.NDArray[np.bool_]":
        import numpy as np

        from fovea.data import assign_folds
        from fovea.training.logistic import fit_logistic

        rows = np.flatnonzero(self.splits != "test")
        vectors, targets, right = self._vectors(way, side)[rows], self.targets[rows], np.zeros(len(rows), bool)
        folds = np.array(
            assign_folds([self.seen.items[row] for row in rows], [self.seen.hashes[row] for row in rows], num_folds=_FOLDS, seed=0)
        )
        for fold in range(_FOLDS):
            learns, asked = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            fitted = fit_logistic(vectors[learns], targets[learns], learns, num_classes=self.num_classes, seed=0)
            right[asked] = (vectors[asked] @ fitted.weight.T + fitted.bias).argmax(1) == targets[asked]
        return right

    def _look(self, way: Way, side: int) -> "Floats":
        from fovea.data import open_source
        from fovea.embeddings.extract import embed
        from fovea.selection.choose import choose
        from fovea.training.settings import checked
        from fovea.training.strategies.probe import Probe

        with open_source(self.data) as source:
            if not way.backbone:
                return _handcrafted(source, self.seen.items, side)
            settings = checked(data=self.data, backbone=way.backbone, weights=way.weights, strategy="probe", image_size=side)
            embedder = Probe(choose(settings, source)).embedder
            return embed(source, self.seen.items, self.seen.hashes, embedder=embedder, store=self.store).vectors


def _handcrafted(source: "Source", items: "Sequence[Item]", side: int) -> "Floats":
    """(N, D): what was written by hand before networks learned it."""
    import numpy as np

    from fovea.data import decode
    from fovea.loading.parallel import map_ordered
    from fovea.transforms.preprocessing import square

    way = square(side)
    return np.stack(list(map_ordered(lambda item: _features(way.apply(decode(source.read(item), path=item.path).pixels)), items)))


def _features(pixels: "Pixels") -> "Floats":
    """Of one picture (S, S, 3): gradients (Dalal and Triggs 2005), colours on a grid of 4 x 4, and local binary patterns (Ojala 2002)."""
    import cv2
    import numpy as np

    picture = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
    grey, hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    parts = [_gradients(grey.astype(np.float32), cell) for cell in (8, 16)]
    large = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.int16)
    centre, (rows, columns) = large[1:-1, 1:-1], large.shape
    around = [(0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0)]
    codes = sum(((large[r : rows - 2 + r, c : columns - 2 + c] >= centre).astype(np.int16) << bit) for bit, (r, c) in enumerate(around))
    cells = [block for band in np.array_split(np.asarray(codes), 2) for block in np.array_split(band, 2, axis=1)]
    parts += [np.sqrt(np.bincount(block.ravel(), minlength=256) / block.size) for block in cells]
    for band in np.split(hsv, 4):
        for block in np.split(band, 4, axis=1):
            counts = cv2.calcHist([np.ascontiguousarray(block)], [0, 1, 2], None, [6, 3, 3], [0, 180, 0, 256, 0, 256])
            parts.append(np.sqrt(counts.ravel() / block[..., 0].size))
    return np.concatenate(parts).astype(np.float32)


def _gradients(grey: "Floats", cell: int) -> "Floats":
    """Histograms of oriented gradients of a picture (S, S): 9 directions, blocks of 2 x 2 cells, each brought to length 1."""
    import cv2
    import numpy as np

    across, down = cv2.Sobel(grey, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(grey, cv2.CV_32F, 0, 1, ksize=1)
    strength, direction = np.hypot(across, down), (np.arctan2(down, across) % np.pi) * (9 / np.pi)
    lower = np.floor(direction)
    rest, side = direction - lower, len(grey) // cell
    cells = np.zeros((side, side, 9), np.float32)
    rows, columns = (places // cell for places in np.indices(grey.shape))
    for bins, weight in ((lower, 1 - rest), (lower + 1, rest)):
        np.add.at(cells, (rows, columns, bins.astype(int) % 9), weight * strength)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=2)
    return (blocks / np.sqrt(np.square(blocks).sum(axis=2, keepdims=True) + 1e-3)).ravel()


def _of_the_teacher(right: dict[tuple[str, str], tuple[int, int]]) -> Figure:
    """Our share above chance on the held-out classes, of the teacher's; the interval takes ours for uncertain and the teacher's as it is."""
    from fovea.metrics.intervals import wilson

    (ours, n), (theirs, _) = right[_NEW, _OURS], right[_NEW, _TEACHER]
    chance = 1 / 20
    low, high = ((edge - chance) / (theirs / n - chance) for edge in wilson(ours, n))
    value = (ours / n - chance) / (theirs / n - chance)
    return Figure(f"{_NEW}: above chance, of the teacher's", value, low, high, n, "pictures", "%", Limit(0.7, "at least"))


def _over_random(right: "dict[str, dict[int, npt.NDArray[np.bool_]]]", own: int) -> list[Figure]:
    """What either weights come to on digits by cross-validation, and by how much ours are better: by their intervals, and picture by picture."""
    from fovea.metrics.intervals import paired_interval, wilson

    title = f"{_DIGITS}, by cross-validation"
    best = {name: max(sides.items(), key=lambda each: int(each[1].sum())) for name, sides in right.items()}
    ours, random, n = best[_OURS][1], best[_RANDOM][1], len(best[_OURS][1])
    apart = wilson(int(ours.sum()), n)[0] - wilson(int(random.sum()), n)[1]
    only, only_random = int((ours & ~random).sum()), int((random & ~ours).sum())
    low, high = paired_interval(only, only_random, n)
    return [
        *(share(f"{title}: {name}, at {side} px", int(each.sum()), n) for name, (side, each) in best.items()),
        Figure(
            f"{title}: lower end of ours above the upper end of random weights",
            apart,
            apart,
            apart,
            n,
            "pictures",
            "%",
            Limit(0, "at least"),
        ),
        Figure(f"{title}: ours over random weights, picture by picture", (only - only_random) / n, low, high, n, "pictures", "%"),
        Figure(f"{title}: lower end of that", low, low, low, n, "pictures", "%", Limit(0, "at least")),
        *(share(f"{title}: {name}, both at {own} px", int(sides[own].sum()), n) for name, sides in right.items()),
    ]


def _write_onnx(folder: Path) -> None:
    """The ONNX form of the packaged weights, as a page loads it."""
    from fovea.engines.to_onnx import half_weights, module_to_onnx
    from fovea.recipes._weights_run import fresh_body

    body, _, size_px = fresh_body(_OURS, "auto", None, seed=0)
    (folder / "tiny.onnx").write_bytes(half_weights(module_to_onnx(body, size_px=size_px)))


def _rate(size_px: int) -> dict[str, float]:
    """Pictures a second, by the engine alone."""
    import numpy as np

    from fovea.data import open_source
    from fovea.embeddings.embedder import embed_batches
    from fovea.selection.choose import choose
    from fovea.training.settings import checked
    from fovea.training.strategies.probe import Probe

    with open_source("digits") as source:
        embedder = Probe(choose(checked(data="digits", backbone=_OURS, strategy="probe", image_size=size_px), source)).embedder
    turns = np.random.default_rng(0).integers(0, 256, (_NUM_TIMED // _TURN, _TURN, size_px, size_px, 3), np.uint8)
    list(embed_batches(embedder.engine, turns[:50]))
    started = time.perf_counter()
    list(embed_batches(embedder.engine, turns))
    return {"rate": _NUM_TIMED / (time.perf_counter() - started)}


def _open(path: str, size_px: int) -> dict[str, float]:
    """Seconds from the first import to the first answer."""
    started = time.perf_counter()
    import numpy as np

    from fovea.engines import open_engine

    engine = open_engine(Path(path).read_bytes())
    engine(np.zeros((1, size_px, size_px, 3), np.uint8), ("embedding",))
    seconds = time.perf_counter() - started
    if "torch" in sys.modules:
        raise RuntimeError("torch was imported")
    return {"seconds": seconds}


if __name__ == "__main__":
    print(json.dumps(_rate(int(sys.argv[2])) if sys.argv[1] == "rate" else _open(sys.argv[2], int(sys.argv[3]))))
