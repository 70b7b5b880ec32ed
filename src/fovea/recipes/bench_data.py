"""Time the way of the pictures from the disk to the model."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.data import open_source
from fovea.errors import InputError
from fovea.loading.monitor import Pipeline, watch_pipeline
from fovea.loading.scaling import Scaling
from fovea.transforms import create_augmentation


@dataclass(frozen=True)
class DataTimes:
    """What each step takes, and which is the slowest."""

    pipeline: Pipeline
    num_listed: int
    list_s: float

    def to_json(self) -> dict[str, Any]:
        return {"list": {"pictures": self.num_listed, "seconds": self.list_s}} | self.pipeline.to_json()

    def to_text(self) -> str:
        return f"listed {self.num_listed:,} pictures in {self.list_s:.2f} s\n\n{self.pipeline.to_text()}"


def bench_data(
    data: str,
    *,
    image_size: int = 224,
    augment: str = "light",
    batch_size: int = 32,
    threads: int = 0,
    max_items: int = 1000,
    seed: int = 0,
) -> DataTimes:
    """Time each step between your disk and the model, and see which one makes it wait.

    Each step is timed alone with all threads at it: list, read, hash, decode, resize, keep (decoded pictures, for later
    epochs), fetch (them again), augment, collate (into a batch) and to float (normalised, as the network takes them); and
    mix, where --augment mixes pictures. Then come two whole epochs: the first, which decodes, and a further one. Nothing is
    kept of it afterwards.

    Args:
        data: As for `fovea train`.
        image_size: Side in pixels of the square that the network sees.
        augment: The preset, as for `fovea train`.
        batch_size: Pictures in a batch.
        threads: How many; 0 is one for each core.
        max_items: Of more pictures than this, so many are drawn at random.
        seed: Of everything that is drawn by chance.

    Returns:
        Seconds, bytes and share of each step, and the bottleneck of the first epoch and of further ones.

    Example:
        fovea bench-data photos/ --image-size 180 --augment standard
    """
    for option, value, least in (
        ("--image-size", image_size, 8),
        ("--batch-size", batch_size, 1),
        ("--threads", threads, 0),
        ("--max-items", max_items, 1),
    ):
        if value < least:
            raise InputError(
                f"{option} cannot be {value}", got=value, expected=f"{least} or more", fix=f"give {option} another value, or leave it out"
            )
    started = time.perf_counter()
    with open_source(data, seed=seed, for_training=False) as source:
        list_s, items = time.perf_counter() - started, source.items
        if len(items) > max_items:
            items = [items[place] for place in sorted(np.random.default_rng(seed).permutation(len(items))[:max_items])]
        pipeline = watch_pipeline(
            source, items, size_px=image_size, augmentation=create_augmentation(augment), augmentation_name=augment,
            scaling=Scaling.of([127.5] * 3, [1 / 127.5] * 3), batch_size=batch_size, threads=threads or None, seed=seed,
        )  # fmt: skip
        return DataTimes(pipeline, len(source.items), list_s)
