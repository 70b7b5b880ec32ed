"""Where the time goes between the disk and the model: each step of the pipeline alone, then all of it together."""

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from fovea.data import Source, decode
from fovea.errors import DataError, UnreadableImage, writing
from fovea.files import cache_folder, hash_bytes
from fovea.loading.loader import Loader
from fovea.loading.margin import Margin
from fovea.loading.parallel import chunks, map_ordered, num_threads
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scaling import Scaling
from fovea.loading.stored import StoredPictures
from fovea.progress import Progress
from fovea.transforms.op import chance_of
from fovea.transforms.preprocessing import Preprocessing, square
from fovea.types import Floats, Item, Pixels

if TYPE_CHECKING:
    from fovea.transforms import Augmentation

In = TypeVar("In")
Out = TypeVar("Out")

_BLOCK = 128  # pictures that are taken through all steps before the next: memory stays small
_TURN = 8  # pictures a turn of a thread

# Each step, and what helps where it is the slowest.
STEPS = {
    "read": "the disk or the network is slow: copy the data to a disk nearby, or pack the files into shards",
    "hash": "the files are large for what is made of them: smaller files would do",
    "decode": "only the first epoch pays it, since decoded pictures are kept; files that are not much larger than needed decode faster",
    "resize": "only the first epoch pays it, since decoded pictures are kept; files that are not much larger than needed resize faster",
    "keep": "the disk of the cache is slow to write: name a folder on another one in FOVEA_CACHE",
    "fetch": "decoded pictures come from the disk of the cache and not from memory: name a faster one in FOVEA_CACHE, or take smaller pictures",
    "augment": "take a lighter --augment, or a smaller --image-size",
    "collate": "memory is slow: a smaller --image-size helps",
    "to float": "memory is slow: a smaller --image-size helps",
    "mix": "take an --augment without a mix, or a smaller --image-size",  # where there is one
}
COLD = ("read", "hash", "decode", "resize", "keep", "augment", "collate", "to float", "mix")  # what the first epoch does
WARM = ("fetch", "augment", "collate", "to float", "mix")  # and each further one


@dataclass
class Step:
    """What one step took with all threads at it, and the bytes that it handed on."""

    name: str
    seconds: float = 0.0
    num_bytes: int = 0
    num_pictures: int = 0

    @property
    def ms_per_picture(self) -> float:
        return 1000 * self.seconds / max(1, self.num_pictures)


@dataclass(frozen=True)
class Pipeline:
    """What was measured.

    Args:
        steps: By name, in the order of the flow.
        cold_s, warm_s: Seconds of a whole first epoch and of a whole further one, through the loader to floats.
        num_pictures: In each of these.
        problems: Files that could not be read, and were left out.
    """

    steps: dict[str, Step]
    cold_s: float
    warm_s: float
    num_pictures: int
    size_px: int
    batch_size: int
    threads: int
    augmentation: str
    problems: list[UnreadableImage] = field(default_factory=list)

    def shares(self, names: Iterable[str]) -> dict[str, float]:
        """What part of the time of these steps each of them takes; they sum to 1."""
        seconds = {name: self.steps[name].ms_per_picture for name in names if name in self.steps}
        return {name: value / (sum(seconds.values()) or 1) for name, value in seconds.items()}

    def bottleneck(self, names: Sequence[str]) -> str:
        """The slowest of these steps."""
        shares = self.shares(names)
        return max(shares, key=lambda name: shares[name])

    def to_json(self) -> dict[str, Any]:
        cold, warm = self.shares(COLD), self.shares(WARM)
        return {
            "num_pictures": self.num_pictures,
            "num_unreadable": len(self.problems),
            "image_size_px": self.size_px,
            "batch_size": self.batch_size,
            "threads": self.threads,
            "augment": self.augmentation,
            "steps": [
                {
                    "name": step.name,
                    "seconds": step.seconds,
                    "bytes": step.num_bytes,
                    "pictures": step.num_pictures,
                    "share_of_first_epoch": cold.get(step.name),
                    "share_of_further_epochs": warm.get(step.name),
                }
                for step in self.steps.values()
            ],
            "first_epoch": {"pictures_per_s": self.num_pictures / self.cold_s, "bottleneck": self.bottleneck(COLD)},
            "further_epochs": {"pictures_per_s": self.num_pictures / self.warm_s, "bottleneck": self.bottleneck(WARM)},
        }

    def to_text(self) -> str:
        cold, warm = self.shares(COLD), self.shares(WARM)
        lines = [f"{'step':<10}{'ms a picture':>14}{'pictures/s':>12}{'MB/s':>9}{'first epoch':>13}{'further ones':>14}"]
        for step in self.steps.values():
            rate = step.num_pictures / step.seconds if step.seconds else float("inf")
            share = [f"{shares[step.name]:.0%}" if step.name in shares else "" for shares in (cold, warm)]
            lines.append(
                f"{step.name:<10}{step.ms_per_picture:>14.3f}{rate:>12,.0f}{step.num_bytes / max(step.seconds, 1e-9) / 1e6:>9,.0f}"
                f"{share[0]:>13}{share[1]:>14}"
            )
        lines.append("")
        for what, names, seconds in (("the first epoch", COLD, self.cold_s), ("each further epoch", WARM, self.warm_s)):
            slowest = self.bottleneck(names)
            lines.append(
                f"{what}: {self.num_pictures / seconds:,.0f} pictures/s; {slowest} takes {self.shares(names)[slowest]:.0%} of it: {STEPS[slowest]}"
            )
        lines.append(
            f"a model that takes fewer than {self.num_pictures / self.warm_s:,.0f} pictures a second never waits after the first epoch"
        )
        lines.append(f"({self.num_pictures:,} pictures to {self.size_px} px, augmentation {self.augmentation}, {self.threads} threads)")
        if self.problems:
            lines.append(f"left out: {len(self.problems):,} files that cannot be read, the first {self.problems[0].problem}")
        return "\n".join(lines)


def watch_pipeline(
    source: Source,
    items: Sequence[Item],
    *,
    size_px: int,
    augmentation: "Augmentation",
    augmentation_name: str,
    scaling: Scaling,
    batch_size: int = 32,
    threads: int | None = None,
    seed: int = 0,
) -> Pipeline:
    """Times the steps of the pipeline, one after the other on some pictures at a time, then two whole epochs.

    Decoded pictures are kept in a folder of its own in the cache folder, which is removed afterwards.

    Args:
        source: Gives the bytes.
        items: The pictures.
        size_px: Side of what the model receives.
        augmentation: Of training pictures.
        augmentation_name: What it is called.
        scaling: Makes floats of the pixels, for the model.
        batch_size: Pictures in a batch.
        threads: By default one for each core.
        seed: Of the augmentation.

    Raises:
        DataError: None of the pictures can be read.
    """
    threads = threads or num_threads()
    way = square(size_px) if augmentation.is_identity else Margin(square(size_px))
    cache = cache_folder()
    with writing(cache):
        cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="monitor-") as folder:
        with PixelStore(Path(folder) / "steps") as store, Progress("timing the steps", total=len(items)) as bar:
            alone = _Alone(source, store, way, augmentation, scaling, size_px, threads)
            for turn in chunks(len(items), _BLOCK):
                alone.block([items[index] for index in turn], seed)
                bar.advance(len(turn))
        if not alone.items:
            raise DataError(
                f"none of the pictures in {source.location!r} can be read",
                got=alone.problems[0].problem if alone.problems else "no pictures",
                expected="readable pictures",
                fix="`fovea audit` names each broken file and how to mend it",
            )
        with PixelStore(Path(folder) / "whole") as store:
            pictures = StoredPictures(store, source, alone.items, alone.hashes, preprocessing=way)
            rows = np.arange(len(alone.items))
            together = Loader(
                pictures, rows, np.zeros_like(rows),
                batch_size=batch_size, size_px=size_px, augmentation=augmentation, num_classes=1, scaling=scaling,
                shuffle=True, seed=seed, threads=threads,
            )  # fmt: skip
            cold_s, warm_s = (_epoch(together, epoch) for epoch in (0, 1))
    return Pipeline(alone.steps, cold_s, warm_s, len(alone.items), size_px, batch_size, threads, augmentation_name, alone.problems)


class _Alone:
    """The steps one after the other, each for some pictures with all threads at it, and what they took."""

    def __init__(
        self,
        source: Source,
        store: PixelStore,
        way: Preprocessing | Margin,
        augmentation: "Augmentation",
        scaling: Scaling,
        size_px: int,
        threads: int,
    ) -> None:
        self.source, self.store, self.way, self.augmentation, self.scaling = source, store, way, augmentation, scaling
        self.size_px, self.threads = size_px, threads
        self.steps = {name: Step(name) for name in STEPS if name != "mix" or augmentation.mixes}
        self.problems: list[UnreadableImage] = []
        self.items: list[Item] = []  # those that can be read,
        self.hashes: list[str] = []  # and their contents
        self._batch = np.zeros((_BLOCK, size_px, size_px, 3), np.uint8)
        self._floats = np.zeros((_BLOCK, size_px, size_px, 3), np.float32)

    def block(self, items: Sequence[Item], seed: int) -> None:
        """Takes some pictures all the way."""
        read = self._whole(items, self._time("read", self._read, items))
        hashes = self._time("hash", lambda pair: hash_bytes(pair[1]), read)
        named = [(item, content) for (item, _), content in zip(read, hashes, strict=True)]
        decoded = self._whole(named, self._time("decode", self._decode, read))
        squares = self._time("resize", lambda pair: self.way.apply(pair[1]), decoded)
        contents = [content for (_, content), _ in decoded]
        self.items += [item for (item, _), _ in decoded]
        self.hashes += contents

        rule = self.store.rule(self.way)
        self._time("keep", lambda pair: self.store.put(rule, *pair), list(zip(contents, squares, strict=True)))
        self.store.flush()
        places = self.store.find(rule, contents)
        kept = [self.store.read(places, index) for index in range(len(contents))]  # compares checksums, as every process does once
        mapped = [made if pixels is None else pixels for pixels, made in zip(kept, squares, strict=True)]
        fetched = self._time("fetch", np.array, mapped)

        drawn = [(pixels, chance_of(seed, 0, place)) for place, pixels in enumerate(fetched)]
        ready = self._time("augment", lambda pair: self.augmentation.pixels(pair[0], pair[1], self.size_px), drawn)
        batch, floats = self._batch[: len(ready)], self._floats[: len(ready)]
        self._time("collate", lambda pair: _put(*pair), list(zip(batch, ready, strict=True)))
        self._time("to float", lambda pair: self._scale(*pair), list(zip(floats, batch, strict=True)))
        if self.augmentation.mixes:
            self._mix(floats, seed)

    def _scale(self, out: Floats, pixels: Pixels) -> Floats:
        self.scaling.into(out, pixels)
        return out

    def _mix(self, floats: Floats, seed: int) -> None:
        """By one thread, as in the loader, where whole batches are mixed as they are handed out."""
        started, step = time.perf_counter(), self.steps["mix"]
        self.augmentation.mixed(floats, np.ones((len(floats), 1), np.float32), np.random.default_rng(seed))
        step.seconds += time.perf_counter() - started
        step.num_pictures, step.num_bytes = step.num_pictures + len(floats), step.num_bytes + floats.nbytes

    def _read(self, item: Item) -> bytes | UnreadableImage:
        try:
            return self.source.read(item)
        except UnreadableImage as problem:
            return problem

    def _decode(self, pair: tuple[Item, bytes]) -> Pixels | UnreadableImage:
        try:
            return decode(pair[1], path=pair[0].path, min_side_px=self.way.min_side_px).pixels
        except UnreadableImage as problem:
            return problem

    def _whole(self, inputs: Sequence[In], results: Sequence[Out | UnreadableImage]) -> list[tuple[In, Out]]:
        """The inputs with their results, without those that failed, which are noted."""
        self.problems += [result for result in results if isinstance(result, UnreadableImage)]
        return [(value, result) for value, result in zip(inputs, results, strict=True) if not isinstance(result, UnreadableImage)]

    def _time(self, name: str, work: Callable[[In], Out], inputs: Sequence[In]) -> list[Out]:
        started = time.perf_counter()
        done = map_ordered(lambda turn: [work(inputs[index]) for index in turn], chunks(len(inputs), _TURN), threads=self.threads)
        results = [result for part in done for result in part]
        step = self.steps[name]
        step.seconds += time.perf_counter() - started
        step.num_pictures += len(inputs)
        step.num_bytes += sum(map(_size, results))
        return results


def _epoch(loader: Loader, epoch: int) -> float:
    started = time.perf_counter()
    for _ in loader.epoch(epoch):
        pass
    return time.perf_counter() - started


def _put(place: Pixels, pixels: Pixels) -> Pixels:
    place[:] = pixels
    return place


def _size(value: object) -> int:
    if isinstance(value, np.ndarray):
        return value.nbytes
    return len(value) if isinstance(value, bytes | str) else 0
