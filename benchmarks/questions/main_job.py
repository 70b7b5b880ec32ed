"""The main job against the texts' Keras listing, whole process against whole process, in turn: cold, and with a warm cache."""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.child import Ended, Failed, fovea, measured, plain_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.peers import PEERS, peer_python, peer_versions
from benchmarks.harness.places import NUM_PHOTOS, PHOTOS, WEIGHTS, main_job, shared, warm_the_disk

ASKS = (
    "How long does the main job take, from the start of the process to its end, against the texts' fast feature extraction in "
    "Keras on the same photos at the same size? Cold is with an empty cache, warm is the same command once more. The two "
    "take turns, and the ratios are taken pair by pair."
)
REPEATS = 5
NEEDS = (PHOTOS, WEIGHTS)

_PEER = "keras"
_LIBRARIES = ("import keras", "import torch, sklearn.linear_model, onnxruntime")  # the peer's, and ours


@dataclass(frozen=True)
class Limits:
    """What the ratios and the memory may be at most."""

    cold: float
    warm: float
    peak_mib: float = 1536  # 1.5 GiB


ISSUE = Limits(cold=1 / 3, warm=1 / 15)  # what the first version has to show
GUARD = Limits(cold=0.4, warm=1 / 12)  # what every later one has to keep


@dataclass(frozen=True)
class Turn:
    """The peer, ours cold and ours warm, one after the other."""

    peer: Ended
    cold: Ended
    warm: Ended
    metrics: dict[str, Any]  # of the cold run
    stages: tuple[dict[str, float], dict[str, float]]  # seconds by stage, cold and warm

    @property
    def cold_ratio(self) -> float:
        """Ours cold as a share of the peer."""
        return self.cold.seconds / self.peer.seconds

    @property
    def warm_ratio(self) -> float:
        """Ours warm as a share of the peer."""
        return self.warm.seconds / self.peer.seconds


def measure(options: Options, limits: Limits = ISSUE) -> Answer:
    """Runs the pairs.

    Raises:
        Skip: The photos or the weights are not here.
        Failed: A run did not end well, or its result is not what it must be.
    """
    photos, weights = shared(PHOTOS), shared(WEIGHTS)
    python = peer_python(_PEER, chosen=options.peer_python, say=options.say)
    options.say("reading the photos and libraries once, so that nobody waits for the disk")
    warm_the_disk([photos, weights])
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        _warm_the_libraries(python, Path(name))
    turns = []
    for number in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
            turns.append(turn(python, photos, Path(name)))
        last = turns[-1]
        options.say(
            f"pair {number + 1} of {options.repeats}: peer {last.peer.seconds:.1f} s, "
            f"cold {last.cold.seconds:.1f} s ({last.cold_ratio:.3f}), warm {last.warm.seconds:.1f} s ({last.warm_ratio:.3f})"
        )
    return Answer(
        figures=[
            repeated("cold / peer", [turn.cold_ratio for turn in turns], "", limit=Limit(limits.cold), of="pairs"),
            repeated("warm / peer", [turn.warm_ratio for turn in turns], "", limit=Limit(limits.warm), of="pairs"),
            repeated("peak memory, cold", [turn.cold.peak_mib for turn in turns], "MiB", limit=Limit(limits.peak_mib)),
            repeated("peak memory, warm", [turn.warm.peak_mib for turn in turns], "MiB", limit=Limit(limits.peak_mib)),
            repeated("peer, whole process", [turn.peer.seconds for turn in turns], "s"),
            repeated("ours cold, whole process", [turn.cold.seconds for turn in turns], "s"),
            repeated("ours warm, whole process", [turn.warm.seconds for turn in turns], "s"),
            repeated("peer, peak memory", [turn.peer.peak_mib for turn in turns], "MiB"),
        ],
        notes=[
            "The peer is `benchmarks/peers/keras_fast_features.py`; its weights are random (there is no download here), which "
            "changes its answers and not its time. Its accuracy is therefore not quoted.",
            "Each pair begins with an empty cache of ours; photos and libraries are in the system's file cache for both.",
            f"Median seconds by stage, cold: {_stages([turn.stages[0] for turn in turns])}.",
            f"Median seconds by stage, warm: {_stages([turn.stages[1] for turn in turns])}.",
        ],
        command=main_job().said,
        versions=_versions(turns[0], python),
    )


def turn(python: str, photos: Path, folder: Path) -> Turn:
    """The three processes, one after the other, all in fresh folders."""
    for inside in ("peer", "cold", "warm"):
        (folder / inside).mkdir()
    cache = folder / "cache"
    peer = measured([python, str(PEERS / "keras_fast_features.py"), str(photos)], environment=plain_environment(), folder=folder / "peer")
    _check_peer(peer)
    words = main_job().words
    cold = fovea(words, cache=cache, folder=folder / "cold")
    warm = fovea(words, cache=cache, folder=folder / "warm")
    first, second = (json.loads((folder / inside / "run" / "metrics.json").read_text()) for inside in ("cold", "warm"))
    stages = _by_stage(first, cold), _by_stage(second, warm)
    for metrics in (first, second):
        del metrics["timing"]
    if first != second:
        differ = [key for key in first if first[key] != second.get(key)]
        raise Failed(f"the warm run came to other figures than the cold one: {', '.join(differ)}")
    return Turn(peer, cold, warm, first, stages)


def _check_peer(peer: Ended) -> None:
    """The peer did the same job: every photo of every split passed through it."""
    said = {name: f"{name} features: {count} x" for name, count in NUM_PHOTOS.items()}
    if missing := [name for name, line in said.items() if line not in peer.output]:
        raise Failed(f"the peer did not see the whole of {', '.join(missing)}:\n" + "\n".join(peer.output.splitlines()[-15:]))


def _by_stage(metrics: dict[str, Any], ended: Ended) -> dict[str, float]:
    timing: dict[str, float] = metrics["timing"]
    named = {key.removesuffix("_s"): seconds for key, seconds in timing.items() if key != "total_s" and seconds}
    return {"start": ended.seconds - timing["total_s"]} | named | {"rest": timing["total_s"] - sum(named.values())}


def _stages(found: list[dict[str, float]]) -> str:
    names = dict.fromkeys(name for stages in found for name in stages)
    return ", ".join(f"{name} {median(stages.get(name, 0.0) for stages in found):.2f}" for name in names)


def _versions(first: Turn, python: str) -> dict[str, str]:
    ours: dict[str, str] = first.metrics["versions"]
    return ours | peer_versions(python, ["keras", "tensorflow-cpu"])


def _warm_the_libraries(python: str, folder: Path) -> None:
    for program, imports in zip((python, sys.executable), _LIBRARIES, strict=True):
        measured([program, "-c", imports], environment=plain_environment(), folder=folder)
