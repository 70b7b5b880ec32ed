"""What learning to see without any labels is worth: a probe of weights from `fovea pretrain`, beside random ones."""

import tempfile
from pathlib import Path

from tools.make_fovea_tiny import held_out

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Limit, Options, share
from benchmarks.harness.probes import NUM_FOLDS, Labelled, Way
from benchmarks.harness.tiny import TINY, drawn, extract, pictures_of, write_split

ASKS = (
    "A network learns to see from 7,200 unlabelled pictures of 40 classes in a quarter of an hour (`fovea pretrain`). What does a linear probe of its frozen embeddings make of 20 "
    "other classes, beside the same network with random weights, and beside handcrafted features?"
)
REPEATS = 1
NEEDS = (TINY,)

_SEED, _NUM_CLASSES, _SIDE_PX, _EPOCHS = 6, 40, 64, 12


def measure(options: Options) -> Answer:
    """Pretrains, then asks all three by cross-validation.

    Raises:
        Skip: The pictures are not here.
        Failed: The pretraining did not end well.
    """
    from fovea.metrics.intervals import paired_interval

    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        others = [picture for picture in pictures_of(drawn(_SEED, _NUM_CLASSES, without=held_out())) if picture.side == "train"]
        extract(others, folder / "unlabelled")
        words = ["pretrain", "unlabelled", "--out", "weights", "--image-size", str(_SIDE_PX), "--epochs", str(_EPOCHS)]
        ended = fovea(words, cache=folder / "cache", folder=folder)
        options.say(ended.output.splitlines()[-1])
        asked = Labelled(str(write_split(held_out(), folder / "asked")))
        ways = [
            Way("pretrained", "fovea_tiny", str(folder / "weights"), (_SIDE_PX,)),
            Way("random weights", "fovea_tiny", "none", (_SIDE_PX,)),
            Way("handcrafted features", "", "", (_SIDE_PX,)),
        ]
        right = {way.name: asked.cross_validated(way, _SIDE_PX) for way in ways}
    figures = [share(f"{name}: right, of 20 classes", int(each.sum()), len(each)) for name, each in right.items()]
    ours, random = right["pretrained"], right["random weights"]
    only, only_random = int((ours & ~random).sum()), int((random & ~ours).sum())
    low, high = paired_interval(only, only_random, len(ours))
    limit = Limit(0, "at least")
    figures.append(
        Figure("pretrained over random, picture by picture", (only - only_random) / len(ours), low, high, len(ours), "pictures", "%")
    )
    figures.append(Figure("lower end of that", low, low, low, len(ours), "pictures", "%", limit))
    notes = [
        f"`fovea {' '.join(words)}` on {len(others):,} pictures of Tiny-ImageNet; probes at {_SIDE_PX} px by {NUM_FOLDS} folds of the 20 classes' pictures that are no test pictures; chance is 5 %. "
        "One seed of each.",
    ]
    return Answer(figures, notes)
