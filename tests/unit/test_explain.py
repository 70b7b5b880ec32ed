"""Explanations: the common exam, closed forms, networks of all kinds, and what cannot be explained."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.foreign import Gives, Own
from torch import nn
from torch.nn import functional as F

import fovea
from fovea.errors import BundleError, FoveaError, InputError, MissingExtra, UnknownName
from fovea.explain import METHODS, explain_picture, heat_of
from fovea.explain.network_subject import NetworkSubject
from fovea.explain.opening import open_subject
from fovea.models.backbone import create_backbone
from fovea.testing.exam import ExamFailed
from fovea.testing.explanations import check_method, methods_for

EXAMINED = ("fovea_tiny", "squeezenet1_0", "vit_tiny:size_px=32")
MANY_PASSES = {"rise", "occlusion", "scorecam", "ablationcam", "integrated_gradients", "smoothgrad"}
QUICK = {("fovea_tiny", name) for name in METHODS.names()} - {("fovea_tiny", name) for name in MANY_PASSES}
QUICK |= {("vit_tiny:size_px=32", "gradcam"), ("vit_tiny:size_px=32", "attention_rollout")}
CANNOT = {  # by design, not by what tracing finds
    "fovea_tiny": {"attention_rollout"},
    "squeezenet1_0": {"attention_rollout"},
    "vit_tiny:size_px=32": {"cam", "guided_backprop"},  # it reads a class token, and has no ReLUs
}
CASES = [
    pytest.param(backbone, name, marks=[] if (backbone, name) in QUICK else [pytest.mark.slow])
    for backbone in EXAMINED
    for name in METHODS.names()
]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


@pytest.mark.parametrize(("backbone", "name"), CASES)
def test_the_exam(backbone, name):
    assert check_method(name, backbone=backbone) is (name not in CANNOT[backbone])


def test_every_method_sits_the_exam_somewhere():
    assert set().union(*map(methods_for, ("fovea_tiny", "vit_tiny:size_px=32"))) == set(METHODS.names())
    assert len(METHODS) == 14


def test_the_exam_sees_a_model_that_was_touched(monkeypatch):
    def touching(subject, pixels, target, *, seed=0):
        subject.module.eval()
        subject.scores(pixels[None], target)
        parameter = next(subject.module.parameters())
        parameter.grad = torch.zeros_like(parameter)
        return np.ones((2, 2), np.float32)

    entry = METHODS["gradcam"]
    monkeypatch.setitem(METHODS._entries, "gradcam", type(entry)("gradcam", touching, entry.info, entry.where))
    with pytest.raises(ExamFailed, match="it changed modes, gradients"):
        check_method("gradcam", backbone="fovea_tiny")


def test_gradcam_is_the_papers_formula(pixels):
    """Against the formula written out, with torch's own gradients of the head's input."""
    network = Own().eval()
    x = torch.rand(1, 3, 24, 24)
    hidden = network.act(network.a(x))
    maps = F.relu(torch.cat([network.b(hidden), network.c(hidden)], 1)).detach().requires_grad_()
    network.head(maps.mean(dim=(2, 3)))[0, 1].backward()
    expected = F.relu((maps.grad.mean(dim=(2, 3), keepdim=True) * maps).sum(dim=1))[0].detach().numpy()
    found = explain_picture(NetworkSubject(network), x[0].permute(1, 2, 0).numpy(), target=1)
    assert found.layer == "c+relu"  # the concatenation behind the last convolution, rectified in place
    np.testing.assert_allclose(found.evidence, expected, rtol=1e-5, atol=1e-8)


class Shared(nn.Module):
    """One ReLU for the whole network; as a block within another the block's output is the last map."""

    def __init__(self, *, within: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.act = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 1, 1), nn.ReLU(inplace=True)
        self.head = None if within else nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.a(x))
        x = self.act(self.b(x) + x)
        return self.head(x.mean(dim=(2, 3))) if self.head else x


@pytest.mark.parametrize(("network", "layer"), [(Shared(within=False), "act"), (
    nn.Sequential(Shared(within=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)), "0",
)])  # fmt: skip
def test_a_module_that_is_used_twice_is_followed_at_its_last_call(network, layer):
    x = torch.rand(1, 3, 16, 16)
    block, head = (network, network.head) if layer == "act" else (network[0], network[3])
    with torch.no_grad():
        hidden = F.relu(block.a(x))
        maps = F.relu(block.b(hidden) + hidden)[0].numpy()
    weights = head.weight[1].detach().numpy()
    for method in ("gradcam", "cam"):
        found = explain_picture(NetworkSubject(network), x[0].permute(1, 2, 0).numpy(), method=method, target=1)
        expected = np.einsum("c,chw->hw", weights, maps)
        assert found.layer == layer
        if method == "gradcam":
            expected = np.maximum(expected, 0) / maps[0].size
        np.testing.assert_allclose(found.evidence, expected, rtol=1e-4, atol=1e-7)
    named = NetworkSubject(network, layer="act")
    assert explain_picture(named, x[0].permute(1, 2, 0).numpy(), target=1).heat.any()


class Given:
    """Stands for a network whose maps and gradients are known."""

    def __init__(self, maps, gradients=None):
        self.known, self.gradients = np.asarray(maps, np.float32), gradients

    def maps(self, pictures):
        return self.known[None]

    def maps_and_gradients(self, pixels, target):
        return self.known, self.gradients


@pytest.mark.parametrize("scale", [1.0, 1e-3, 20.0])
def test_gradcam_plus_plus_is_equation_19(scale, pixels):
    rng = np.random.default_rng(0)
    maps, gradients = rng.random((4, 3, 3)), rng.normal(size=(4, 3, 3)) * scale
    gradients[0, 0, 0] = 0
    expected = np.zeros((3, 3))
    for k in range(4):
        weight = 0.0
        for i in range(3):
            for j in range(3):
                g = gradients[k, i, j]
                alpha = g**2 / (2 * g**2 + maps[k].sum() * g**3) if g else 0.0
                weight += alpha * max(g, 0.0)
        expected += weight * maps[k]
    found = METHODS["gradcam_plus_plus"].build(Given(maps, gradients), pixels, 0)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=1e-4)


@pytest.mark.parametrize("shape", [(3, 40, 40), (30, 4, 5)])
def test_eigencam_of_a_fine_layer_solves_the_smaller_square(shape, pixels, monkeypatch):
    maps = np.random.default_rng(0).normal(size=shape).astype(np.float32) + 0.3
    left, values, _ = np.linalg.svd(maps.reshape(len(maps), -1).T.astype(np.float64), full_matrices=False)
    solved, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda square: solved.append(len(square)) or eigh(square))
    found = METHODS["eigencam"].build(Given(maps), pixels, 0)
    expected = left[:, 0] * values[0]
    np.testing.assert_allclose(found.ravel(), expected * np.sign(expected.sum()), rtol=1e-3, atol=1e-5)
    assert solved == [min(shape[0], shape[1] * shape[2])]


def test_cam_adds_up_to_the_score(pixels):
    network = Own().eval()
    found = explain_picture(NetworkSubject(network), pixels, method="cam", target=2)
    assert found.evidence.mean() == pytest.approx(found.score - network.head.bias[2].item(), rel=1e-4)
    other = NetworkSubject(Own(pooled=False))
    with pytest.raises(InputError, match="cam cannot explain this model"):
        explain_picture(other, pixels, method="cam")


def test_integrated_gradients_add_up(pixels):
    subject = NetworkSubject(Own())
    found = explain_picture(subject, pixels, method="integrated_gradients", target=0)
    black = subject.scores(np.zeros_like(pixels)[None], 0)[0]
    assert found.evidence.sum() == pytest.approx(found.score - black, rel=2e-2)


def test_occlusion_and_rise_find_the_only_place_that_counts():
    class Corner(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            inside = x[:, :, 2:8, 22:28].mean(dim=(1, 2, 3))
            return torch.stack([inside, 0.1 - inside], 1)

    pixels = np.full((32, 32, 3), 40, np.uint8)
    pixels[2:8, 22:28] = 250
    for method in ("occlusion", "rise", "gradients", "integrated_gradients"):
        heat = fovea.explain(Corner(), pixels, method=method, class_=0).heat
        row, column = np.unravel_index(heat.argmax(), heat.shape)
        assert 1 <= row <= 9, method
        assert 21 <= column <= 29, method


def test_guided_backprop_holds_back_what_is_negative():
    """One ReLU, two ways through it: by the rule only the way of positive weight carries back."""

    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen = F.relu(x.mean(dim=1))  # (B, H, W)
            return torch.stack([seen[:, 0, 0] - seen[:, 1, 1], seen[:, 1, 1]], 1)

    pixels = np.full((4, 4, 3), 0.5, np.float32)
    found = explain_picture(NetworkSubject(Two()), pixels, method="guided_backprop", target=0)
    plain = explain_picture(NetworkSubject(Two()), pixels, method="gradients", target=0)
    assert np.argwhere(found.evidence > 0).tolist() == [[0, 0]]
    assert np.argwhere(plain.evidence > 0).tolist() == [[0, 0], [1, 1]]


def test_rollout_reads_attention_however_it_is_written():
    class Attends(nn.Module):
        def __init__(self, how: str) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.how, self.patch = how, nn.Conv2d(3, 8, 4, 4)
            self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            tokens = self.patch(x).flatten(2).transpose(1, 2)
            if self.how == "module":
                return self.head((tokens + self.attend(tokens, tokens, tokens, need_weights=False)[0]).mean(dim=1))
            q, k, v = (
                F.linear(tokens, self.attend.in_proj_weight, self.attend.in_proj_bias).view(len(x), -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
            )
            seen = ((q @ k.transpose(-2, -1)) / 2).softmax(-1) @ v if self.how == "softmax" else F.scaled_dot_product_attention(q, k, v)
            return self.head((tokens + self.attend.out_proj(seen.transpose(1, 2).flatten(2))).mean(dim=1))

    pixels = np.random.default_rng(0).random((16, 16, 3)).astype(np.float32)
    found = [explain_picture(NetworkSubject(Attends(how)), pixels, method="attention_rollout") for how in ("module", "softmax", "function")]
    assert found[0].evidence.shape == (4, 4)
    for each in found[1:]:
        np.testing.assert_allclose(each.evidence, found[0].evidence, atol=1e-6)


def test_a_layer_may_be_named(pixels):
    named = explain_picture(NetworkSubject(Own(), layer="a"), pixels, target=0)
    assert named.layer == "a"
    assert named.evidence.shape == (12, 12)
    assert explain_picture(NetworkSubject(Own(), layer="c+relu"), pixels, target=0).layer == "c+relu"


@pytest.mark.parametrize("place", [(9, 9), (9, 38), (24, 24), (37, 12)])
def test_a_network_that_does_not_pad_points_where_it_looks(place):
    """Its outermost cells look at the picture's inside: a map that is merely stretched points beside the thing."""
    network = create_backbone("convnet", num_classes=2, variant="28")
    for conv in network.convs:
        conv.weight.data.zero_()
        conv.weight.data[:, :, 1, 1] = 1  # each cell sees its middle
        conv.bias.data.zero_()
    network.classifier.weight.data = torch.tensor([[1.0], [-1.0]]).expand(2, network.num_features).clone()
    pixels = np.zeros((48, 48, 3), np.float32)
    pixels[place] = 1
    heat = explain_picture(NetworkSubject(network), pixels, target=0).heat
    found = np.unravel_index(int(heat.argmax()), heat.shape)
    assert np.abs(np.subtract(found, place)).max() <= network.strides[-1]
    even = heat_of(np.ones((8, 8), np.float32), 48, 48, margins_px=((7, 9), (7, 9)))
    assert [even[24, x] for x in (0, 20, 47)] == pytest.approx([0.9, 1, 0.9])


def test_nothing_speaks_for_it():
    assert not heat_of(-np.ones((3, 3), np.float32), 6, 6).any()
    assert heat_of(np.eye(2, dtype=np.float32) * 5, 8, 8).max() == 1


def test_a_run_is_explained_through_its_backbone(probe_run, scratch_run, photos, tmp_path):
    """The head's and the backbone's parts joined: the network answers as the bundle does, and CAM with and without torch is the same."""
    picture = str(next((photos / "disc").iterdir()))
    for run in (probe_run, scratch_run):
        by_bundle = fovea.explain(str(run.bundle), picture, method="cam", class_="disc").explanations[0][1]
        opened = open_subject(str(run.path), method="gradcam")
        pixels = opened.bundle.prepare(Path(picture).read_bytes())
        by_torch = explain_picture(opened.subject, pixels, method="cam", target=1)
        np.testing.assert_allclose(by_bundle.heat, by_torch.heat, atol=1e-4)
        assert by_bundle.score == pytest.approx(by_torch.score, abs=1e-3)
        predicted = fovea.predict(str(run.bundle), picture).to_json()["predictions"][0]["probabilities"]
        assert dict(by_torch.top) == pytest.approx(predicted, abs=1e-4)


def test_the_command_writes_sheets_and_raw_heat(probe_run, photos, tmp_path, here):
    import cv2

    pictures = sorted((photos / "disc").iterdir())[:2]
    done = here(
        "explain",
        probe_run.path,
        *pictures,
        photos / "gone.png",
        "--method",
        "gradcam",
        "--class",
        "disc",
        "--out",
        tmp_path / "e",
        "--json",
    )
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert [row["target_name"] for row in answer["explanations"]] == ["disc", "disc"]
    assert [error["path"] for error in answer["errors"]] == [str(photos / "gone.png")]
    for row in answer["explanations"]:
        assert cv2.imread(str(tmp_path / "e" / row["sheet"])).shape[1] > 3 * 64
        with np.load(tmp_path / "e" / row["raw"], allow_pickle=False) as raw:
            assert raw["heat"].shape == (64, 64)
            assert raw["heat"].dtype == np.float32
    assert json.loads((tmp_path / "e" / "explanations.json").read_text()) == answer
    assert here("explain", probe_run.path, *pictures, "--out", tmp_path / "e").returncode == 2  # what is there stays


def test_a_bundle_is_explained_without_torch(probe_run, photos):
    picture = next((photos / "disc").iterdir())
    code = (
        "import sys; sys.modules['torch'] = None; sys.modules['onnx'] = None; import fovea;"
        f"print(fovea.explain({str(probe_run.bundle)!r}, {str(picture)!r}, method='cam').heat.max())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "1.0"


def test_maps_and_head_of_a_bundle_give_its_answers(probe_run, pixels):
    bundle = fovea.load_bundle(probe_run.bundle)
    square = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    found = bundle.engine(square)
    weight, bias = bundle.head
    np.testing.assert_allclose(found["features"].mean(axis=(2, 3)), found["embedding"], atol=1e-5 * np.abs(found["embedding"]).max())
    logits = found["features"].mean(axis=(2, 3)) @ weight.T + bias
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(shares / shares.sum(axis=1, keepdims=True), found["probabilities"], atol=1e-5)
    assert "features" not in bundle.outputs(square)


def test_the_weights_in_a_fovea_file_are_used(scratch_run, tmp_path):
    from fovea.bundle.archive import WEIGHTS, read_files, write_files

    files = read_files(scratch_run.bundle) | {WEIGHTS: (scratch_run.path / "checkpoint" / "best.safetensors").read_bytes()}
    write_files(tmp_path / "z.fovea", files)
    pixels = np.random.default_rng(0).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    heats = [fovea.explain(str(place), pixels).heat for place in (tmp_path / "z.fovea", scratch_run.path)]
    np.testing.assert_array_equal(*heats)
    write_files(tmp_path / "none.fovea", {name: content for name, content in files.items() if name != WEIGHTS})
    with pytest.raises(BundleError, match="holds none"):
        fovea.explain(str(tmp_path / "none.fovea"), pixels)
    write_files(tmp_path / "cut.fovea", files | {WEIGHTS: files[WEIGHTS][:500]})
    with pytest.raises(FoveaError):
        fovea.explain(str(tmp_path / "cut.fovea"), pixels)


@pytest.mark.parametrize("method", ["gradcam", "cam"])
def test_an_average_of_several_looks_is_no_network_to_follow(method, scratch_run, tmp_path):
    import shutil

    run = shutil.copytree(scratch_run.path, tmp_path / "averaged")
    for name in ("head.npz", "neighbours.npz"):
        (run / "bundle" / name).unlink()
    info = json.loads((run / "bundle" / "bundle.json").read_text())
    info["averaging"] = {"how": "single", "tta": "flips", "passes": 2}
    (run / "bundle" / "bundle.json").write_text(json.dumps(info))
    pixels = np.zeros((28, 28, 3), np.uint8)
    with pytest.raises(BundleError, match=f"{method} follows one network.*averages 2 such answers") as caught:
        fovea.explain(str(run), pixels, method=method)
    assert "name one of the runs that were averaged" in caught.value.fix
    assert "name the run folder" not in caught.value.fix
    with pytest.raises(InputError) as caught:
        fovea.explain(str(run), view="examples")
    assert "averaged" in caught.value.fix


def _text(values):
    return np.array(["a"] * values.size).reshape(values.shape)


@pytest.mark.parametrize(
    ("file", "name", "change"),
    [
        ("head.npz", "weight", lambda values: values[::-1]),
        ("head.npz", "bias", lambda values: values + np.float32(3) * np.arange(len(values), dtype=np.float32)),
        ("head.npz", "weight", lambda values: values * np.nan),
        ("head.npz", "weight", _text),
        ("head.npz", "weight", lambda values: values[:, 1:]),
        ("neighbours.npz", "embeddings", lambda values: values[:, 1:]),
        ("neighbours.npz", "embeddings", lambda values: values * np.nan),
        ("neighbours.npz", "embeddings", _text),
    ],
)
def test_parts_of_a_bundle_that_are_not_its_own_are_refused(file, name, change, scratch_run, tmp_path):
    from fovea.bundle.archive import pack_arrays, read_files, unpack_arrays, write_files

    files = read_files(scratch_run.bundle)
    arrays = unpack_arrays(files[file], path=tmp_path, name=file)
    files[file] = pack_arrays(arrays | {name: change(arrays[name])})
    write_files(tmp_path / "other", files)
    with pytest.raises(BundleError, match=f"{file} of the bundle") as caught:
        fovea.load_bundle(tmp_path / "other")
    assert "copy the whole bundle again" in caught.value.fix


def _without_weights(run, folder):
    import shutil

    return str(shutil.copytree(run.bundle, folder / "alone"))


def _without_maps(run, folder):
    path = folder / "alone" / "head.npz"
    _without_weights(run, folder)
    path.unlink()
    return str(folder / "alone")


class Astray(Own):
    def __init__(self) -> None:
        super().__init__()
        self.a.weight.data[0, 0, 0, 0] = np.nan


def _not_a_number():
    floats = np.zeros((24, 24, 3), np.float32)
    floats[3, 3] = np.nan
    return floats


BAD = [
    (lambda run, d: (Astray(), {"method": "cam"}), InputError, "NaN or infinity", "weights may hold NaN"),
    (lambda run, d: (Own(), {"pixels": _not_a_number()}), InputError, "the picture holds what is no number", "prepared"),
    (lambda run, d: (str(run.path), {"method": "cam"}), InputError, "takes pictures of 64 x 64 px", "prepare"),
    (lambda run, d: (str(run.path), {"method": "cam", "pixels": np.zeros((64, 64, 3), np.float32)}), InputError, "takes pictures of 64 x 64 px", "prepare"),
    (lambda run, d: (Own(), {"stage": 1}), InputError, "does not heed --stage", "--view"),
    (lambda run, d: (Own(), {"channel": 0}), InputError, "does not heed --channel", "--view"),
    (lambda run, d: (str(run.path), {"view": "maps", "method": "cam"}), InputError, "does not heed --method", "leave it out"),
    (lambda run, d: (str(run.path), {"view": "maps", "colours": "inferno"}), InputError, "does not heed --colours", "leave it out"),
    (lambda run, d: (str(run.path), {"view": "bogus"}), UnknownName, "no view is called 'bogus'\n.*\n.*examples", "choose one"),
    (lambda run, d: (str(run.path), {"view": "examples", "layer": "a"}), InputError, "does not heed --layer", "leave it out"),
    (lambda run, d: (str(run.path), {"view": "examples", "class_": 0}), InputError, "does not heed --class", "leave it out"),
    (lambda run, d: (str(run.path), {"view": "examples"}), InputError, "a view looks at picture files", "save the picture"),
    (lambda run, d: (str(run.path), {"view": "examples", "check": True}), InputError, "does not heed --check", "leave it out"),

    (lambda run, d: (Own(), {"method": "eigencam", "class_": 1}), InputError, "eigencam does not heed --class", "leave --class out"),
    (lambda run, d: (Own(), {"method": "rise", "layer": "act"}), InputError, "rise does not heed --layer", "leave --layer out"),
    (lambda run, d: (Own(), {"method": "rise", "seed": -1}), InputError, "a seed is no negative number", "another --seed"),
    (lambda run, d: (Own(), {"animate": "mp4", "out": str(d / "out")}), InputError, "no such moving picture", "choose one"),
    (lambda run, d: (Own(), {"class_": 1.5}), InputError, "that is no class", "name it"),
    (lambda run, d: (Gives(torch.no_grad()(lambda x: x.detach())), {}), InputError, "gradcam cannot explain this model", "integrated_gradients"),
    (lambda run, d: (Gives(lambda x: x @ torch.ones(7, 2)), {}), InputError, "the model cannot look at this picture", "as the model was trained"),
    (lambda run, d: (Own(), {"layer": "heads"}), UnknownName, "no layer is called 'heads'", "the last convolution is found"),

    (lambda run, d: (nn.Sequential(nn.Flatten(), nn.Linear(24 * 24 * 3, 2)), {}), InputError, "gradcam cannot explain this model", "integrated_gradients"),
    (lambda run, d: (Own(), {"layer": "actt"}), UnknownName, "no layer is called 'actt'", "act"),
    (lambda run, d: (Own(), {"layer": "head"}), InputError, "'head' does not lie in places", "convolution"),
    (lambda run, d: (Own(), {"class_": 3}), InputError, "there is no output 3: the model has 3", "leave it out"),
    (lambda run, d: (Own(), {"class_": -1}), InputError, "there is no output -1", "leave it out"),
    (lambda run, d: (Own(), {"pixels": np.zeros((1, 1, 3), np.uint8)}), InputError, "a picture of one pixel", "whole picture"),
    (lambda run, d: (Own(), {"pixels": np.zeros((8, 8), np.uint8)}), InputError, "that is no picture", "give one of these"),
    (lambda run, d: (Own(), {"pixels": "photo.jpg"}), InputError, "how a file becomes what this network takes", "give the arrays"),
    (lambda run, d: (Own(), {"method": "gradcamm"}), UnknownName, "no explanation method is called 'gradcamm'", "gradcam"),
    (lambda run, d: (nn.Conv2d(3, 2, 3), {}), InputError, "does not answer each picture with a row of numbers", "wrap it"),
    (lambda run, d: (3, {}), InputError, "that is no model", "fovea.explain"),
    (lambda run, d: (_without_weights(run, d), {"pixels": np.zeros((64, 64, 3), np.uint8)}), BundleError, "gradcam needs the network's weights", "name the run folder"),
    (lambda run, d: (_without_maps(run, d), {"method": "cam", "pixels": np.zeros((64, 64, 3), np.uint8)}), BundleError, "cam needs the network's weights", "eigencam"),
    (lambda run, d: (str(run.path), {"class_": "discc", "pixels": np.zeros((64, 64, 3), np.uint8)}), InputError, "no class is called 'discc'", "did you mean disc?"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "kind", "problem", "fix"), BAD, ids=[case[2][:40] for case in BAD])
def test_what_cannot_be_explained_is_said(make, kind, problem, fix, probe_run, tmp_path, pixels):
    model, options = make(probe_run, tmp_path)
    given = options.pop("pixels", pixels)
    with pytest.raises(kind, match=problem) as caught:
        fovea.explain(model, given, **options)
    assert isinstance(caught.value, FoveaError)
    assert fix in caught.value.fix


def test_a_file_of_one_pixel_is_named_and_stops_nothing(scratch_run, photos, tmp_path):
    from PIL import Image

    Image.new("RGB", (1, 1)).save(tmp_path / "dot.png")
    whole = str(min((photos / "disc").iterdir()))
    found = fovea.explain(str(scratch_run.bundle), str(tmp_path / "dot.png"), whole, method="cam")
    assert [path for path, _ in found.explanations] == [whole]
    [(_, error)] = found.errors
    assert "dot.png' is a picture of one pixel" in error.problem
    assert found.exit_code == 1


def test_a_check_of_a_run_makes_its_weights_random(scratch_run, photos):
    """Also for a method that the bundle alone would do for; of a bundle away from its run it is said that this was not tried."""
    picture = str(min((photos / "disc").iterdir()))
    check = fovea.explain(str(scratch_run.path), picture, method="cam", check=True).check
    assert check["cam"].randomised is not None
    assert "about 0 if the heat depends" in check.to_text()


def test_captum_by_name(pixels, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    with pytest.raises(MissingExtra, match="captum") as caught:
        fovea.explain(Own(), pixels, method="captum:DeepLift")
    assert caught.value.fix == "pip install captum"
