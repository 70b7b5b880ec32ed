"""How fast all layers of a network are fine-tuned: against Keras, and against the barest loop that torch allows."""

import json
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from benchmarks.harness.child import Failed, measured, our_environment, plain_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options, repeated
from benchmarks.harness.peers import PEERS, peer_python, peer_versions

ASKS = (
    "Fine-tuning all layers at 160 px, batches of 32: how many pictures a second does `training.loop.fit` train, against Keras on TensorFlow "
    "(`model.fit`) in turn, and against the barest torch loop (forward, backward, step) in the same process?"
)
REPEATS = 5
NEEDS = ()

_SIDE_PX, _BATCH, _NUM_BATCHES = 160, 32, 5
_NETWORKS = {"mobilenet_v2": ("MobileNetV2", Limit(2.0, "at least")), "resnet50": ("ResNet50", Limit(1.2, "at least"))}
_OWN_LOOP = Limit(0.97, "at least")


def measure(options: Options) -> Answer:
    """Peer and ours in turn, each in a process of its own.

    Raises:
        Failed: One of them did not end well.
    """
    from fovea.versions import versions

    python = peer_python("keras", chosen=options.peer_python, say=options.say)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for ours, (theirs, limit) in _NETWORKS.items():
            keras, fit, bare, plain = list[float](), list[float](), list[float](), list[float]()
            for pair in range(options.repeats):
                keras.append(_rate(_said([python, str(PEERS / "keras_finetune.py"), theirs, *_words()], plain_environment(), folder)))
                said = _said(
                    [sys.executable, "-m", "benchmarks.questions.finetune_speed", ours, *_words()],
                    our_environment(folder / "cache"),
                    folder,
                )
                fit.append(_rate({"pictures": said["pictures"], "seconds": said["fit"]}))
                bare.append(_rate({"pictures": said["pictures"], "seconds": said["bare"]}))
                plain.append(_rate({"pictures": said["pictures"], "seconds": said["plain"]}))
                options.say(f"{ours}, pair {pair + 1}: Keras {keras[-1]:.1f}, ours {fit[-1]:.1f}, barest {bare[-1]:.1f} pictures/s")
            figures += [
                repeated(f"{ours}: ours / Keras", [a / b for a, b in zip(fit, keras, strict=True)], "times", limit=limit, of="pairs"),
                repeated(
                    f"{ours}: ours / barest torch loop", [a / b for a, b in zip(fit, bare, strict=True)], "%", limit=_OWN_LOOP, of="pairs"
                ),
                repeated(f"{ours}: ours", fit, "pictures/s", of="pairs"),
                repeated(f"{ours}: the barest torch loop as people write it", plain, "pictures/s", of="pairs"),
                repeated(f"{ours}: Keras", keras, "pictures/s", of="pairs"),
            ]
    return Answer(
        figures=figures,
        notes=[
            f"Batches of {_BATCH} pictures in memory, {_NUM_BATCHES} a turn, Adam, float32, channels-last; a first turn of each is not counted. Batch norm learns "
            "in all of them. The barest torch loop runs with the memory setting of ours "
            "(`training.memory.reused_memory`), so that the ratio shows what our loop costs; and once without, as people write it."
        ],
        versions=versions("torch") | peer_versions(python, ["tensorflow-cpu", "keras"]),
    )


def _words() -> list[str]:
    return [str(_SIDE_PX), str(_BATCH), str(_NUM_BATCHES)]


def _said(words: list[str], environment: dict[str, str], folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(measured(words, environment=environment, folder=folder).output.splitlines()[-1])
    return found


def _rate(said: dict[str, float]) -> float:
    if not said["seconds"] > 0:
        raise Failed(f"no time was measured: {said}")
    return said["pictures"] / said["seconds"]


def ours(name: str, side: int, batch: int, batches: int) -> dict[str, float]:
    """Seconds of `fit` and of the barest loop for as many pictures."""
    import numpy as np
    import torch
    from torch.nn import functional as F

    from fovea.loading.batches import ArrayBatches
    from fovea.models.backbone import create_backbone
    from fovea.models.heads import create_head
    from fovea.models.network import Network, PixelBackbone
    from fovea.training.loop import fit
    from fovea.training.memory import reused_memory
    from fovea.training.method import Method

    torch.manual_seed(0)
    body = PixelBackbone(create_backbone(name), (0.5,) * 3, (0.5,) * 3)
    network = Network(body, create_head("linear", num_features=body.backbone.num_features, num_classes=2))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(batch * batches, side, side, 3)).astype(np.float32)  # normalised already, as a Loader gives them
    targets = rng.integers(0, 2, len(pixels))
    train = ArrayBatches(pixels, targets, batch_size=batch, shuffle=True)
    nothing = ArrayBatches(pixels[:0], targets[:0], batch_size=batch)

    def loop() -> float:
        started = time.perf_counter()
        fit(network, train, nothing, method=Method(epochs=1, lr=1e-5))
        return time.perf_counter() - started

    def barest(*, reused: bool) -> float:
        network.train()
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-5)
        started = time.perf_counter()
        with reused_memory() if reused else nullcontext():
            for index in range(batches):
                rows = slice(index * batch, (index + 1) * batch)
                loss = F.cross_entropy(network(torch.from_numpy(pixels[rows])), torch.from_numpy(targets[rows]))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            return time.perf_counter() - started

    barest(reused=False)  # torch chooses its kernels
    return {"pictures": float(len(pixels)), "plain": barest(reused=False), "fit": loop(), "bare": barest(reused=True)}


if __name__ == "__main__":
    print(json.dumps(ours(sys.argv[1], *map(int, sys.argv[2:5]))))
