"""A backbone made ready to embed: its weights, its preprocessing, and the engine that runs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fovea.embeddings.store import Space
from fovea.engines import Engine, open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import BundleError
from fovea.files import cache_folder, hash_json, write_atomic
from fovea.loading.parallel import chunks, map_ordered
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Pixels

if TYPE_CHECKING:
    from fovea.models.network import PixelBackbone
    from fovea.models.passport import Passport

# Raise it when the same weights would export to another graph: kept conversions and vectors are then made anew.
_EXPORT_VERSION = 1


TURN = 8  # pictures that a thread embeds at once: their activations stay in the processor's cache (32 was a tenth slower)


def run_batches(engine: Engine, batches: Iterable[Pixels], outputs: tuple[str, ...]) -> Iterator[tuple[Floats, ...]]:
    """The outputs of each batch of pictures (B, H, W, 3), in order: a batch in each thread, which runs the one-threaded engine."""

    def look(pixels: Pixels) -> tuple[Floats, ...]:
        turns = [engine(pixels[turn.start : turn.stop], outputs) for turn in chunks(len(pixels), TURN)]
        return tuple(np.concatenate([turn[name] for turn in turns]) for name in outputs)

    return map_ordered(look, batches, ahead=2)


def embed_batches(engine: Engine, batches: Iterable[Pixels]) -> Iterator[Floats]:
    """The embeddings (B, D) of each batch."""
    return (embedding for (embedding,) in run_batches(engine, batches, ("embedding",)))


@dataclass(frozen=True)
class Embedder:
    """What turns pictures into vectors.

    Args:
        body: The backbone behind its normalisation, in torch; left as it was found.
        backbone_name: Its name, for people.
        weights_hash: Of its state, as `models.weights.weights_hash` gives.
        preprocessing: From a decoded picture to its square.
        engine_name: Which engine runs it.
        passport: Of its weights, whose golden values are checked before they are converted.
    """

    body: PixelBackbone
    backbone_name: str
    weights_hash: str
    preprocessing: Preprocessing
    engine_name: str = "onnxruntime"
    passport: Passport | None = None

    @cached_property
    def space(self) -> Space:
        """The key of its vectors in the store."""
        scaling = [values.flatten().tolist() for values in (self.body.shift, self.body.scale)]  # type: ignore[operator]
        network = hash_json([_EXPORT_VERSION, self.weights_hash, scaling, *(["centred"] if self.body.centred else [])])
        return Space(network, self.preprocessing.key, self.backbone_name)

    @cached_property
    def onnx(self) -> bytes:
        """The embedding model as an ONNX file: made once for each weights and size, then kept in the cache folder."""
        if self._kept.exists():
            return self._kept.read_bytes()
        if self.passport:
            from fovea.models.weights.golden import check_golden

            check_golden(self.body, self.passport)
        model = module_to_onnx(self.body, size_px=self.preprocessing.size_px)
        write_atomic(self._kept, model)
        return model

    @cached_property
    def engine(self) -> Engine:
        """The opened engine. A kept conversion that cannot be opened was damaged on the disk, and is made anew."""
        try:
            return open_engine(self.onnx, name=self.engine_name)
        except BundleError:
            self._kept.unlink(missing_ok=True)
            del self.onnx
            return open_engine(self.onnx, name=self.engine_name)

    @property
    def _kept(self) -> Path:
        name = re.sub(r"[^\w.-]+", "_", self.backbone_name)[-80:]  # models of other packages are called by paths
        return cache_folder() / "engines" / f"{name}-{self.preprocessing.size_px}-{self.space.weights_hash}.onnx"
