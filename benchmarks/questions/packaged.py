"""What the backbone in the package sees: linear probes on frozen embeddings, beside random weights, handcrafted features and larger networks."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tools.make_fovea_tiny import held_out

from benchmarks.harness.child import measured, our_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options, repeated, share
from benchmarks.harness.places import PHOTOS, WEIGHTS, Skip, shared
from benchmarks.harness.probes import NUM_FOLDS, Labelled, Way
from benchmarks.harness.tiny import TINY, names_of, write_split

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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
_TURN = 8
_MOST_BYTES = 3_000_000


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
            pictures = Labelled(data)
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
                figures += _over_random(
                    {way.name: {side: pictures.cross_validated(way, side) for side in _DIGITS_PX} for way in ways if way.backbone == _OURS},
                    own,
                )
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
        f"Digits by cross-validation: {NUM_FOLDS} folds of all pictures but the test split's, whose 277 are too few to tell them apart; each weights at their best "
        f"side of {', '.join(map(str, _DIGITS_PX))} px by the same folds, and the interval of their difference over the same pictures (Agresti and Min 2005); then both at "
        "the network's own side, where only the weights differ. Random weights are one draw (seed 0).",
        "The test photos of cats and dogs were asked before about five earlier states of these weights (84.7, 88.8, 88.8, 89.5 and 92.2 %). Learning went on while 90 % were missed; then it "
        "began anew, from nothing and with a smaller network, without the pictures that ImageNet samples of the real data look like. Choices were made on other pictures, but of this split "
        '"asked once" holds for each state of the weights, not for all of them together.',
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
            pictures, way = Labelled(data), Way(_OURS, _OURS, weights, sides_px)
            found += [(task, side, *pictures.probe(way, side, "validation")) for side in sides_px]
    return found


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
