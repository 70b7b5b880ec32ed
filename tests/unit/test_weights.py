"""Weights are found in the order that is promised, load whole or not at all, and every broken file is named in the error."""

import json
import pickle
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fovea.engines import open_engine
from fovea.engines.to_onnx import half_weights, module_to_onnx
from fovea.errors import UnknownName, WeightsError
from fovea.models import hub
from fovea.models.backbone import BACKBONES, Passport, create_backbone, normalisation
from fovea.models.classes import class_names_of
from fovea.models.network import PixelBackbone
from fovea.models.weights import LoadReport, backbone_of, candidates, find, load_weights, resolve_weights, save_weights, weights_hash
from fovea.models.weights.golden import check_golden

PASSPORT = Passport(
    name="mine",
    sha256="",
    licence="CC0-1.0",
    trained_on="six pictures",
    image_size_px=28,
    score="none",
    class_names=("a", "b"),
    options={"variant": "28"},
)


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No weights but the test's own, and no network."""
    from huggingface_hub import constants

    monkeypatch.delenv("FOVEA_WEIGHTS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def small(num_classes: int = 2, **options: Any) -> Any:
    return create_backbone("convnet", num_classes=num_classes, variant="28", **options).eval()


def same(first: torch.nn.Module, second: torch.nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def caught(path: Path | str, network: Any = None) -> WeightsError:
    with pytest.raises(WeightsError) as error:
        load_weights(network or small(), path)
    assert str(path) in error.value.problem or Path(path).name in error.value.problem
    return error.value


# --- saving and loading


def test_saved_and_loaded_with_its_passport(tmp_path: Path) -> None:
    first, second = small(), small()
    path = save_weights(first, tmp_path / "mine.safetensors", PASSPORT)
    report = load_weights(second, path)
    assert same(first, second)
    assert len(report.loaded) == 8
    assert (report.new, report.unused, report.notes) == ((), (), ())
    found = resolve_weights("convnet", path)
    assert found is not None
    assert found.where == "path"
    assert found.notes == ()
    assert class_names_of(found.passport) == ("a", "b")
    assert (found.passport.options, found.passport.licence) == ({"variant": "28"}, "CC0-1.0")
    assert len(found.passport.sha256) == 64
    assert "mine" in found.said
    assert str(path) in found.said


def test_the_same_network_is_the_same_file(tmp_path: Path) -> None:
    network = small()
    paths = [save_weights(network, tmp_path / name, PASSPORT) for name in ("1.safetensors", "2.safetensors")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(tmp_path: Path, dtype: torch.dtype) -> None:
    source, network = small(), small()
    save_file({name: tensor.to(dtype) for name, tensor in source.state_dict().items()}, tmp_path / "w.safetensors")
    load_weights(network, tmp_path / "w.safetensors")
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, source.state_dict()[name].to(dtype).float())


def test_the_classifier_can_be_left_out(tmp_path: Path) -> None:
    source = small(5)
    path = save_weights(source, tmp_path / "five.safetensors", PASSPORT)
    head = ("classifier.weight", "classifier.bias")

    bare = small(0)
    report = load_weights(bare, path)
    assert (report.new, set(report.unused)) == ((), set(head))

    two = small(2)
    before = two.classifier.weight.clone()
    report = load_weights(two, path, drop_classifier=True)
    assert (report.new, set(report.unused)) == (head, set(head))
    assert torch.equal(two.classifier.weight, before)
    assert torch.equal(two.convs[0].weight, source.convs[0].weight)

    without = save_weights(bare, tmp_path / "bare.safetensors", PASSPORT)
    report = load_weights(small(2), without)
    assert (report.new, report.unused) == (head, ())


def test_the_report_speaks_and_is_json(tmp_path: Path) -> None:
    report = LoadReport(path="w.safetensors", loaded=("a", "b"), new=("c",), unused=("d", "e"), notes=("half of it is guessed",))
    assert report.to_text() == "loaded 2 of 3 tensors from w.safetensors\n  new: c\n  unused: d, e\n  note: half of it is guessed"
    assert json.loads(json.dumps(report.to_json()))["unused"] == ["d", "e"]


# --- what does not fit


def test_another_number_of_classes(tmp_path: Path) -> None:
    path = save_weights(small(5), tmp_path / "five.safetensors", PASSPORT)
    network = small(2)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    error = caught(path, network)
    assert error.problem == f"the weights are for 5 classes and the network has 2: {str(path)!r}"
    assert (error.got, error.expected) == ("classifier.weight (5, 256)", "classifier.weight (2, 256)")
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_another_shape(tmp_path: Path) -> None:
    tensors = small().state_dict()
    tensors["convs.0.weight"] = torch.zeros(64, 3, 3, 3)
    save_file(tensors, tmp_path / "colour.safetensors")
    error = caught(tmp_path / "colour.safetensors")
    assert error.problem.startswith("the weights are of another architecture: ")
    assert (error.got, error.expected) == ("convs.0.weight (64, 3, 3, 3)", "convs.0.weight (64, 1, 3, 3)")


def test_another_architecture_is_recognised(tmp_path: Path) -> None:
    path = save_weights(create_backbone("resnet34", num_classes=10), tmp_path / "w.safetensors", PASSPORT)
    error = caught(path, create_backbone("resnet18"))  # every tensor of an 18 is in a 34, with the same shape
    assert error.fix == "choose --backbone resnet34"
    assert "have no place" in error.got
    error = caught(path, create_backbone("mobilenet_v2"))
    assert error.fix == "choose --backbone resnet34"
    assert (error.got, error.expected) == ("bn1.weight (64,)", "bn1.weight (32,)")


def test_old_files_without_counters(tmp_path: Path) -> None:
    network = create_backbone("resnet18")
    tensors = {name: tensor for name, tensor in network.state_dict().items() if not name.endswith("num_batches_tracked")}
    save_file(tensors, tmp_path / "w.safetensors")
    report = load_weights(create_backbone("resnet18"), tmp_path / "w.safetensors")
    assert len(report.loaded) == len(tensors)
    assert all(name.endswith("num_batches_tracked") for name in report.new)


def test_quantised_numbers(tmp_path: Path) -> None:
    save_file({name: tensor.to(torch.int8) for name, tensor in small().state_dict().items()}, tmp_path / "w.safetensors")
    assert caught(tmp_path / "w.safetensors").got == "integers in convs.0.weight"


# --- broken files


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = save_weights(small(), tmp_path / "whole.safetensors", PASSPORT).read_bytes()
    header = int.from_bytes(whole[:8], "little") + 8
    for length in (1, 7, 8, 20, header - 1, header, header + 5, len(whole) // 2, len(whole) - 1):
        path = tmp_path / f"cut{length}.safetensors"
        path.write_bytes(whole[:length])
        assert caught(path).problem == f"the weights file {str(path)!r} is broken or cut short"
    path = tmp_path / "text.safetensors"
    for content, got in (
        (b"this is no weights file at all", ""),
        (b"<!doctype html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "the pointer that git keeps"),
        (pickle.dumps({"a": 1}), "a file that torch.save wrote"),
    ):
        path.write_bytes(content)
        assert got in caught(path).got


def test_empty_missing_folder_and_strange(tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    assert caught(tmp_path / "empty.safetensors").got == "0 bytes"
    assert caught(tmp_path / "none.safetensors").got == "no such file"
    assert caught(tmp_path).got == "a folder"
    (tmp_path / "w.ckpt").write_bytes(b"\x89HDF")
    assert caught(tmp_path / "w.ckpt").got == "a file ending in '.ckpt'"


def test_torch_files(tmp_path: Path) -> None:
    source, network = small(), small()
    torch.save(source.state_dict(), tmp_path / "plain.pth")
    assert load_weights(network, tmp_path / "plain.pth").notes == ()
    assert same(source, network)

    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in source.state_dict().items()}, "epoch": 3}, tmp_path / "run.pt")
    network = small()
    report = load_weights(network, tmp_path / "run.pt")
    assert same(source, network)
    assert "'state_dict'" in report.notes[0]
    assert "'module.'" in report.notes[1]
    found = resolve_weights("convnet", tmp_path / "run.pt")
    assert found is not None
    assert "carries no passport" in found.notes[0]


class _Boom:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was run",))


def test_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"state_dict": small().state_dict(), "args": _Boom()}, tmp_path / "evil.pth")
    (tmp_path / "old.pth").write_bytes(pickle.dumps(_Boom(), protocol=2))
    torch.save(small(), tmp_path / "module.pt")
    for name in ("evil.pth", "old.pth", "module.pt"):
        error = caught(tmp_path / name)
        assert error.got == "a pickle, which can run any code when it is opened", name


def test_broken_torch_files(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:5000])
    assert "broken or cut short" in caught(tmp_path / "cut.pth").problem
    (tmp_path / "text.pth").write_text("no weights")
    assert "no file that torch.save wrote" in caught(tmp_path / "text.pth").problem
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    assert caught(tmp_path / "epoch.pth").got == "dict of epoch"
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    assert caught(tmp_path / "tensor.pth").got == "Tensor"


# --- the hash


def test_the_hash_sees_what_matters() -> None:
    network = small()
    first = weights_hash(network)
    assert len(first) == 40
    assert weights_hash(network.to(memory_format=torch.channels_last).train()) == first
    with torch.no_grad():
        network.convs[1].weight[3, 2, 1, 0] += 1e-6
    assert weights_hash(network) != first
    same, symmetric = create_backbone("mobilenet_v2", padding="same"), create_backbone("mobilenet_v2")
    symmetric.load_state_dict(same.state_dict())
    assert weights_hash(same) != weights_hash(symmetric)  # the same numbers, and other answers
    for name, options in (("squeezenet1_0", {"bgr": True}), ("resnet50", {"bgr": True}), ("inception_v3", {"count_outside": False})):
        other, plain = create_backbone(name, **options), create_backbone(name)
        plain.load_state_dict(other.state_dict())
        assert weights_hash(other) != weights_hash(plain), name


# --- finding


def test_the_folder_comes_before_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "weights"
    for name in ("convnet_later_version", "convnet_b", "convnet2d", "resnet18"):
        save_weights(small(), folder / f"{name}.safetensors", PASSPORT)
    monkeypatch.setenv("FOVEA_WEIGHTS", str(folder))
    found = resolve_weights("convnet")
    assert found is not None
    assert (found.where, found.path.name) == ("folder", "convnet2d.safetensors")
    assert "FOVEA_WEIGHTS" in found.said
    assert "the first of 3" in found.said
    assert candidates() == {"convnet": "folder", "resnet18": "folder", "fovea_tiny": "packaged"}, "what the user put there comes first"


def test_packaged_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = save_weights(small(), tmp_path / "packaged" / "convnet.safetensors", PASSPORT)
    monkeypatch.setattr(find, "PACKAGED", packaged.parent)
    found = resolve_weights("convnet", "auto")
    assert found is not None
    assert (found.where, found.path) == ("packaged", packaged)
    assert candidates() == {"convnet": "packaged"}


def test_a_file_of_a_backbone_with_a_longer_name_is_not_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_weights(small(), tmp_path / "convnet_large.safetensors", PASSPORT)
    monkeypatch.setenv("FOVEA_WEIGHTS", str(tmp_path))
    monkeypatch.setitem(BACKBONES._entries, "convnet_large", BACKBONES["convnet"])
    with pytest.raises(WeightsError):
        resolve_weights("convnet")


def test_none_and_unknown() -> None:
    assert resolve_weights("convnet", "none") is None
    assert candidates() == {"fovea_tiny": "packaged"}
    with pytest.raises(UnknownName):
        resolve_weights("resnet19", "none")


def test_nothing_at_hand_says_where_it_was_looked_for_and_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as error:
        resolve_weights("mobilenet_v2")
    assert error.value.problem == "no weights for 'mobilenet_v2' are at hand"
    assert "FOVEA_WEIGHTS: not set; the package: ships none; the hub: HF_HUB_OFFLINE is set" in error.value.got
    for way in ("--weights PATH", "FOVEA_WEIGHTS", "5afa12513b048c79b9147a5d210e9bdc50035481/model.safetensors, 14 MB", "--weights none"):
        assert way in error.value.fix

    monkeypatch.setenv("FOVEA_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError) as error:
        resolve_weights("convnet")
    assert f"FOVEA_WEIGHTS: no convnet*.safetensors in {tmp_path}" in error.value.got
    assert "the hub: none are known there" in error.value.got


def test_what_is_not_pinned_is_not_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "_download", lambda *_: pytest.fail("asked the network"))
    with pytest.raises(WeightsError) as error:
        resolve_weights("resnet34")
    assert "no revision of it is pinned here" in error.value.got
    assert error.value.fix.startswith("name a revision yourself: --weights hub:timm/resnet34.a1_in1k@REVISION")


def test_a_folder_variable_that_names_no_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FOVEA_WEIGHTS", str(tmp_path / "nowhere"))
    for call in (lambda: resolve_weights("convnet"), candidates):
        with pytest.raises(WeightsError) as error:
            call()
        assert "FOVEA_WEIGHTS names no folder" in error.value.problem


def test_a_run_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    bundle = save_weights(small(), run / "bundle" / "model.safetensors", PASSPORT)
    assert getattr(resolve_weights("convnet", run), "path", None) == bundle
    assert getattr(resolve_weights("convnet", run / "bundle"), "path", None) == bundle
    best = save_weights(small(), run / "checkpoint" / "best.safetensors", PASSPORT)
    assert getattr(resolve_weights("convnet", str(run)), "path", None) == best
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError) as error:
        resolve_weights("convnet", tmp_path / "empty")
    assert error.value.problem == f"the folder {str(tmp_path / 'empty')!r} holds no weights"


def test_a_known_file_of_another_backbone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_weights(small(), tmp_path / "w.safetensors", PASSPORT)
    monkeypatch.setattr(find, "sha256_file", lambda _: BACKBONES["resnet50"].info.passports[0].sha256)
    with pytest.raises(WeightsError) as error:
        resolve_weights("mobilenet_v2", path)
    assert error.value.problem == f"{str(path)!r} holds weights of resnet50, not of mobilenet_v2"
    found = resolve_weights("resnet50", path)
    assert found is not None
    assert found.passport.name == "resnet50.a1_in1k"


def test_which_backbone_a_file_is_of(tmp_path: Path) -> None:
    """A variant that is not the default is told by its passport, published shapes by themselves."""
    run = tmp_path / "run"
    path = save_weights(small(), run / "checkpoint" / "best.safetensors", replace(PASSPORT, backbone="convnet"))
    assert backbone_of(path) == backbone_of(str(run)) == "convnet"
    with pytest.raises(WeightsError) as error:
        resolve_weights("resnet18", run)
    assert error.value.problem == f"{str(path)!r} holds weights of convnet, not of resnet18"
    torch.save(create_backbone("resnet34", num_classes=4).state_dict(), tmp_path / "w.pth")
    assert backbone_of(tmp_path / "w.pth") == "resnet34"
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"fovea_passport": "{"})
    assert backbone_of(tmp_path / "w.safetensors") is None


def test_a_stranger_is_fed_as_the_backbone_is_and_that_is_said(tmp_path: Path) -> None:
    network = create_backbone("mobilenet_v2", num_classes=3)
    metadata = {"padding": "same (as TensorFlow: asymmetric at stride 2)", "licence": "MIT"}
    save_file(network.state_dict(), tmp_path / "w.safetensors", metadata=metadata)
    found = resolve_weights("mobilenet_v2", tmp_path / "w.safetensors")
    assert found is not None
    assert (found.passport.options, found.passport.licence) == ({"padding": "same"}, "MIT")
    assert "carries no passport" in found.notes[0]
    assert "padding='same'" in found.notes[1]
    assert load_weights(create_backbone("mobilenet_v2", **found.passport.options), found).notes == found.notes
    assert normalisation(BACKBONES["mobilenet_v2"].info, found.passport) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

    save_file(create_backbone("resnet18").state_dict(), tmp_path / "r.safetensors", metadata=metadata)
    found = resolve_weights("resnet18", tmp_path / "r.safetensors")
    assert found is not None
    assert found.passport.options == {}


def test_normalisation_is_the_weights_own() -> None:
    info = BACKBONES["mobilenet_v2"].info
    timm, coral = info.passports
    assert normalisation(info, timm) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert normalisation(info, coral) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert normalisation(BACKBONES["convnet"].info, None) == ((0, 0, 0), (1, 1, 1))


@pytest.mark.parametrize("text", ["{", "[]", '{"name": "x"}', json.dumps({**PASSPORT.to_json(), "image_size_px": "wide"})])
def test_a_passport_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"fovea_passport": text})
    with pytest.raises(WeightsError) as error:
        resolve_weights("convnet", tmp_path / "w.safetensors")
    assert error.value.problem == f"the passport in {str(tmp_path / 'w.safetensors')!r} cannot be read"


def test_a_passport_with_options_of_another_backbone(tmp_path: Path) -> None:
    path = save_weights(small(), tmp_path / "w.safetensors", PASSPORT)
    with pytest.raises(WeightsError) as error:
        resolve_weights("resnet18", path)
    assert (error.value.got, error.value.expected) == ("variant", "one of stage, zero_init")


def test_a_failed_write_leaves_what_stood_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_weights(small(), tmp_path / "w.safetensors", PASSPORT)
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(Exception, match="disk is full"):
        save_weights(small(), path, PASSPORT)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["w.safetensors"]


def test_saved_numbers_are_exact(tmp_path: Path) -> None:
    network = small().to(memory_format=torch.channels_last)
    save_weights(network, tmp_path / "w.safetensors", PASSPORT)
    for name, tensor in load_file(tmp_path / "w.safetensors").items():
        np.testing.assert_array_equal(tensor.numpy(), network.state_dict()[name].numpy())


def test_weights_may_be_kept_half_as_large(tmp_path: Path) -> None:
    network = create_backbone("fovea_tiny")
    passport = Passport(name="half", sha256="", licence="", trained_on="", image_size_px=32, score="", backbone="fovea_tiny")
    whole = save_weights(network, tmp_path / "whole.safetensors", passport)
    half = save_weights(network, tmp_path / "half.safetensors", passport, half=True)
    assert half.stat().st_size < 0.55 * whole.stat().st_size
    again = create_backbone("fovea_tiny")
    load_weights(again, half)
    for name, tensor in again.state_dict().items():
        own = network.state_dict()[name]
        assert tensor.dtype == own.dtype
        assert torch.equal(tensor, own.half().float() if own.ndim > 1 else own), name


def test_the_package_ships_weights_that_answer_as_when_they_were_measured() -> None:
    found = resolve_weights("fovea_tiny")
    assert found is not None
    assert found.where == "packaged"
    assert found.path.stat().st_size < 3_000_000
    backbone = create_backbone("fovea_tiny", **found.passport.options)
    load_weights(backbone, found)
    body = PixelBackbone(backbone, *normalisation(BACKBONES["fovea_tiny"].info, found.passport))
    assert len(found.passport.golden) == 8
    check_golden(body, found.passport)
    small, large = (module_to_onnx(body, size_px=32), half_weights(module_to_onnx(body, size_px=32)))
    assert len(large) < 3_000_000
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    exact, kept = (open_engine(model)(pixels, ("embedding",))["embedding"] for model in (small, large))
    np.testing.assert_allclose(kept, exact, atol=1e-3 * np.abs(exact).max())
    for word in ("ImageNet", "not in the package"):
        assert word in found.passport.licence
    for word in (
        "make_fovea_tiny.py",
        "seeds",
        "hours",
        "Never seen, drawn by the seed",
        "American alligator",
        "its own 1,000",
        "Left out was also what looks like a picture of data/imagenet_samples",
    ):
        assert word in found.passport.trained_on
    assert re.search(
        r"cats_dogs 8\d\.\d% at 80 px, 9\d\.\d% at 128 px \(n = 1,000\); 20 held-out classes .*; digits 9\d", found.passport.score
    )
