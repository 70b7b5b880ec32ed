"""Weights as they are: bundled with their own classifier, and refused where the network answers otherwise than when they were measured."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fovea
from fovea.errors import WeightsError
from fovea.models.backbone import create_backbone
from fovea.models.network import PixelBackbone
from fovea.models.passport import Passport
from fovea.models.weights import save_weights
from fovea.models.weights.golden import check_golden, golden_picture, golden_values

_HALF = (0.5, 0.5, 0.5)
_NAMES = ("ant", "bee", "cat")


def _published(folder: Path, backbone: str, options: dict[str, Any], *, stated: dict[str, Any]) -> tuple[Path, Passport]:
    """A file of random weights whose passport states golden values, and something else that may be wrong."""
    torch.manual_seed(1)
    network = create_backbone(backbone, num_classes=len(_NAMES), **options).eval()
    size_px = 64
    passport = Passport(
        name="drawn", sha256="", licence="none", trained_on="nothing", image_size_px=size_px, score="none", class_names=_NAMES,
        backbone=backbone, options=options, mean=(0.4, 0.5, 0.6), std=_HALF,
    )  # fmt: skip
    golden = golden_values(PixelBackbone(network, (0.4, 0.5, 0.6), _HALF), size_px)
    passport = replace(passport, golden=golden, **stated)
    return save_weights(network, folder / f"{backbone}.safetensors", passport), passport


@pytest.mark.parametrize("backbone", ["mobilenet_v2", "squeezenet1_0"])
def test_published_weights_become_a_bundle(backbone: str, tmp_path: Path) -> None:
    """Also where the classifier is no dense layer on the embedding."""
    path, passport = _published(tmp_path, backbone, {}, stated={})
    bundle = fovea.bundle(backbone, weights=str(path), out=str(tmp_path / "bundle"))
    assert tuple(bundle.class_names) == _NAMES
    torch.manual_seed(1)
    network = PixelBackbone(create_backbone(backbone, num_classes=len(_NAMES)).eval(), passport.mean or _HALF, _HALF)
    pixels = np.stack([golden_picture(64), golden_picture(64)[::-1]])
    with torch.inference_mode():
        embedding, logits = network.answers(torch.from_numpy(pixels.copy()))
    answers = bundle.outputs(pixels)
    np.testing.assert_allclose(answers["probabilities"], logits.softmax(1).numpy(), atol=1e-4)
    np.testing.assert_allclose(answers["embedding"], embedding.numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("stated", "options"),
    [
        ({"mean": (0.6, 0.5, 0.4)}, {}),  # blue and red exchanged
        ({"std": (0.51, 0.5, 0.5)}, {}),
        ({"std": (1 / 255, 1 / 255, 1 / 255)}, {}),
        ({"centred": True}, {}),
        ({"options": {"padding": "same"}}, {}),
        ({"options": {}}, {"padding": "same"}),
    ],
    ids=["channels", "scale", "levels", "centred", "same", "symmetric"],
)
def test_a_wrong_preprocessing_is_caught(stated: dict[str, Any], options: dict[str, Any], tmp_path: Path) -> None:
    path, _ = _published(tmp_path, "mobilenet_v2", options, stated=stated)
    with pytest.raises(WeightsError, match="answers otherwise than when they were measured"):
        fovea.bundle("mobilenet_v2", weights=str(path), out=str(tmp_path / "bundle"))
    assert not (tmp_path / "bundle" / "model.onnx").exists()


def test_it_is_caught_before_anything_is_learned(tmp_path: Path) -> None:
    path, _ = _published(tmp_path, "mobilenet_v2", {}, stated={"std": (0.4, 0.5, 0.5)})
    with pytest.raises(WeightsError, match="answers otherwise"):
        fovea.train("shapes", out=str(tmp_path / "run"), strategy="probe", backbone="mobilenet_v2", weights=str(path), image_size=64)


def test_the_order_of_channels_is_caught() -> None:
    torch.manual_seed(0)
    network = PixelBackbone(create_backbone("squeezenet1_0").eval(), _HALF, _HALF)
    golden = golden_values(network, 64)
    passport = Passport(name="x", sha256="", licence="", trained_on="", image_size_px=64, score="", golden=golden)
    check_golden(network, passport)
    network.backbone.bgr = True  # type: ignore[assignment]
    with pytest.raises(WeightsError, match="order of channels"):
        check_golden(network, passport)
    assert network.training, "left as it was"
