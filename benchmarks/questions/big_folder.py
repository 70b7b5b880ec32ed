"""A folder of 100,000 pictures: listed, hashed and split, with its seconds and its memory."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks.harness.child import Ended, Failed, measured, our_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated

ASKS = (
    "Is a folder of 100,000 pictures listed, hashed and split without holding the pictures in memory, and how long does it take? "
    "The same folder's first tenth shows what each further picture costs."
)
REPEATS = 3
NEEDS = ()

_NUM_PICTURES = 100_000
_NUM_CLASSES = 10
_SIDE_PX = 96  # so that holding the files, or the pixels, would take far more than the limits
_PEAK_MIB = 600
_GROWTH_MIB = 200  # from a tenth to all: 2 KiB a picture; the files of these pictures are several times that
_STAGES = ("list_s", "hash_s", "split_s")


def measure(options: Options) -> Answer:
    """Makes the folders, and looks at each from a fresh process.

    Raises:
        Failed: A process did not end well, or did not see every picture.
    """
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        options.say(f"making {_NUM_PICTURES:,} pictures")
        _run(folder, "make", "small", _NUM_PICTURES // 10)
        num_bytes = _run(folder, "make", "big", _NUM_PICTURES)[1]["bytes"]
        small, big = [], []
        for number in range(options.repeats):
            small.append(_look(folder, "small", _NUM_PICTURES // 10))
            big.append(_look(folder, "big", _NUM_PICTURES))
            options.say(f"run {number + 1} of {options.repeats}: {big[-1][0].seconds:.1f} s, {big[-1][0].peak_mib:.0f} MiB")
        options.say("removing the pictures")
    growth = [many.peak_mib - few.peak_mib for (few, _), (many, _) in zip(small, big, strict=True)]
    return Answer(
        figures=[
            repeated("peak memory, 100,000 pictures", [ended.peak_mib for ended, _ in big], "MiB", limit=Limit(_PEAK_MIB)),
            repeated("peak memory, 10,000 pictures", [ended.peak_mib for ended, _ in small], "MiB"),
            repeated("memory for 90,000 more pictures", growth, "MiB", limit=Limit(_GROWTH_MIB)),
            repeated("whole process, 100,000 pictures", [ended.seconds for ended, _ in big], "s"),
            *(repeated(f"of which {stage.removesuffix('_s')}", [found[stage] for _, found in big], "s") for stage in _STAGES),
            repeated("whole process, 10,000 pictures", [ended.seconds for ended, _ in small], "s"),
        ],
        notes=[
            f"The pictures are JPEG files of {_SIDE_PX} px, {num_bytes / 1024**2:,.0f} MiB in all ({num_bytes / _NUM_PICTURES:,.0f} bytes "
            f"each, {_SIDE_PX * _SIDE_PX * 3:,} decoded), no two alike, in {_NUM_CLASSES} class folders, just written and so in the "
            "system's file cache.",
            "Through `fovea.data.open_source`, `fovea.loading.scan.scan` and `fovea.data.assign_splits`; torch is not imported.",
        ],
    )


def make_pictures(folder: Path, number: int) -> int:
    """Writes `number` small JPEG files, no two alike, into class folders.

    One real compression, then a comment of its own in each file (JPEG's COM segment, which decoders pass over).

    Returns:
        Their bytes in all.
    """
    import cv2
    import numpy as np

    pixels = np.random.default_rng(0).integers(0, 256, (_SIDE_PX, _SIDE_PX, 3), np.uint8)
    whole = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
    start, rest = whole[:2], whole[2:]  # the comment stands right behind the start-of-image mark
    places = [folder / f"class {index}" for index in range(_NUM_CLASSES)]
    for place in places:
        place.mkdir(parents=True)
    num_bytes = 0
    for index in range(number):
        comment = f"picture {index:08d}".encode()
        content = b"".join([start, b"\xff\xfe", (len(comment) + 2).to_bytes(2, "big"), comment, rest])
        (places[index % _NUM_CLASSES] / f"{index:08d}.jpg").write_bytes(content)
        num_bytes += len(content)
    return num_bytes


def look(data: str) -> dict[str, float]:
    """What the measured process does: seconds of each stage, and how many pictures fell into each split."""
    from fovea.data import assign_splits, open_source
    from fovea.loading.scan import scan

    clock = [time.perf_counter()]
    with open_source(data) as source:
        clock.append(time.perf_counter())
        seen = scan(source)
        clock.append(time.perf_counter())
        splits = assign_splits(seen.items, seen.hashes, seed=0)
        clock.append(time.perf_counter())
    seconds = dict(zip(_STAGES, (after - before for before, after in pairwise(clock)), strict=True))
    counts = {name: splits.count(name) for name in ("train", "validation", "test")}
    return seconds | counts | {"distinct": len(set(seen.hashes)), "unreadable": len(seen.problems), "torch": int("torch" in sys.modules)}


def _look(folder: Path, inside: str, number: int) -> tuple[Ended, dict[str, float]]:
    ended, found = _run(folder, "look", inside, number)
    _check(found, number)
    return ended, found


def _run(folder: Path, what: str, inside: str, number: int) -> tuple[Ended, dict[str, float]]:
    """This file as a process of its own; also to make the pictures, so that this process stays small (see harness/child.py)."""
    words = [sys.executable, "-m", "benchmarks.questions.big_folder", what, inside, str(number)]
    ended = measured(words, environment=our_environment(folder / "cache"), folder=folder)
    found: dict[str, float] = json.loads(ended.output.splitlines()[-1])
    return ended, found


def _check(found: dict[str, float], number: int) -> None:
    """Every picture was read and stands in one split, in the shares that are promised."""
    counts: Sequence[float] = [found[name] for name in ("train", "validation", "test")]
    off = max(abs(count / number - share) for count, share in zip(counts, (0.70, 0.15, 0.15), strict=True))
    if sum(counts) != number or found["distinct"] != number or found["unreadable"] or found["torch"] or off > 0.03:
        raise Failed(f"of {number:,} pictures it says: {found}")


if __name__ == "__main__":
    what, inside, number = sys.argv[1:]
    print(json.dumps(look(inside) if what == "look" else {"bytes": make_pictures(Path(inside), int(number))}))
