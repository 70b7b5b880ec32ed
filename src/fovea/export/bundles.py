"""Writes bundles: nothing is written unless torch and the engine agree on real pictures."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn

from fovea.bundle.archive import WEIGHTS, pack_arrays, write_files
from fovea.bundle.bundle import ALLOWED, FEATURES, HEAD_FILE, TOLERANCE, differences
from fovea.bundle.format import BundleInfo, Calibration, Output, TrainingData
from fovea.bundle.neighbours import FILE as NEIGHBOURS_FILE
from fovea.bundle.neighbours import Neighbours
from fovea.bundle.refusal import FILE as REFUSAL_FILE
from fovea.engines import open_engine
from fovea.engines.to_onnx import OPSET, append_head, show_maps
from fovea.errors import ParityError
from fovea.evaluation.answers import Answering
from fovea.export.card import card
from fovea.files import json_text, printable
from fovea.models.averaged import Averaged
from fovea.models.modes import evaluating, one_thread
from fovea.models.network import Network, Published
from fovea.tasks import Task
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import FeatureMaps, Floats, Pixels
from fovea.versions import versions

Arrays = Pixels | Floats
_ACTIVATIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": partial(torch.softmax, dim=1),
    "sigmoid": torch.sigmoid,
    "identity": lambda logits: logits,
}

NUM_GOLDEN = 4  # pictures that travel with a bundle and are run at every load: a few milliseconds
NUM_COMPARED = 8  # pictures on which torch and the engine must agree before anything is written
_TURN = 4  # pictures that torch answers at once: four turns of 4 take half the time of one of 16 (2 cores, MobileNetV2)


@contextmanager
def _maps_kept(network: Network | Published | Averaged) -> Iterator[list[torch.Tensor]]:
    """The coarsest maps of each pass within the block; none of several networks at once, or of one whose embedding is no mean."""
    kept: list[torch.Tensor] = []
    if isinstance(network, Averaged) or network.body.backbone.pooling not in (None, "avg"):
        yield kept
        return
    backbone = network.body.backbone
    look = backbone.forward_maps

    def looked(x: torch.Tensor) -> FeatureMaps:
        maps = look(x)
        kept.append(maps[-1])
        return maps

    backbone.forward_maps = looked  # type: ignore[method-assign]
    try:
        yield kept
    finally:
        del backbone.forward_maps


@dataclass(frozen=True)
class Trained:
    """A trained model in its parts: what a bundle is made of.

    Args:
        network: In torch: the reference.
        onnx: Its body, exported: pixels -> embedding; of a `Published` or `Averaged` one pixels -> embedding and logits.
        backbone_name: Its name in the registry.
        answering: What stands between its logits and its answers.
        preprocessing: From a decoded picture to the network's square.
        task: What the outputs mean.
        licences: Of the weights it started from.
    """

    network: Network | Published | Averaged
    onnx: bytes
    backbone_name: str
    answering: Answering
    preprocessing: Preprocessing
    task: Task
    licences: tuple[str, ...] = ()

    def reference(self, pixels: Pixels) -> tuple[dict[str, Floats], Floats | None]:
        """Torch's answer: uint8 (B, S, S, 3) -> the task's answers (B, K) and embedding (B, D). The network is left as found.

        Beside it the backbone's coarsest maps (B, C, h, w), where a linear head reads their means over places; else None.
        """
        with evaluating(self.network), torch.inference_mode(), one_thread(), _maps_kept(self.network) as kept:
            turns = [self.network.answers(turn) for turn in torch.split(torch.from_numpy(pixels), _TURN)]
            embedding, logits = (torch.cat(parts) for parts in zip(*turns, strict=True))
            answers = _ACTIVATIONS[self.task.activation](self._calibrated(logits))
            found = {self.task.answer: answers.numpy(), "embedding": embedding.numpy()}
            if not kept or _linear_head(self) is None:
                return found, None
            maps: Floats = torch.cat(kept).numpy()
        means = maps.mean(axis=(2, 3)) if maps.ndim == 4 else maps
        size = float(np.abs(found["embedding"]).max())
        same = means.shape == embedding.shape and np.allclose(means, found["embedding"], rtol=1e-4, atol=1e-4 * size)
        return found, maps if same else None

    def margins_px(self, cells: int, side_px: int) -> tuple[int, int]:
        """Pixels of the side that lie under no cell of the maps, before the first and behind the last."""
        return (0, 0) if isinstance(self.network, Averaged) else self.network.body.backbone.margins_of(cells, side_px)

    def _calibrated(self, logits: torch.Tensor) -> torch.Tensor:
        calibration = self.answering.calibration
        logits = logits / calibration.temperature
        if calibration.scale is None or calibration.shift is None:
            return logits
        return logits * torch.tensor(calibration.scale) + torch.tensor(calibration.shift)


def write_bundle(
    path: Path,
    trained: Trained,
    *,
    pictures: Pixels,
    strategy: str,
    training_data: TrainingData | None = None,
    metrics: Mapping[str, object] | None = None,
    settled: Mapping[str, object] | None = None,
    averaging: Mapping[str, object] | None = None,
    neighbours: Neighbours | None = None,
    weights: bytes | None = None,
    private: bool = False,
) -> Path:
    """Makes a bundle, compares it with torch, and writes it.

    Args:
        path: A folder, or a file name that ends in `.fovea`.
        trained: The model.
        pictures: uint8 (N, S, S, 3), real ones of the data, on which torch and the engine must agree.
        strategy: How it was trained.
        training_data, metrics: For the card and `bundle.json`.
        settled: What the task decided on validation.
        averaging: What is averaged inside the model, where anything is.
        neighbours: Training pictures to explain by example with.
        private: No picture travels with it: those of `golden.npz` are drawn, and neighbours stay out.
        weights: The backbone's, with their passport, where they travel with it.

    Raises:
        ParityError: The engine answers differently; nothing was written.
    """
    layers = trained.network.head.arrays() if isinstance(trained.network, Network) else []
    answering, task = trained.answering, trained.task
    model = append_head(
        trained.onnx, _scaled(layers, answering.calibration), temperature=answering.calibration.temperature, answer=task.answer, activation=task.activation
    )  # fmt: skip
    if private:
        pictures, neighbours = np.concatenate([_drawn(pictures.shape[1]), pictures[: NUM_COMPARED - NUM_GOLDEN]]), None
    pictures = pictures[:NUM_COMPARED]
    expected, maps = trained.reference(pictures)
    shown = show_maps(model, maps.shape[1:]) if maps is not None else None
    model, maps = (shown, maps) if shown else (model, None)
    golden = _agreed(trained, model, pictures, expected if maps is None else expected | {FEATURES: maps})
    outputs = trained.task.outputs(golden["embedding"].shape[1])
    if maps is not None:
        meaning = "the last maps; their means over places are the embedding"
        margins = trained.margins_px(maps.shape[2], pictures.shape[1])
        outputs[FEATURES] = {"shape": ["B", *maps.shape[1:]], "meaning": meaning, "margins_px": margins}
    info = BundleInfo(
        task=trained.task.name,
        class_names=list(trained.task.class_names),
        preprocessing=trained.preprocessing,
        outputs={name: Output(**output) for name, output in outputs.items()},
        calibration=answering.calibration,
        conformal=answering.conformal,
        refusal=answering.refusal.to_json() if answering.refusal else None,
        backbone=trained.backbone_name,
        strategy=strategy,
        training_data=training_data or TrainingData(),
        metrics=dict(metrics or {}),
        settled=dict(settled or {}),
        averaging=None if averaging is None else dict(averaging),
        licences=list(trained.licences),
        versions=versions("fovea", "numpy", "onnx", "onnxruntime", "torch"),
        opset=OPSET,
    )
    files = {
        "model.onnx": model,
        "golden.npz": pack_arrays({name: values[:NUM_GOLDEN] for name, values in golden.items()}),
        **({REFUSAL_FILE: pack_arrays(answering.refusal.arrays(), compressed=False)} if answering.refusal else {}),
        **({NEIGHBOURS_FILE: pack_arrays(neighbours.arrays(), compressed=False)} if neighbours else {}),
        **({HEAD_FILE: pack_arrays(_shipped_head(trained), compressed=False)} if maps is not None else {}),
        **({WEIGHTS: weights} if weights else {}),
        "README.md": printable(card(info, kept=_kept(training_data, answering, neighbours, private=private))).encode(),
        "bundle.json": json_text(info.to_json(), indent=2).encode(),
    }
    return write_files(path, files)


def _kept(training_data: TrainingData | None, answering: Answering, neighbours: Neighbours | None, *, private: bool) -> str:
    """What of the training pictures is in the files of a bundle, in sentences for its card; "" where it has learned from none."""
    if not (training_data and training_data.num_files):
        return ""
    told = ["The pictures in `golden.npz` are drawn." if private else f"`golden.npz` holds {NUM_GOLDEN} training pictures."]
    if neighbours:
        told.append(f"`{NEIGHBOURS_FILE}` holds paths and labels of training pictures, and how the model sees them.")
    if answering.refusal:
        told.append(f"`{REFUSAL_FILE}` holds how the model sees some of them, without paths.")
    return " ".join([*told, "" if private else "`fovea train --private` leaves pictures and paths out."]).strip()


def _drawn(size_px: int) -> Pixels:
    """Pictures of coarse and fine squares in all colours, (4, S, S, 3), the same ones each time."""
    rng, found = np.random.default_rng(0), []
    for places in (4, 8, 16, 32)[:NUM_GOLDEN]:
        squares = rng.integers(0, 256, (places, places, 3), np.uint8)
        at = np.arange(size_px) * places // size_px
        found.append(squares[at][:, at])
    return np.stack(found)


def _scaled(layers: list[tuple[Floats, Floats]], calibration: Calibration) -> list[tuple[Floats, Floats]]:
    """The layers with the scale and shift of vector scaling in the last one, so that it remains to divide by the temperature."""
    if calibration.scale is None or calibration.shift is None:
        return layers
    if not layers:  # the model gives logits: a layer that scales each of them
        layers = [(np.eye(len(calibration.scale), dtype=np.float32), np.zeros(len(calibration.scale), np.float32))]
    (weight, bias), scale = layers[-1], np.asarray(calibration.scale)
    shifted = bias * scale + np.asarray(calibration.shift) * calibration.temperature
    return [*layers[:-1], ((weight * scale[:, None]).astype(np.float32), shifted.astype(np.float32))]


def _linear_head(trained: Trained) -> tuple[Floats, Floats] | None:
    """The only dense layer behind the embedding, (K, D) and (K,); None where there is another head."""
    if isinstance(trained.network, Network):
        layers = trained.network.head.arrays()
        return layers[0] if len(layers) == 1 else None
    if isinstance(trained.network, Averaged):
        return None
    backbone = trained.network.body.backbone
    layer = backbone.get_submodule(backbone.classifier_name)
    if not isinstance(layer, nn.Linear):
        return None
    bias = layer.bias if layer.bias is not None else torch.zeros(layer.out_features)
    return layer.weight.detach().float().numpy().copy(), bias.detach().float().numpy().copy()


def _shipped_head(trained: Trained) -> dict[str, Floats]:
    """The content of `head.npz`, with the calibration in it."""
    head, calibration = _linear_head(trained), trained.answering.calibration
    [(weight, bias)] = _scaled([head] if head else [], calibration)
    return {"weight": (weight / calibration.temperature).astype(np.float32), "bias": (bias / calibration.temperature).astype(np.float32)}


def _agreed(trained: Trained, model: bytes, pictures: Pixels, expected: Mapping[str, Floats]) -> dict[str, Arrays]:
    """The golden arrays: the pictures and torch's answers, once the engine has given the same."""
    answers = open_engine(model)(pictures, tuple(expected))
    told = differences(answers, expected)
    if told or not trained.task.agrees(dict(expected), answers, tolerance=TOLERANCE):
        raise ParityError(
            "the exported model answers differently from the one that was trained; no bundle was written",
            got=told or "another most probable class",
            expected=f"{ALLOWED}; and the same most probable class",
            fix="report this with the backbone's name and the versions of torch, onnx and onnxruntime",
        )
    return {"pixels": pictures, **expected}
