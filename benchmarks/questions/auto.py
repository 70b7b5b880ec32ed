"""What `--strategy auto` comes to on the cats and dogs, and what it takes, beside the single strategies."""

import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.harness.child import fovea
from benchmarks.harness.figures import Answer, Figure, Limit, Options, share
from benchmarks.harness.places import PHOTOS, SHOWN, WEIGHTS, shared
from benchmarks.questions.strategies import cross_validate, end_of, paired

ASKS = (
    "On the cats and dogs, how right is `--strategy auto`, with its own budget and with 30 seconds, beside a plain probe, by 5-fold cross-validation over the 3,000 training "
    "and validation photos; how long does it take from nothing; and once on the test photos?"
)
REPEATS = 3
NEEDS = (PHOTOS, WEIGHTS)

_WAYS = {"probe": ("--strategy", "probe"), "auto": ("--strategy", "auto"), "auto, 30 s": ("--strategy", "auto", "--budget", "30s")}


def measure(options: Options) -> Answer:
    """Cross-validates each way, then trains each in turn on the split as it is given, from nothing, as often as asked.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: A run did not end well.
    """
    seconds: dict[str, list[float]] = {way: [] for way in _WAYS}
    final: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        right, _ = cross_validate(folder, _WAYS, options)
        for number in range(options.repeats):
            for index, (way, words) in enumerate(_WAYS.items()):
                place = f"once-{index}-{number}"
                line = [
                    "train",
                    str(shared(PHOTOS)),
                    *words,
                    "--backbone",
                    "mobilenet_v2",
                    "--weights",
                    str(shared(WEIGHTS)),
                    "--out",
                    place,
                ]
                seconds[way].append(fovea(line, cache=folder / f"cache-{index}-{number}", folder=folder).seconds)
                final[way] = json.loads((folder / place / "metrics.json").read_text())
                options.say(f"{way}: {seconds[way][-1]:.1f} s, took {final[way]['strategy']}")
    figures: list[Figure] = []
    for way, answers in right.items():
        limit = Limit(0.975, "at least") if way == "auto, 30 s" else None
        figures.append(share(f"{way}: cross-validation", sum(answers.values()), len(answers), limit=limit))
    compared = {way: paired(right, {}, way) for way in _WAYS if way != "probe"}
    for apart, _ in compared.values():
        figures.append(apart)
    figures.append(
        end_of("auto - probe: no more than 0.3 points behind", compared["auto"][0].value, compared["auto"][0], Limit(-0.003, "at least"))
    )
    ratios = [a / b for a, b in zip(seconds["auto"], seconds["probe"], strict=True)]
    figures.append(
        Figure("auto / probe, whole process from nothing", fmean(ratios), min(ratios), max(ratios), len(ratios), "runs", "", Limit(2.0))
    )
    figures += [Figure(f"{way}: seconds", fmean(each), min(each), max(each), len(each), "runs", "s") for way, each in seconds.items()]
    for way, metrics in final.items():
        low, high = metrics["test"]["accuracy_ci95"]
        figures.append(Figure(f"{way}: test, once", metrics["test"]["accuracy"], low, high, metrics["test"]["n"], "pictures", "%"))
    return Answer(
        figures,
        [
            "Cats and dogs are among the classes of ImageNet, which the weights were trained on: transfer to them flatters the method.",
            *(note for _, note in compared.values()),
            f"auto took: {final['auto']['strategy']}. " + " ".join(f"{row['name']}: {row['verdict']}." for row in final["auto"]["tried"]),
            "Of single strategies the probe is the quickest, and none is better by more than chance on these photos (see strategies): auto is measured against it.",
            f"Commands: `fovea train DATA --strategy auto [--budget 30s] --backbone mobilenet_v2 --weights {SHOWN}/{WEIGHTS}`.",
        ],
        versions=final["auto"]["versions"],
    )
