"""Memory: flat over ten epochs, and bounded for a million entries."""

import json
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Ended, Failed, measured, our_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.places import NUM_PHOTOS, PHOTOS, shared
from benchmarks.questions.loader import light_loader

ASKS = (
    "Does memory stay flat over ten epochs of the loader? And is it bounded when 1,000,000 generated entries are listed, hashed and loaded "
    "once, with a cache that holds a part of them?"
)
REPEATS = 5  # of the ten epochs; the million entries, which take some minutes, are loaded once
NEEDS = (PHOTOS,)

_EPOCHS = 10
_NUM_ENTRIES = 1_000_000
_CACHE_MB = 17  # less than 100,000 entries of 8 px need
_HALF = _EPOCHS // 2
_FLAT_MIB = 12  # less than one batch of floats
_PEAK_MIB = 1024
_BYTES_AN_ENTRY = 700  # its name, class and hash, and its place in order and cache; a decoded picture of 64 px alone has 12,288


def measure(options: Options) -> Answer:
    """Runs each in a process of its own.

    Raises:
        Skip: The photos are not here.
        Failed: A process did not end well, or did not see everything.
    """
    photos = shared(PHOTOS) / "train"
    growth, first = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for number in range(options.repeats):
            options.say(f"run {number + 1} of {options.repeats}: ten epochs")
            held = _run(folder, "epochs", str(photos))[1]["mib"]
            first.append(max(held[:_HALF]))
            growth.append(max(held[_HALF:]) - max(held[:_HALF]))
        options.say(f"{_NUM_ENTRIES:,} entries, which takes some minutes")
        few, _ = _entries(folder, _NUM_ENTRIES // 10)
        many, told = _entries(folder, _NUM_ENTRIES)
    each = (many.peak_mib - few.peak_mib) * 1024**2 / (_NUM_ENTRIES * 0.9)
    return Answer(
        figures=[
            repeated("ten epochs: growth from the first five to the last five", growth, "MiB", limit=Limit(_FLAT_MIB)),
            repeated("private memory in the first five epochs", first, "MiB"),
            repeated("peak memory, 1,000,000 entries", [many.peak_mib], "MiB", limit=Limit(_PEAK_MIB)),
            repeated("peak memory, 100,000 entries", [few.peak_mib], "MiB"),
            repeated("bytes for each further entry", [each], "bytes", limit=Limit(_BYTES_AN_ENTRY)),
            *(repeated(f"seconds to {stage}", [told[stage]], "s") for stage in ("list", "hash", "look up", "load once")),
        ],
        notes=[
            f"Ten epochs of {NUM_PHOTOS['train']:,} photos at 180 px with the preset light; private memory (RssAnon) after each epoch, without "
            "the pages of the cache's files, which the system takes back when it needs them.",
            f"The entries are PNG files of 8 px that are made as they are read, no two alike; the cache may hold {_CACHE_MB} MB, and the "
            "peak counts its pages.",
        ],
    )


def _entries(folder: Path, number: int) -> tuple[Ended, dict[str, Any]]:
    ended, found = _run(folder, "entries", str(number))
    if found["loaded"] != number or found["sum of rows"] != number * (number - 1) // 2 or not 0 < found["kept"] < number:
        raise Failed(f"not every entry was loaded once: {found}")
    return ended, found


def _run(folder: Path, what: str, argument: str) -> tuple[Ended, dict[str, Any]]:
    words = [sys.executable, "-m", "benchmarks.questions.loader_memory", what, argument]
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        environment = our_environment(Path(cache)) | {"FOVEA_CACHE_MB": str(_CACHE_MB if what == "entries" else 1000)}
        ended = measured(words, environment=environment, folder=folder)
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    return ended, found


# ---- what the measured processes do


def epochs(photos: str) -> dict[str, list[float]]:
    """Private memory after each of ten epochs, in MiB."""
    from fovea.data import open_source
    from fovea.loading.scan import scan

    held = []
    with open_source(photos) as source:
        seen = scan(source)
        loader = light_loader(source, seen.items, seen.hashes)
        for epoch in range(_EPOCHS):
            for _ in loader.epoch(epoch):
                pass
            held.append(_private_mib())
    return {"mib": held}


def entries(number: int) -> dict[str, float]:
    """Lists, hashes and loads so many generated pictures, each once."""
    import numpy as np

    from fovea.data.source import Source
    from fovea.data.sources._png import write_png
    from fovea.loading.loader import Loader
    from fovea.loading.pixel_store import PixelStore
    from fovea.loading.scan import scan
    from fovea.loading.stored import StoredPictures
    from fovea.transforms.preprocessing import square
    from fovea.types import Item

    class Entries(Source):
        """Picture i has the digits of i, base 256, in its first pixels."""

        def __init__(self) -> None:
            super().__init__("entries", "entries", [Item(f"{index:08d}.png", ("even", "odd")[index % 2]) for index in range(number)])

        def read(self, item: Item) -> bytes:
            pixels = np.zeros((8, 8), np.uint8)
            pixels[0, :4] = np.frombuffer(int(item.path[:8]).to_bytes(4, "little"), np.uint8)
            return write_png(pixels)

    clock = [time.perf_counter()]
    source = Entries()
    clock.append(time.perf_counter())
    seen = scan(source)
    clock.append(time.perf_counter())
    pictures = StoredPictures(PixelStore(), source, source.items, seen.hashes, preprocessing=square(8))
    loader = Loader(pictures, np.arange(number), np.arange(number) % 2, batch_size=256, size_px=8, shuffle=True, seed=0)
    clock.append(time.perf_counter())
    loaded, total = 0, 0
    for pixels, targets in loader.epoch(0):
        rows = pixels[:, 0, :4, 0].astype(np.int64) @ (256 ** np.arange(4))
        if not np.array_equal(rows % 2, targets):
            raise ValueError("a picture came with the target of another")
        loaded += len(rows)
        total += int(rows.sum())
    clock.append(time.perf_counter())
    names: Sequence[str] = ("list", "hash", "look up", "load once")
    seconds = dict(zip(names, (after - before for before, after in pairwise(clock)), strict=True))
    return seconds | {"loaded": loaded, "sum of rows": total, "kept": pictures.num_kept}


def _private_mib() -> float:
    found = re.search(r"^RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else float("nan")


if __name__ == "__main__":
    what, argument = sys.argv[1:]
    print(json.dumps(epochs(argument) if what == "epochs" else entries(int(argument))))
