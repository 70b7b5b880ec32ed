"""How near the main job's slow part, decoding and embedding, is to what this machine can do."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.harness.figures import Answer, Options, repeated
from benchmarks.harness.ours import SIZE_PX, main_job_embedder
from benchmarks.harness.places import NUM_PHOTOS, PHOTOS, WEIGHTS, shared

if TYPE_CHECKING:
    from fovea.data import Source
    from fovea.embeddings.embedder import Embedder

ASKS = (
    "How near is the embedding pass to this machine's limit? Decoding alone, the engine alone (one batch in memory again and again, all "
    "cores busy), and our pass over all photos, which does both and keeps the vectors; in turn, in one process."
)
REPEATS = 5
NEEDS = (PHOTOS, WEIGHTS)

_BATCH = 8  # as the pass feeds it
_NUM_PHOTOS = sum(NUM_PHOTOS.values())


def measure(options: Options) -> Answer:
    """Measures the three in turn, after a turn of the engine that does not count.

    Raises:
        Skip: The photos or the weights are not here.
    """
    from fovea.data import open_source
    from fovea.embeddings.extract import embed
    from fovea.embeddings.store import EmbeddingStore
    from fovea.loading.scan import scan
    from fovea.versions import versions

    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name, _cache_in(Path(name)), open_source(shared(PHOTOS)) as source:
        embedder = main_job_embedder(source)
        seen = scan(source)  # also brings the photos in from the disk
        _engine_rate(embedder, _NUM_PHOTOS // 10)
        decode, engine, whole = list[float](), list[float](), list[float]()
        for number in range(options.repeats):
            decode.append(_rate(_NUM_PHOTOS, partial(_decode_all, source, embedder)))
            engine.append(_engine_rate(embedder, _NUM_PHOTOS))
            with EmbeddingStore(Path(name) / f"{number}.sqlite") as store:  # empty
                whole.append(_rate(_NUM_PHOTOS, partial(embed, source, source.items, seen.hashes, embedder=embedder, store=store)))
            options.say(f"round {number + 1} of {options.repeats}, pictures/s: {decode[-1]:.0f}, {engine[-1]:.0f}, {whole[-1]:.0f}")
    # both share the cores, so at best a picture costs the sum of the two times
    best = [1 / (1 / of_decode + 1 / of_engine) for of_decode, of_engine in zip(decode, engine, strict=True)]
    return Answer(
        figures=[
            repeated("our embedding pass", whole, "pictures/s", of="rounds"),
            repeated("decoding and resizing alone", decode, "pictures/s", of="rounds"),
            repeated("engine alone", engine, "pictures/s", of="rounds"),
            repeated("limit: both on the same cores, nothing else", best, "pictures/s", of="rounds"),
            repeated("our pass / limit", [ours / limit for ours, limit in zip(whole, best, strict=True)], "", of="rounds"),
            repeated("our pass / engine alone", [ours / alone for ours, alone in zip(whole, engine, strict=True)], "", of="rounds"),
        ],
        notes=[
            f"MobileNetV2 at {SIZE_PX} px, {_NUM_PHOTOS:,} photos a round; the engine has one thread a call and one call a core, with "
            f"batches of {_BATCH}."
        ],
        versions=versions("onnxruntime", "simplejpeg", "opencv-python-headless"),
    )


def _decode_all(source: "Source", embedder: "Embedder") -> None:
    from fovea.loading.parallel import map_ordered
    from fovea.loading.pictures import load_picture

    for pixels, problem in map_ordered(lambda item: load_picture(source, item, embedder.preprocessing), source.items):
        if pixels is None:
            raise ValueError(str(problem))


def _engine_rate(embedder: "Embedder", number: int) -> float:
    """Pictures a second of the engine alone, as many calls side by side as there are cores."""
    import numpy as np

    from fovea.loading.parallel import chunks, map_ordered

    batch = np.random.default_rng(0).integers(0, 256, (_BATCH, SIZE_PX, SIZE_PX, 3), np.uint8)
    engine = embedder.engine

    def run() -> None:
        for _ in map_ordered(lambda turn: engine(batch[: len(turn)], ("embedding",)), chunks(number, _BATCH)):
            pass

    return _rate(number, run)


def _rate(number: int, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return number / (time.perf_counter() - started)


@contextmanager
def _cache_in(folder: Path) -> Iterator[None]:
    """A cache of our own while it lasts: nothing of the person who measures is used, or filled."""
    before = os.environ.get("FOVEA_CACHE")
    os.environ["FOVEA_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["FOVEA_CACHE"]
        else:
            os.environ["FOVEA_CACHE"] = before
