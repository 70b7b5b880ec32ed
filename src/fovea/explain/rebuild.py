"""The network in torch that a bundle was made of: backbone and head joined again, and compared with the bundle's own answers."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from fovea.bundle import Bundle
from fovea.bundle.archive import read_files, unpack_arrays
from fovea.bundle.bundle import ALLOWED, differences
from fovea.engines.to_onnx import read_head
from fovea.errors import BundleError
from fovea.evaluation.activation import activated
from fovea.models.backbone import BACKBONES, create_backbone, normalisation
from fovea.models.heads import Head
from fovea.models.network import Network, PixelBackbone, Published
from fovea.models.passport import METADATA_KEY, Passport, read_passport
from fovea.models.weights import load_weights
from fovea.types import Floats

_COMPARED = 2  # golden pictures that it is tried on


class _Dense(Head):
    """Dense layers with ReLU between them, from their numbers."""

    def __init__(self, layers: list[tuple[Floats, Floats]]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(weight.shape[1], weight.shape[0]) for weight, _ in layers)
        with torch.no_grad():
            for layer, (weight, bias) in zip(self.dense_layers(), layers, strict=True):
                layer.weight.copy_(torch.from_numpy(weight))
                layer.bias.copy_(torch.from_numpy(bias))

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        for index, layer in enumerate(self.layers):
            embedding = layer(torch.relu(embedding) if index else embedding)
        return embedding

    def dense_layers(self) -> list[nn.Linear]:
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]


def rebuild(bundle: Bundle, weights: Path) -> Network | Published:
    """Backbone and head of a bundle as one torch network.

    Args:
        bundle: Opened. Its head is read from its model, with the calibration in it.
        weights: The backbone's, with their passport: of the run, or the bundle's own; with a classifier where it has no other head.

    Raises:
        BundleError: The file is none of Fovea's, or the network answers otherwise than the bundle: they do not belong together.
        WeightsError: The file cannot be read.
    """
    files = read_files(bundle.path)
    layers, passport = read_head(files["model.onnx"]), _passport_of(weights)
    backbone = create_backbone(passport.backbone, num_classes=0 if layers else len(bundle.class_names), **passport.options)
    load_weights(backbone, weights)
    body = PixelBackbone(backbone, *normalisation(BACKBONES[passport.backbone].info, passport), centred=passport.centred)
    network = Network(body, _Dense(layers)) if layers else Published(body)
    network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    golden = unpack_arrays(files["golden.npz"], path=bundle.path)
    with torch.inference_mode():
        embedding, logits = network.answers(torch.from_numpy(golden["pixels"][:_COMPARED].astype(np.uint8)))
    answers = {"embedding": embedding.numpy(), bundle.task.answer: activated(bundle.task.activation, logits.numpy(), 1.0)}
    if told := differences(answers, {name: golden[name][:_COMPARED] for name in answers}):
        raise BundleError(
            f"the weights {str(weights)!r} are not those of the bundle {str(bundle.path)!r}",
            got=told,
            expected=ALLOWED,
            fix="name the run folder that the bundle was trained in",
        )
    return network


def _passport_of(weights: Path) -> Passport:
    try:
        with safe_open(weights, framework="np") as file:
            return read_passport((file.metadata() or {})[METADATA_KEY])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BundleError(
            f"the weights {str(weights)!r} do not say what network they are of", got=type(error).__name__, expected="a file that Fovea has written",
            fix="name the run folder as `fovea train` has left it",
        ) from error  # fmt: skip
