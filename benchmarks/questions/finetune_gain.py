"""Where fine-tuning is better than a probe: on pictures smaller than those that the weights know."""

import tempfile
from pathlib import Path

from benchmarks.harness.figures import Answer, Options, repeated, share
from benchmarks.harness.places import PHOTOS, SHOWN, WEIGHTS
from benchmarks.questions.strategies import cross_validate, end_of, paired

ASKS = (
    "The weights know photos of 224 px. On the cats and dogs at 160 px, how much better than the probe is fine-tuning, photo by photo, in the same 5-fold "
    "cross-validation over the 3,000 training and validation photos as in `strategies`?"
)
REPEATS = 1
NEEDS = (PHOTOS, WEIGHTS)

_WAYS = {
    "probe": ("--strategy", "probe", "--image-size", "160"),
    "finetune": ("--strategy", "finetune", "--image-size", "160", "--augment", "standard"),
}


def measure(options: Options) -> Answer:
    """Cross-validates both.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: A run did not end well.
    """
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        right, by_fold = cross_validate(Path(name), _WAYS, options)
    apart, told = paired(right, by_fold, "finetune")
    figures = [share("finetune: cross-validation", sum(right["finetune"].values()), len(right["finetune"]))]
    figures += [share("probe: cross-validation", sum(right["probe"].values()), len(right["probe"]))]
    figures += [repeated(f"{strategy}: of which each fold alone", values, "%", of="folds") for strategy, values in by_fold.items()]
    figures += [apart, end_of("finetune is better: lower end of that interval", apart.low, apart)]
    commands = "; ".join(f"`fovea train DATA {' '.join(words)}`" for words in _WAYS.values())
    return Answer(figures, [told, f"Commands: {commands}; with weights: `--backbone mobilenet_v2 --weights {SHOWN}/{WEIGHTS}`."])
