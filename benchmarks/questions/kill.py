"""SIGKILL at random moments: nothing is corrupt, and the next run gives what an undisturbed one gives."""

import csv
import json
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Child, Ended, Failed, fovea, our_environment, started
from benchmarks.harness.figures import Answer, Figure, Limit, Options, count, repeated
from benchmarks.harness.places import NUM_PHOTOS, PHOTOS, WEIGHTS, shared
from benchmarks.harness.wholeness import faults_of, stage_of

ASKS = (
    "If `fovea train` is killed (SIGKILL) at random moments, from its start-up to its last written file: is the store whole, does "
    "nothing half-written look whole, and does the same command then finish with the figures of an undisturbed run?"
)
REPEATS = 20
NEEDS = (PHOTOS, WEIGHTS)

_SEED = 20261122
_NUM_PHOTOS = 400  # of the 4,000, the same share of each split and class: a run of seconds, with all its stages
_WRITING = 0.3  # of the kills fall while the results are being written, which is a short part of the whole time
_COMMANDS = {
    "probe": ("--strategy", "probe", "--backbone", "mobilenet_v2", "--image-size", "224"),
    "finetune": ("--strategy", "finetune", "--backbone", "mobilenet_v2", "--image-size", "96", "--epochs", "2"),
    "scratch": ("--strategy", "scratch", "--backbone", "convnet", "--image-size", "32", "--epochs", "12", "--patience", "12"),
}
_NOT_COMPARED = ("timing",)  # of metrics.json: all that may differ


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody killed: what the others must come to, and when it did what."""

    seconds: float  # from the start of the process to metrics.json, the last of its files
    writing_s: float  # from history.csv, the first of its results, to metrics.json
    results: dict[str, Any]


@dataclass(frozen=True)
class Killed:
    """One kill: after how many seconds, what stood then, and what was found wrong, then and after the next run."""

    after_s: float
    stage: str
    faults: list[str]


def measure(options: Options) -> Answer:
    """Runs each strategy undisturbed, then kills it as often as asked, each time in fresh folders.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: An undisturbed run, or one that followed a kill, did not end well.
    """
    figures: list[Figure] = []
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        num_photos = _link_photos(folder / "photos")
        for strategy, words in _COMMANDS.items():
            options.say(f"{strategy}: an undisturbed run")
            calm = _undisturbed(folder, strategy, words)
            kills = [_kill(folder, strategy, words, calm, moment, options) for moment in _moments(options.repeats, strategy)]
            bad = [kill for kill in kills if kill.faults]
            figures += [
                count(f"{strategy}: kills that left a fault", len(bad), len(kills), limit=Limit(0), of="kills"),
                repeated(f"{strategy}: seconds until the kill", [kill.after_s for kill in kills], "s", of="kills"),
            ]
            stages = Counter(kill.stage for kill in kills)
            stood = ", ".join(f"{stage} {times}" for stage, times in sorted(stages.items()))
            notes.append(
                f"{strategy}: an undisturbed run took {calm.seconds:.1f} s, its results were written in the last {calm.writing_s:.1f} s; "
                f"how far it had come when it was killed: {stood}."
            )
            notes += [f"{strategy}, killed after {kill.after_s:.2f} s ({kill.stage}): {'; '.join(kill.faults)}" for kill in bad]
    words_said = " and ".join(f"`fovea train PHOTOS {' '.join(words)} --out run`" for words in _COMMANDS.values())
    notes += [
        f"Commands: {words_said}; PHOTOS: {num_photos} of the cats and dogs, as links; each kill in a fresh run folder and cache.",
        f"Seed {_SEED}; of ten kills {_WRITING * 10:.0f} are drawn from the time in which results are written, the others from the whole "
        "duration; each from its own equal part of it.",
        "A checkpoint is written after every batch (it is once a minute otherwise), so that kills meet it.",
        "After each kill: SQLite's integrity check, the store opened and the lengths of its vectors compared; each file of the run absent "
        "or whole; the bundle absent or opened with its golden answers; kept backbones opened. After the next run: metrics.json but for "
        "its timing, history.csv but for its seconds, predictions.csv and the weights, bit for bit, are those of the undisturbed run.",
    ]
    return Answer(figures, notes)


def _link_photos(folder: Path) -> int:
    """A smaller copy of the data, of links: the first photos of each class folder."""
    every = sum(NUM_PHOTOS.values()) // _NUM_PHOTOS
    number = 0
    for place in sorted(shared(PHOTOS).glob("*/*/")):
        here = folder / place.parent.name / place.name
        here.mkdir(parents=True)
        for photo in sorted(place.iterdir())[::every]:
            (here / photo.name).symlink_to(photo)
            number += 1
    return number


def _moments(number: int, strategy: str) -> list[tuple[str, float]]:
    """("anywhere" or "writing", share of that time), one random moment in each of as many equal parts as there are kills."""
    chance = random.Random(f"{_SEED} {strategy}")
    writing = round(number * _WRITING)
    parts = {"anywhere": number - writing, "writing": writing}
    return [(where, (part + chance.random()) / total) for where, total in parts.items() for part in range(total)]


def _words(words: tuple[str, ...]) -> list[str]:
    weights = ["--weights", str(shared(WEIGHTS))] if "mobilenet_v2" in words else []
    return ["train", "../photos", *words, *weights, "--out", "run"]  # the same words in every folder, as they stand in metrics.json


def _undisturbed(folder: Path, strategy: str, words: tuple[str, ...]) -> Undisturbed:
    place = folder / f"{strategy}-calm"
    place.mkdir()
    began = time.time()
    fovea(_words(words), cache=place / "cache", folder=place)
    if faults := faults_of(place / "run", place / "cache"):
        raise Failed(f"the undisturbed run is not whole: {'; '.join(faults)}")
    first_s, last_s = ((place / "run" / name).stat().st_mtime - began for name in ("history.csv", "metrics.json"))
    return Undisturbed(last_s, last_s - first_s, _results(place / "run"))


def _kill(folder: Path, strategy: str, words: tuple[str, ...], calm: Undisturbed, moment: tuple[str, float], options: Options) -> Killed:
    """Kills one run, looks at what it left, runs the same command to its end, and compares."""
    where, share = moment
    for attempt in range(10):  # a run that was quicker than the moment that was drawn is killed a little sooner
        place = folder / f"{strategy}-{where}-{share:.3f}-{attempt}"
        place.mkdir()
        ended = _start_and_kill(place, words, calm, where, share * 0.9**attempt)
        if ended.exit_code == -9:
            break
        if ended.exit_code != 0:
            raise Failed(f"before it was killed, it ended with exit code {ended.exit_code}:\n{ended.output[-2000:]}")
    else:
        raise Failed("ten runs ended before they could be killed")
    run, cache = place / "run", place / "cache"
    stage = stage_of(run)
    faults = faults_of(run, cache)
    if not (run / "metrics.json").exists():  # else it was killed between its last file and its end, and is finished
        again = _finish(place, words)
        if again.exit_code != 0:
            last = "; ".join(again.output.splitlines()[-4:])
            faults.append(f"the next run ended with exit code {again.exit_code}: {last}")
    if not faults:
        faults = [f"after the next run: {fault}" for fault in faults_of(run, cache)]
        faults += [f"the next run gave another {name}" for name, value in _results(run).items() if value != calm.results[name]]
    options.say(f"{strategy}: killed after {ended.seconds:.2f} s ({stage}): {'; '.join(faults) or 'no fault'}")
    return Killed(ended.seconds, stage, faults)


def _start_and_kill(place: Path, words: tuple[str, ...], calm: Undisturbed, where: str, share: float) -> Ended:
    with _start(place, words) as child:
        if where == "anywhere":
            _sleep_until(child, child.started_s + share * calm.seconds)
        else:
            while child.running() and not (place / "run" / "history.csv").exists():
                time.sleep(0.002)
            _sleep_until(child, time.perf_counter() + share * calm.writing_s)
        child.kill()
        return child.wait()


def _finish(place: Path, words: tuple[str, ...]) -> Ended:
    with _start(place, words) as child:
        return child.wait()


def _start(place: Path, words: tuple[str, ...]) -> AbstractContextManager[Child]:
    # checkpoints within an epoch come every 60 s, which is longer than these epochs: here they come after every batch
    code = "import sys, fovea.training.loop as loop, fovea.cli as cli; loop._SAVE_S = 0.0; sys.exit(cli.main(sys.argv[1:]))"
    return started([sys.executable, "-c", code, *_words(words)], environment=our_environment(place / "cache"), folder=place)


def _sleep_until(child: Child, moment_s: float) -> None:
    while child.running() and (left := moment_s - time.perf_counter()) > 0:
        time.sleep(min(left, 0.05))


def _results(run: Path) -> dict[str, Any]:
    """What a run came to, without what the clock decides."""
    from fovea.files import sha256_file

    metrics = json.loads((run / "metrics.json").read_text())
    with open(run / "history.csv", newline="") as file:
        history = [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    figures = {f"metrics.json: {name}": value for name, value in metrics.items() if name not in _NOT_COMPARED}
    figures["checkpoint/best.safetensors"] = sha256_file(run / "checkpoint" / "best.safetensors")  # the weights, bit for bit
    return figures | {"history.csv": history, "predictions.csv": (run / "predictions.csv").read_text()}
