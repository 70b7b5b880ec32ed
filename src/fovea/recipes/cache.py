"""Look at what Fovea keeps to be quick, and empty it."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.embeddings.store import EmbeddingStore
from fovea.errors import writing
from fovea.files import cache_folder
from fovea.loading.pixel_store import PixelStore


@dataclass(frozen=True)
class Cache:
    """What is kept, and where."""

    folder: Path
    num_vectors: int
    num_pictures: int
    num_decoded: int
    num_engines: int
    num_bytes: int
    cleared: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "num_vectors": self.num_vectors,
            "num_pictures": self.num_pictures,
            "num_decoded": self.num_decoded,
            "num_engines": self.num_engines,
            "bytes": self.num_bytes,
            "cleared": self.cleared,
        }

    def to_text(self) -> str:
        kept = (
            f"{self.num_vectors:,} embeddings, {self.num_pictures:,} checked pictures, {self.num_decoded:,} decoded ones and "
            f"{self.num_engines} compiled backbones, {self.num_bytes / 1e6:.1f} MB"
        )
        return f"{'cleared; now ' if self.cleared else ''}{kept}, in {self.folder}"


def cache(*, clear: bool = False) -> Cache:
    """Show what is kept on disk so that nothing is computed twice; it can be deleted at any time.

    Args:
        clear: Delete it all: only time is lost.

    Returns:
        How much is kept, after clearing.
    """
    folder = cache_folder()
    engines = folder / "engines"
    with EmbeddingStore() as store, PixelStore() as pixels:
        if clear:
            store.clear()
            pixels.clear()
            with writing(engines):
                shutil.rmtree(engines, ignore_errors=not engines.exists())
        size, decoded = store.size(), pixels.size()
    kept = list(engines.glob("*.onnx")) if engines.exists() else []
    num_bytes = size["bytes"] + decoded["bytes"] + sum(file.stat().st_size for file in kept)
    return Cache(folder, size["num_vectors"], size["num_pictures"], decoded["num_pictures"], len(kept), num_bytes, clear)
