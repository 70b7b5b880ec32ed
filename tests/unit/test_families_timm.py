"""Models of timm as backbones, where timm can be imported."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from fovea.errors import MissingExtra, UnknownName
from fovea.models.backbone import BACKBONES, create_backbone
from fovea.models.weights import load_weights, resolve_weights
from fovea.testing.backbones import check_backbone, check_export


def test_a_missing_package_gives_the_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtra) as caught:
        create_backbone("timm:resnet18d")
    assert caught.value.problem == "the backbone 'timm:resnet18d' needs the package 'timm', which is not installed"
    assert caught.value.fix == "pip install timm"


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except Exception as error:  # beside a CPU build of torch its torchvision may not load, and fails in ways of its own
        pytest.skip(f"timm cannot be imported here: {type(error).__name__}: {str(error).splitlines()[0]}")


@pytest.mark.parametrize(
    ("model", "channels", "strides"),
    [
        pytest.param("resnet18d", (64, 64, 128, 256, 512), (2, 4, 8, 16, 32), marks=pytest.mark.slow),
        ("test_efficientnet", (16, 24, 32, 48, 64), (2, 4, 8, 16, 32)),
        ("test_convnext", (24, 32, 48, 64), (4, 8, 16, 32)),
        ("test_vit", (64,), (16,)),
    ],
)
def test_exam_of_timm(model: str, channels: tuple[int, ...], strides: tuple[int, ...]) -> None:
    _timm()
    info = BACKBONES[f"timm:{model}"].info
    assert (info.channels, info.strides) == (channels, strides)
    check_backbone(f"timm:{model}")
    check_export(f"timm:{model}")


@pytest.mark.parametrize(("model", "size_px"), [("test_resnet", 96), ("test_vit", 160)])
def test_weights_of_timm(model: str, size_px: int, tmp_path: Path) -> None:
    """From a folder as its hub keeps them: the coarsest map is that of the whole network, at its last layer."""
    timm = _timm()
    from safetensors.torch import save_file

    whole = timm.create_model(model).eval()
    cfg = {"mean": [0.1, 0.2, 0.3], "std": [0.5, 0.5, 0.5], "input_size": [3, size_px, size_px], "license": "mit", "crop_pct": 0.9}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": model, "pretrained_cfg": cfg}))
    save_file(whole.state_dict(), tmp_path / "model.safetensors")
    name = f"timm:{tmp_path}"
    found = resolve_weights(name)
    assert found is not None
    assert (found.passport.licence, found.passport.crop_fraction, found.passport.mean) == ("mit", 0.9, (0.1, 0.2, 0.3))
    backbone = create_backbone(name).eval()
    load_weights(backbone, found)
    pictures = torch.randn(1, 3, size_px, size_px)
    with torch.inference_mode():
        expected = whole.forward_intermediates(pictures, norm=False, intermediates_only=True)[-1]
        torch.testing.assert_close(backbone.forward_maps(pictures)[-1], expected)


def test_timm_knows_no_such_model() -> None:
    _timm()
    with pytest.raises(UnknownName) as caught:
        create_backbone("timm:resnet18dd")
    assert "timm:resnet18d" in caught.value.fix
