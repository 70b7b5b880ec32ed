"""Models of transformers as backbones: tiny ones, made here and saved; and what all families share."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import fovea
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import FoveaError, InputError, UnknownName, WeightsError
from fovea.models.backbone import BACKBONES, create_backbone, list_backbones
from fovea.models.families import _files
from fovea.models.family import FAMILIES
from fovea.models.hub import HubFile, Unreachable
from fovea.models.network import PixelBackbone
from fovea.models.weights import backbone_of, load_weights, resolve_weights
from fovea.testing.backbones import check_backbone, check_export

hf: Any = pytest.importorskip("transformers")

CONFIGS: dict[str, Any] = {
    "resnet": lambda: hf.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 1, 2], layer_type="basic"),
    "convnext": lambda: hf.ConvNextConfig(hidden_sizes=[8, 12, 16, 24], depths=[1, 1, 2, 1], image_size=64),
    "swin": lambda: hf.SwinConfig(embed_dim=8, depths=[1, 1, 2, 1], num_heads=[1, 2, 2, 4], image_size=64, window_size=4),
    "dinov2": lambda: hf.Dinov2Config(hidden_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14),
    "vit": lambda: hf.ViTConfig(
        hidden_size=24, num_hidden_layers=3, num_attention_heads=2, image_size=64, patch_size=16, intermediate_size=32
    ),
    "mobilenet_v2": lambda: hf.MobileNetV2Config(depth_multiplier=0.25, image_size=64),
}
MAPS = {  # channels and strides, by hand from the configurations
    "resnet": ((8, 12, 16, 24), (4, 8, 16, 32)),
    "convnext": ((8, 12, 16, 24), (4, 8, 16, 32)),
    "swin": ((8, 16, 32, 64), (4, 8, 16, 32)),
    "dinov2": ((24,), (14,)),
    "vit": ((24,), (16,)),
    "mobilenet_v2": ((1280,), (32,)),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One folder a model type, as save_pretrained writes it."""
    made = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for name, config in CONFIGS.items():
            made[name] = tmp_path_factory.mktemp("models") / name
            hf.AutoModel.from_config(config()).save_pretrained(made[name])
    return made


def test_a_family_is_a_file() -> None:
    assert {"timm", "transformers"} <= set(FAMILIES.names())
    assert not any(":" in name for name in list_backbones())


def test_the_core_imports_neither() -> None:
    code = "from fovea.models.family import FAMILIES; from fovea.models.backbone import BACKBONES; FAMILIES.names(); len(BACKBONES)"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}; print([n for n in ('timm', 'transformers') if n in sys.modules])"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize("kind", CONFIGS)
def test_exam(kind: str, folders: dict[str, Path]) -> None:
    name = f"transformers:{folders[kind]}"
    info = BACKBONES[name].info
    assert (info.channels, info.strides) == MAPS[kind]
    check_backbone(name)
    check_export(name)


@pytest.mark.parametrize("kind", CONFIGS)
def test_its_own_weights_give_its_own_answers(kind: str, folders: dict[str, Path]) -> None:
    """The coarsest map is the one that transformers itself computes from the folder."""
    name = f"transformers:{folders[kind]}"
    backbone = create_backbone(name).eval()
    found = resolve_weights(name)
    assert found is not None
    report = load_weights(backbone, found)
    assert not report.new
    assert not report.unused
    side = BACKBONES[name].info.image_size_px
    pictures = torch.randn(2, 3, side, side)
    config = CONFIGS[kind]()
    with torch.inference_mode():
        maps = backbone.forward_maps(pictures)
        if hasattr(config, "stage_names"):
            config.out_features = config.stage_names[-1:]
            own = type(hf.AutoBackbone.from_config(config)).from_pretrained(folders[kind], config=config).eval()
            expected = own(pictures).feature_maps[-1]
        else:
            expected = hf.AutoModel.from_pretrained(folders[kind]).eval()(pictures).last_hidden_state
            if expected.dim() == 3:
                expected = expected[:, 1:].transpose(1, 2).reshape(maps[-1].shape)
    torch.testing.assert_close(maps[-1], expected, rtol=1e-4, atol=1e-5)


def test_weights_saved_with_a_classifier(tmp_path: Path) -> None:
    """What only the feature maps have is told, where it does nothing as it was made."""
    hf.AutoModelForImageClassification.from_config(CONFIGS["convnext"]()).save_pretrained(tmp_path)
    name = f"transformers:{tmp_path}"
    found = resolve_weights(name)
    assert found is not None
    assert any("hidden_states_norms.stage1.bias" in note and "and 6 more" in note for note in found.notes)
    assert found.passport.backbone == name


def test_random_weights_are_of_the_seed(folders: dict[str, Path]) -> None:
    name = f"transformers:{folders['resnet']}"
    state = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        state.append(next(create_backbone(name).parameters()).clone())
    assert torch.equal(state[0], state[1])
    assert not torch.equal(state[0], state[2])
    before = torch.get_rng_state()
    assert BACKBONES[name].info.num_parameters > 0
    resolve_weights(name)
    assert torch.equal(torch.get_rng_state(), before)


def test_preprocessing_is_the_models_own(tmp_path: Path) -> None:
    hf.AutoModel.from_config(CONFIGS["resnet"]()).save_pretrained(tmp_path)
    said = {
        "image_mean": [0.4, 0.5, 0.6],
        "image_std": [0.2, 0.2, 0.4],
        "size": {"shortest_edge": 80},
        "crop_size": {"height": 64, "width": 64},
    }
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | {"resample": 3, "do_center_crop": True}))
    (tmp_path / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    info = BACKBONES[f"transformers:{tmp_path}"].info
    assert (info.image_size_px, info.mean, info.std, info.licence) == (64, (0.4, 0.5, 0.6), (0.2, 0.2, 0.4), "apache-2.0")
    found = resolve_weights(f"transformers:{tmp_path}")
    assert found is not None
    assert (found.passport.crop_fraction, found.passport.interpolation) == (0.8, "bicubic")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"rescale_factor": 1 / 127.5, "rescale_offset": True, "do_normalize": False})
    )
    info = BACKBONES[f"transformers:{tmp_path}"].info
    np.testing.assert_allclose((info.mean, info.std), ((0.5,) * 3, (0.5,) * 3))  # x / 127.5 - 1


@pytest.mark.slow
def test_the_batch_stays_open_in_its_export(folders: dict[str, Path]) -> None:
    for kind in ("vit", "dinov2", "swin"):
        name = f"transformers:{folders[kind]}"
        info = BACKBONES[name].info
        body = PixelBackbone(create_backbone(name).eval(), info.mean, info.std)
        pixels = np.random.default_rng(0).integers(0, 256, (5, info.image_size_px, info.image_size_px, 3), np.uint8)
        found = open_engine(module_to_onnx(body, size_px=info.image_size_px))(pixels, ("embedding",))["embedding"]
        with torch.inference_mode():
            np.testing.assert_allclose(found, body(torch.from_numpy(pixels)).numpy(), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_a_run_and_its_bundle(folders: dict[str, Path], tmp_path: Path) -> None:
    """Trained, shipped, predicted with; and the run's weights are taken up again by naming the run alone."""
    name = f"transformers:{folders['vit']}"
    run = fovea.train("digits", out=str(tmp_path / "run"), backbone=name, strategy="probe")
    assert run.metrics.backbone == name
    assert run.metrics.test is not None
    assert run.metrics.test.accuracy > 0.3, "ten classes, and random features"
    assert fovea.load_bundle(tmp_path / "run" / "bundle").info.backbone == name
    assert backbone_of(tmp_path / "run") == name
    again = fovea.train("digits", out=str(tmp_path / "again"), weights=str(tmp_path / "run"), strategy="probe")
    assert again.metrics.test == run.metrics.test


@pytest.mark.parametrize(
    ("name", "kind", "first", "fix"),
    [
        ("transfomers:x/y", UnknownName, "no family of backbones is called 'transfomers'", "did you mean transformers?"),
        (
            "transformers:",
            UnknownName,
            "'transformers:' names no model of the family transformers",
            "for example transformers:microsoft/resnet-18",
        ),
        ("transformers:./nothing-here", UnknownName, "'transformers:./nothing-here' names no model", "check the path"),
        ("transformers:nobody/nothing", WeightsError, "'transformers:nobody/nothing' is not at hand", "transformers:FOLDER"),
    ],
)
def test_names_that_lead_nowhere(name: str, kind: type[FoveaError], first: str, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(file: HubFile, **_: Any) -> Path:
        raise Unreachable("no network in this test")

    monkeypatch.setattr(_files, "fetch", offline)
    with pytest.raises(kind) as caught:
        create_backbone(name)
    assert caught.value.problem.startswith(first)
    assert fix in caught.value.fix


def test_from_the_hub(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Three files of a repository, at the revision that was named."""
    asked = []

    def fetch(file: HubFile, **_: Any) -> Path:
        asked.append((file.repo, file.revision, file.filename))
        path = folders["resnet"] / file.filename
        if not path.exists():
            raise WeightsError("the hub has no such file", got="", expected="", fix="")
        return path

    monkeypatch.setattr(_files, "fetch", fetch)
    found = resolve_weights("transformers:somebody/resnet-tiny@v1")
    assert found is not None
    assert found.passport.name == "somebody/resnet-tiny@v1"
    assert {(repo, revision) for repo, revision, _ in asked} == {("somebody/resnet-tiny", "v1")}
    assert {name for _, _, name in asked} == {"config.json", "preprocessor_config.json", "model.safetensors"}


def test_folders_that_hold_no_such_model(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        create_backbone(f"transformers:{tmp_path}")
    assert caught.value.problem == f"the folder {str(tmp_path)!r} holds no config.json"

    hf.BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1).save_pretrained(tmp_path)
    with pytest.raises(InputError) as refused:
        create_backbone(f"transformers:{tmp_path}")
    assert refused.value.problem == "models of the type 'bert' give no feature maps of pictures"

    config = json.loads((folders["resnet"] / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(WeightsError) as weights:
        resolve_weights(f"transformers:{tmp_path}")
    assert "holds no model.safetensors" in weights.value.problem

    (tmp_path / "model.safetensors").write_bytes((folders["vit"] / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError) as other:
        resolve_weights(f"transformers:{tmp_path}")
    assert "are not all there" in other.value.problem

    remote = config | {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Config", "AutoModel": "mine.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(remote))
    (tmp_path / "mine.py").write_text("raise SystemExit('code that came with a model was run')")
    with pytest.raises(InputError) as stranger:
        create_backbone(f"transformers:{tmp_path}")
    assert "without code from elsewhere" in stranger.value.expected
