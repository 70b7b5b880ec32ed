"""What stored embeddings save: an epoch of a head on a frozen backbone, computed anew and from the store; and what bfloat16 saves."""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.harness.child import measured, our_environment
from benchmarks.harness.figures import Answer, Limit, Options, repeated

ASKS = (
    "How much faster is an epoch of a head that learns from stored embeddings (a frozen backbone, no augmentation) than one that computes them anew? And is "
    "training in bfloat16 faster than in float32?"
)
REPEATS = 5
NEEDS = ()

_SIDE_PX, _BATCH, _NUM_PICTURES, _NUM_BATCHES = 160, 32, 320, 4


def measure(options: Options) -> Answer:
    """Each turn in a process of its own.

    Raises:
        Failed: One of them did not end well.
    """
    from fovea.versions import versions

    stored, half = list[float](), list[float]()
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for turn in range(options.repeats):
            ended = measured(
                [sys.executable, "-m", "benchmarks.questions.stored_features"], environment=our_environment(folder / "cache"), folder=folder
            )
            said: dict[str, float] = json.loads(ended.output.splitlines()[-1])
            stored.append(said["recomputed"] / said["stored"])
            half.append(said["float32"] / said["bfloat16"])
            options.say(f"turn {turn + 1}: {said}")
    return Answer(
        figures=[
            repeated("an epoch computed anew / from stored embeddings", stored, "times", limit=Limit(50.0, "at least")),
            repeated("all layers, float32 / bfloat16", half, "times"),
        ],
        notes=[
            f"MobileNetV2 at {_SIDE_PX} px, batches of {_BATCH}. Epochs of `fit` on a linear head over {_NUM_PICTURES} pictures, once with the engine (ONNX Runtime, both "
            "cores) in front of it, as `--strategy frozen` has it with augmentation, and once from the array that it keeps without; augmentation and decoding are in neither.",
            f"bfloat16: `fit` of all layers, {_NUM_BATCHES} batches, after a first turn of each. A figure near 1 is no reason to give digits up: float32 is the default.",
        ],
        versions=versions("torch", "onnxruntime"),
    )


def stored() -> dict[str, float]:
    """Seconds of an epoch of a head on embeddings that are computed anew, and on stored ones."""
    import numpy as np
    import torch

    from fovea.embeddings.embedder import embed_batches
    from fovea.engines import open_engine
    from fovea.engines.to_onnx import module_to_onnx
    from fovea.loading.batches import ArrayBatches
    from fovea.models.backbone import create_backbone
    from fovea.models.heads import create_head
    from fovea.models.network import PixelBackbone
    from fovea.training.loop import fit
    from fovea.training.method import Method
    from fovea.training.standardise import Standardised
    from fovea.training.strategies.frozen import Embedded

    torch.manual_seed(0)
    body = PixelBackbone(create_backbone("mobilenet_v2"), (0.5,) * 3, (0.5,) * 3)
    engine = open_engine(module_to_onnx(body, size_px=_SIDE_PX), name="onnxruntime")
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (_NUM_PICTURES, _SIDE_PX, _SIDE_PX, 3), dtype=np.uint8)
    targets = rng.integers(0, 2, _NUM_PICTURES)
    vectors = np.concatenate(list(embed_batches(engine, np.array_split(pixels, _NUM_PICTURES // _BATCH))))
    scale = Standardised(vectors)
    kept = ArrayBatches(scale.apply(vectors), targets, batch_size=_BATCH, shuffle=True)
    anew = Embedded(ArrayBatches(pixels, targets, batch_size=_BATCH, shuffle=True), engine, scale)

    def an_epoch(train: object, epochs: int) -> float:
        head = create_head("linear", num_features=body.backbone.num_features, num_classes=2)
        history = fit(head, train, ArrayBatches(vectors[:0], targets[:0]), method=Method(epochs=epochs, lr=1e-4))  # type: ignore[arg-type]
        return min(row.seconds for row in history if row.split == "train")

    return {"recomputed": an_epoch(anew, 2), "stored": an_epoch(kept, 10)}


def whole() -> dict[str, float]:
    """Seconds of an epoch of all layers, in either precision."""
    import numpy as np
    import torch

    from fovea.loading.batches import ArrayBatches
    from fovea.models.backbone import create_backbone
    from fovea.models.heads import create_head
    from fovea.models.network import Network, PixelBackbone
    from fovea.training.loop import fit
    from fovea.training.method import Method, Precision

    torch.manual_seed(0)
    body = PixelBackbone(create_backbone("mobilenet_v2"), (0.5,) * 3, (0.5,) * 3)
    network = Network(body, create_head("linear", num_features=body.backbone.num_features, num_classes=2))
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(_BATCH * _NUM_BATCHES, _SIDE_PX, _SIDE_PX, 3)).astype(np.float32)
    train = ArrayBatches(pixels, rng.integers(0, 2, len(pixels)), batch_size=_BATCH)
    nothing = ArrayBatches(pixels[:0], np.zeros(0, np.int64))

    def an_epoch(precision: Precision) -> float:
        method = Method(epochs=2, lr=1e-5, precision=precision)
        return [row.seconds for row in fit(network, train, nothing, method=method) if row.split == "train"][-1]

    return {"float32": an_epoch("float32"), "bfloat16": an_epoch("bfloat16")}


if __name__ == "__main__":
    print(json.dumps(stored() | whole()))
