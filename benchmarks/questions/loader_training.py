"""Does the model ever wait for its pictures? Training from the disk against the same loop on one batch that lies in memory."""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Failed, measured, our_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.places import PHOTOS, shared, warm_the_disk

ASKS = (
    "Training MobileNetV2 at 160 px from the disk, with the preset light: how much of the speed is left of the same loop on one fixed "
    "batch in memory? Both take turns in one process."
)
REPEATS = 15  # one pair differs from the next by a tenth and more
NEEDS = (PHOTOS,)

_SIZE_PX, _BATCH_SIZE = 160, 32
_NUM_BATCHES = 16  # a turn: about 13 seconds each where 40 pictures a second are trained


def measure(options: Options) -> Answer:
    """Asks a process of its own for all pairs.

    Raises:
        Skip: The photos are not here.
        Failed: The process did not end well.
    """
    photos = shared(PHOTOS) / "train"
    warm_the_disk([photos])
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        words = [sys.executable, "-m", "benchmarks.questions.loader_training", str(photos), str(options.repeats)]
        options.say(f"{options.repeats} pairs, about half a minute each")
        ended = measured(words, environment=our_environment(folder / "cache"), folder=folder)
    found: dict[str, Any] = json.loads(ended.output.splitlines()[-1])
    if found["num_pictures"] != _NUM_BATCHES * _BATCH_SIZE or len(found["disk"]) != options.repeats:
        raise Failed(f"not every picture was seen: {found}")
    pairs = list(zip(found["disk"], found["memory"], strict=True))
    return Answer(
        figures=[
            repeated(
                "from the disk / fixed batch", [memory / disk for disk, memory in pairs], "%", limit=Limit(0.95, "at least"), of="pairs"
            ),
            repeated("from the disk", [found["num_pictures"] / disk for disk, _ in pairs], "pictures/s", of="pairs"),
            repeated("fixed batch in memory", [found["num_pictures"] / memory for _, memory in pairs], "pictures/s", of="pairs"),
        ],
        notes=[
            f"`training.loop.fit`, Adam, batches of {_BATCH_SIZE}, {found['num_pictures']:,} pictures a turn; the decoded pictures are in the "
            "cache, as after a first epoch. Which of the two begins a pair alternates.",
        ],
        versions=_versions(),
    )


def _versions() -> dict[str, str]:
    from fovea.versions import versions

    return versions("torch", "opencv-python-headless")


def train(photos: str, pairs: int) -> dict[str, Any]:
    """What the measured process does: seconds of each turn."""
    import numpy as np
    import torch

    from fovea.data import open_source
    from fovea.loading.batches import Arrays, Batches
    from fovea.loading.loader import Loader
    from fovea.loading.margin import Margin
    from fovea.loading.pixel_store import PixelStore
    from fovea.loading.scaling import Scaling
    from fovea.loading.scan import scan
    from fovea.loading.stored import StoredPictures
    from fovea.models.backbone import create_backbone
    from fovea.models.heads import create_head
    from fovea.models.network import Network, PixelBackbone
    from fovea.training.loop import fit
    from fovea.training.method import Method
    from fovea.transforms import create_augmentation
    from fovea.transforms.preprocessing import square
    from fovea.types import Ints

    class Fixed(Batches):
        """The first batch of others, again and again."""

        def __init__(self, others: Batches) -> None:
            super().__init__(others.rows, others.targets, batch_size=others.batch_size, shuffle=False, seed=0)
            self.first = next(iter(others.epoch(0)))

        def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, Ints]]:
            for _ in range(len(self)):
                yield self.first  # type: ignore[misc]

    torch.manual_seed(0)
    body = PixelBackbone(create_backbone("mobilenet_v2"), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    head = create_head("linear", num_features=body.backbone.num_features, num_classes=2)
    network = Network(body, head).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with open_source(photos) as source:
        rng = np.random.default_rng(0)
        chosen = rng.permutation(len(source.items))[: _NUM_BATCHES * _BATCH_SIZE]
        seen = scan(source, [source.items[index] for index in chosen])
        targets = np.array([source.class_names.index(item.label or "") for item in seen.items])
        pictures = StoredPictures(PixelStore(), source, seen.items, seen.hashes, preprocessing=Margin(square(_SIZE_PX)))
        pictures.keep(known={})
        disk = Loader(
            pictures, np.arange(len(targets)), targets, batch_size=_BATCH_SIZE, size_px=_SIZE_PX,
            augmentation=create_augmentation("light"), scaling=Scaling.of([127.5] * 3, [1 / 127.5] * 3), shuffle=True, seed=0,
        )  # fmt: skip
        ways: dict[str, Batches] = {"disk": disk, "memory": Fixed(disk)}
        nothing = Fixed(disk)
        nothing.rows = np.zeros(0, np.int64)

        def turn(batches: Batches, seed: int) -> float:
            method = Method(epochs=1, lr=1e-4, seed=seed)
            started = time.perf_counter()
            fit(network, batches, nothing, method=method)
            return time.perf_counter() - started

        turn(ways["memory"], 0)  # the first one makes torch choose its kernels
        found: dict[str, Any] = {"disk": [], "memory": [], "num_pictures": disk.num_examples}
        for pair in range(pairs):
            for name in ("disk", "memory") if pair % 2 else ("memory", "disk"):
                found[name].append(turn(ways[name], pair + 1))
    return found


if __name__ == "__main__":
    print(json.dumps(train(sys.argv[1], int(sys.argv[2]))))
