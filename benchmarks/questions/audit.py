"""The audit of real photos with planted faults: how many it finds, what else it reports, and how long it takes."""

import csv
import hashlib
import json
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.harness.child import Ended, measured, our_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options, count, repeated
from benchmarks.harness.places import PHOTOS, WEIGHTS, Skip, shared

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

ASKS = (
    "60 faults are planted in a copy of the cats and dogs: 20 test photos that stand in train too (5 each resized, compressed anew, "
    "cropped by 5 %, mirrored), 20 wrong labels, 20 broken files (4 each cut in half, cut in the header, empty, a web page, half "
    "zeros). How many does the audit find, what else does it report, and how long does it take?"
)
REPEATS = 3  # seeds
NEEDS = (PHOTOS, WEIGHTS)

_EACH = 20
_COLD_S, _WARM_S = 30.0, 3.0
_FOUND = {"near duplicates across splits": 19, "wrong labels": 16, "broken files": 20}
_KINDS = {"near duplicates across splits": "leaks", "wrong labels": "wrong_labels", "broken files": "unreadable"}

# What the audit reports of the originals themselves, as a person judged it who looked at each picture: by kind and by the SHA-256
# of the file, with the reason. What is not in it counts as false until somebody has looked.
_VERDICTS = Path(__file__).with_name("audit_verdicts.csv")


@dataclass(frozen=True)
class Planted:
    """The paths of the planted faults within the copy, by kind; of a near duplicate also what was done."""

    faults: dict[str, set[str]]
    ways: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Turn:
    """One seed: what was found, and the processes."""

    found: dict[str, int]
    missed: list[str]
    true: list[str]
    false: list[str]
    num_reported: int
    num_photos: int
    cold: Ended
    warm: Ended
    labels: Ended
    labels_warm: Ended


def measure(options: Options) -> Answer:
    """Plants and audits once for each seed.

    Raises:
        Skip: The photos, the weights or cleanlab are not here.
        Failed: A process did not end well.
    """
    from importlib.util import find_spec

    if find_spec("cleanlab") is None:
        raise Skip("cleanlab is not installed: pip install 'fovea[clean]'")
    photos, weights = shared(PHOTOS), shared(WEIGHTS)
    turns = []
    for seed in range(options.repeats):
        with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
            folder = Path(name)
            planted = _plant(photos, folder, seed)
            turns.append(_turn(folder, planted, weights))
        last = turns[-1]
        options.say(
            f"seed {seed}: found {last.found}, reported {len(last.true) + len(last.false)} others, {len(last.false)} of them false; "
            f"cold {last.cold.seconds:.1f} s, warm {last.warm.seconds:.1f} s"
        )
        for line in (*(f"missed: {path}" for path in last.missed), *(f"false: {text}" for text in last.false)):
            options.say(f"  {line}")
    false, reported = sum(len(turn.false) for turn in turns), sum(turn.num_reported for turn in turns)
    num_photos = sum(turn.num_photos for turn in turns)
    return Answer(
        figures=[
            *(_least(kind, [turn.found[kind] for turn in turns], limit) for kind, limit in _FOUND.items()),
            Figure(
                "false among all that is reported",
                false / reported,
                false / reported,
                false / reported,
                reported,
                "reports",
                "%",
                Limit(0.01),
            ),
            count("other reports, true", sum(len(turn.true) for turn in turns), reported, of="reports"),
            repeated("4,000 photos, cold", [turn.cold.seconds for turn in turns], "s", limit=Limit(_COLD_S)),
            repeated("4,000 photos, warm", [turn.warm.seconds for turn in turns], "s", limit=Limit(_WARM_S)),
            repeated("with --labels, embeddings made in it", [turn.labels.seconds for turn in turns], "s"),
            repeated("with --labels, warm", [turn.labels_warm.seconds for turn in turns], "s"),
            repeated("peak memory, cold", [turn.cold.peak_mib for turn in turns], "MiB"),
        ],
        notes=[
            f"Of all photos, {false / num_photos:.3%} are reported without reason.",
            f"What else it reports was looked at one by one: {_told(turns)}.",
            f"Missed: {', '.join(path for turn in turns for path in turn.missed) or 'nothing'}.",
            "Cold is `fovea audit DATA --out DIR` with an empty cache; warm is the same once more. Both are whole processes, with the "
            "page and its thumbnails. Labels are judged by MobileNetV2 embeddings; cats and dogs are among the classes of ImageNet.",
        ],
        versions=_versions(),
    )


def plant(photos: Path, copy: Path, seed: int) -> Planted:
    """Copies the photos and plants the faults, drawn by the seed: no photo has two of them.

    Args:
        photos: A folder of train/, validation/ and test/ with class folders of JPEGs.
        copy: Where the copy shall stand.
        seed: Draws which photos, where they are cropped, and how much smaller they become.
    """
    import cv2
    import numpy as np

    shutil.copytree(photos, copy, copy_function=shutil.copyfile)
    rng = np.random.default_rng(seed)
    paths = sorted(path.relative_to(copy).as_posix() for path in copy.rglob("*.jpg"))
    drawn = [paths[i] for i in rng.permutation(len(paths))]
    test = [path for path in drawn if path.startswith("test/")][:_EACH]
    others = [path for path in drawn if path not in set(test)]
    ways: dict[str, str] = {}
    for index, path in enumerate(test):
        way = list(_WAYS)[index % len(_WAYS)]
        pixels = cv2.imread(str(copy / path))
        assert pixels is not None
        changed, quality = _WAYS[way](pixels, rng)
        new = f"train/{path.split('/')[1]}/new{index}.jpg"
        cv2.imwrite(str(copy / new), np.ascontiguousarray(changed), [cv2.IMWRITE_JPEG_QUALITY, quality])
        ways[new] = way
    labels = set()
    for index, path in enumerate(others[:_EACH]):
        split, label, name = path.split("/")
        other = next(folder.name for folder in sorted((copy / split).iterdir()) if folder.name != label)
        new = f"{split}/{other}/moved{index}-{name}"
        (copy / path).rename(copy / new)
        labels.add(new)
    broken = others[_EACH : 2 * _EACH]
    for index, path in enumerate(broken):
        data = (copy / path).read_bytes()
        (copy / path).write_bytes(_BREAKS[index % len(_BREAKS)](data))
    faults = {"near duplicates across splits": set(ways), "wrong labels": labels, "broken files": set(broken)}
    return Planted(faults, ways)


_WAYS: Mapping[str, "Callable[[npt.NDArray[np.uint8], np.random.Generator], tuple[npt.NDArray[np.uint8], int]]"] = {
    "resized": lambda pixels, rng: (_resized(pixels, rng.uniform(0.5, 0.9)), 90),
    "compressed anew": lambda pixels, rng: (pixels, int(rng.integers(20, 60))),
    "cropped by 5 %": lambda pixels, rng: (_cropped(pixels, rng), 90),
    "mirrored": lambda pixels, rng: (pixels[:, ::-1], 90),
}
_BREAKS: tuple[Callable[[bytes], bytes], ...] = (
    lambda data: data[: len(data) // 2],
    lambda data: data[:100],
    lambda data: b"",
    lambda data: b"<!doctype html><title>404</title><p>not found\n",
    lambda data: data[: len(data) // 2] + bytes(len(data) - len(data) // 2),
)


def _resized(pixels: "npt.NDArray[np.uint8]", factor: float) -> "npt.NDArray[np.uint8]":
    import cv2

    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _cropped(pixels: "npt.NDArray[np.uint8]", rng: "np.random.Generator") -> "npt.NDArray[np.uint8]":
    """95 % of each side, from anywhere in the picture."""
    height, width = (round(side * 0.95) for side in pixels.shape[:2])
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(pixels.shape[:2], (height, width), strict=True))
    return pixels[top : top + height, left : left + width]


def _turn(folder: Path, planted: Planted, weights: Path) -> Turn:
    words = ["audit", "data", "--out", "found"]
    with_labels = [*words, "--labels", "--backbone", "mobilenet_v2", "--weights", str(weights)]
    cold, warm = _run(folder, words), _run(folder, words)
    labels = _run(folder, with_labels)
    labels_warm = _run(folder, with_labels)
    audit: dict[str, Any] = json.loads((folder / "found" / "audit.json").read_text())
    reports = _reports(audit)
    found, missed = {}, []
    for kind, paths in planted.faults.items():
        reported = {path for where, path in reports if where == _KINDS[kind]}
        found[kind] = len(paths & reported)
        missed += [f"{path} ({planted.ways.get(path, kind)})" for path in sorted(paths - reported)]
    others = [
        (where, path)
        for where, path in reports
        if not any(_KINDS[kind] == where and path in paths for kind, paths in planted.faults.items())
    ]
    verdicts = _verdicts()
    judged = [(f"{where} {path}", verdicts.get((where, _sha256(folder / "data" / path)))) for where, path in others]
    true = [text for text, verdict in judged if verdict]
    false = [text if verdict is False else f"{text} (not yet looked at)" for text, verdict in judged if not verdict]
    return Turn(found, missed, true, false, len(reports), audit["num_items"], cold, warm, labels, labels_warm)


def _verdicts() -> dict[tuple[str, str], bool]:
    with _VERDICTS.open(newline="", encoding="utf-8") as file:
        return {(row["kind"], row["sha256"]): row["verdict"] == "true" for row in csv.DictReader(file)}


def _sha256(path: Path) -> str:
    """Of a file; "" where a report is about none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _reports(audit: dict[str, Any]) -> list[tuple[str, str]]:
    """Each fault in audit.json as its kind and its first path, or what it says where it is about no picture."""
    found = []
    for finding in audit["findings"]:
        for entry in audit[finding["kind"]]:
            first = entry[0] if isinstance(entry, list) else entry
            if isinstance(first, dict):
                first = first.get("path") or (first.get("paths") or [first.get("problem", "")])[0]
            found.append((finding["kind"], str(first)))
    return found


def _run(folder: Path, words: list[str]) -> Ended:
    return measured([sys.executable, "-m", "fovea", *words], environment=our_environment(folder / "cache"), folder=folder)


def _plant(photos: Path, folder: Path, seed: int) -> Planted:
    """In a process of its own, so that this one stays small (see harness/child.py)."""
    words = [sys.executable, "-m", "benchmarks.questions.audit", str(photos), str(folder / "data"), str(seed)]
    ended = measured(words, environment=our_environment(folder / "cache"), folder=folder)
    told = json.loads(ended.output.splitlines()[-1])
    return Planted({kind: set(paths) for kind, paths in told["faults"].items()}, told["ways"])


def _least(kind: str, found: list[int], limit: int) -> Figure:
    """The worst of the seeds, which is what the limit is for."""
    return Figure(f"{kind} found, of {_EACH}", min(found), min(found), max(found), len(found), "seeds", "", Limit(limit, "at least"))


def _told(turns: list[Turn]) -> str:
    true = Counter(text for turn in turns for text in turn.true)
    false = Counter(text for turn in turns for text in turn.false)
    kinds = Counter(text.split(" ")[0] for text in true)
    listed = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(kinds.items()))
    wrong = ", ".join(sorted(false)) or "none"
    return f"{len(true)} different faults that the photos came with ({listed or 'none'}); false: {wrong}"


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("cleanlab", "numpy", "onnxruntime", "opencv-python-headless", "scikit-learn")}


if __name__ == "__main__":
    photos, copy, seed = sys.argv[1:]
    made = plant(Path(photos), Path(copy), int(seed))
    print(json.dumps({"faults": {kind: sorted(paths) for kind, paths in made.faults.items()}, "ways": made.ways}))
