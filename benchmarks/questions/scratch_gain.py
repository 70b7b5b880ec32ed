"""What augmentation and dropout bring to a network that learns from nothing, photo by photo."""

import csv
import tempfile
from pathlib import Path

from benchmarks.harness.figures import Answer, Options, share
from benchmarks.harness.places import PHOTOS, shared
from benchmarks.questions.strategies import answers_of, end_of, paired, trained

ASKS = (
    "The texts' network learns cats and dogs from nothing, at 96 px and for 30 epochs: how much better is it with flips, turns, zooms and dropout 0.25 than without, on the 1,000 "
    "validation photos, compared photo by photo?"
)
REPEATS = 1
NEEDS = (PHOTOS,)

_WORDS = (*("--strategy", "scratch", "--backbone", "convnet:variant=180", "--image-size", "96", "--epochs", "30", "--patience", "30"),)
_WAYS = {"plain": (*_WORDS, "--augment", "none"), "augmented": (*_WORDS, "--augment", "light", "--dropout", "0.25")}
_WATCHED = 10  # every tenth training photo is watched, so that the validation photos are answered by a network that was not chosen on them


def measure(options: Options) -> Answer:
    """Trains both once.

    Raises:
        Skip: The photos are not here.
        Failed: A run did not end well.
    """
    right: dict[str, dict[str, bool]] = {}
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        table = _write_table(folder)
        for way, words in _WAYS.items():
            right[way] = answers_of(trained(folder, table, words, way, cache=folder / "cache"))
            options.say(f"{way}: {sum(right[way].values())} of {len(right[way])}")
    apart, told = paired(right, {}, "augmented", "plain")
    figures = [share(way, sum(answers.values()), len(answers)) for way, answers in right.items()]
    commands = "; ".join(f"`fovea train TABLE {' '.join(words)}`" for words in _WAYS.values())
    return Answer(
        [*figures, apart, end_of("augmentation and dropout are better: lower end of that interval", apart.low, apart)],
        [
            told,
            f"TABLE: of the 2,000 training photos every {_WATCHED}th is watched, the others learn; the validation photos stand as test. Seed 0. Commands: {commands}.",
        ],
    )


def _write_table(folder: Path) -> Path:
    from fovea.data import open_source

    with open_source(shared(PHOTOS)) as source, open(folder / "table.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "split"])
        learned = [item for item in source.items if item.split == "train"]
        for number, item in enumerate(learned):
            table.writerow([shared(PHOTOS) / item.path, item.label, "train" if number % _WATCHED else "validation"])
        table.writerows([shared(PHOTOS) / item.path, item.label, "test"] for item in source.items if item.split == "validation")
    return folder / "table.csv"
