"""Files of torchvision and Keras load by themselves, number for number; what could be read in two ways is refused."""

import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fovea.errors import InputError, MissingExtra, WeightsError
from fovea.models.backbone import BACKBONES, Backbone, create_backbone, normalisation
from fovea.models.origins import Origin, keras_order
from fovea.models.passport import Passport
from fovea.models.weights import backbone_of, keras_files, load_weights, matching, naming, resolve_weights, save_weights

h5py = pytest.importorskip("h5py")

KERAS = {"padding": "same", "eps": 1e-3}
Variables = dict[str, list[np.ndarray]]


def stirred(name: str, **options: Any) -> Backbone:
    """A network of whose tensors no two are alike."""
    network = create_backbone(name, **options).eval()
    torch.manual_seed(1)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return network


def same(first: nn.Module, second: nn.Module) -> bool:
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a if not name.endswith("num_batches_tracked"))


def layers(network: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Convolutions, dense layers and batch norms, in the order of the flow of a network without branches."""
    return ((name, each) for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear | nn.BatchNorm2d))


def as_keras(network: Backbone) -> Variables:
    """The variables of each layer as Keras lays them out and names them: by class and number."""
    found: Variables = {}

    def add(kind: str, *variables: torch.Tensor | None) -> None:
        number = sum(name == kind or re.fullmatch(rf"{kind}_\d+", name) is not None for name in found)
        found[kind if number == 0 else f"{kind}_{number}"] = [each.detach().numpy() for each in variables if each is not None]

    for _, layer in layers(network):
        if isinstance(layer, nn.BatchNorm2d):
            add("batch_normalization", layer.weight, layer.bias, layer.running_mean, layer.running_var)
        elif isinstance(layer, nn.Linear):
            add("dense", layer.weight.T, layer.bias)
        elif isinstance(layer, nn.Conv2d) and layer.groups > 1:
            add("depthwise_conv2d", layer.weight.permute(2, 3, 0, 1), layer.bias)
        elif isinstance(layer, nn.Conv2d):
            add("conv2d", layer.weight.permute(2, 3, 1, 0), layer.bias)
    return found


def write_keras(path: Path, found: Variables, **others: np.ndarray) -> Path:
    with h5py.File(path, "w") as file:
        for name, variables in found.items():
            for index, values in enumerate(variables):
                file[f"layers/{name}/vars/{index}"] = values
        file.create_group("layers/re_lu/vars")  # as Keras does for layers that hold nothing
        for name, values in others.items():
            file[name.replace("__", "/")] = values
    return path


def refused(network: Backbone, path: Path) -> WeightsError:
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError) as error:
        load_weights(network, path)
    assert str(path) in error.value.problem
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    return error.value


@pytest.fixture(scope="module")
def mobilenet() -> Backbone:
    """Narrow, and of more than ten layers of each class: layers/conv2d_10 comes before layers/conv2d_2 in the file."""
    return stirred("mobilenet_v2", num_classes=5, width=0.35, **KERAS)


@pytest.fixture(scope="module")
def keras_file(mobilenet: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keras(tmp_path_factory.mktemp("keras") / "narrow.weights.h5", as_keras(mobilenet))


def narrow(num_classes: int = 5, **options: Any) -> Backbone:
    return create_backbone("mobilenet_v2", num_classes=num_classes, width=0.35, **(KERAS | options)).eval()


# --- Keras


def test_a_file_of_keras(mobilenet: Backbone, keras_file: Path) -> None:
    with h5py.File(keras_file) as file:
        names = [name for name in file["layers"] if name.startswith("conv2d")]
    assert names[:3] == ["conv2d", "conv2d_1", "conv2d_10"]
    network = narrow()
    report = load_weights(network, keras_file)
    assert same(network, mobilenet)
    assert report.unused == ()
    assert all(name.endswith("num_batches_tracked") for name in report.new)
    assert report.notes == ("its layers are named as in Keras: they were matched by kind, order and shape",)


def test_keras_without_a_classifier_and_with_another(mobilenet: Backbone, keras_file: Path, tmp_path: Path) -> None:
    bare = narrow(0)
    assert load_weights(bare, keras_file).unused == ("classifier.bias", "classifier.weight")
    error = refused(narrow(3), keras_file)
    assert error.problem == f"the weights are for 5 classes and the network has 3: {str(keras_file)!r}"
    three = narrow(3)
    report = load_weights(three, keras_file, drop_classifier=True)
    assert {"classifier.weight", "classifier.bias"} <= set(report.new)
    assert torch.equal(three.get_submodule("conv_head").weight, mobilenet.get_submodule("conv_head").weight)
    headless = write_keras(tmp_path / "headless.weights.h5", as_keras(bare))
    assert {"classifier.weight", "classifier.bias"} <= set(load_weights(narrow(3), headless).new)


def test_keras_needs_its_options(keras_file: Path) -> None:
    error = refused(create_backbone("mobilenet_v2", num_classes=5, width=0.35), keras_file)
    assert error.problem.startswith("the weights are of Keras's network, and this one was made otherwise: ")
    assert (error.got, error.expected) == ("padding='symmetric', eps=1e-05", "padding='same', eps=0.001")
    assert "create_backbone('mobilenet_v2', padding='same', eps=0.001, ...)" in error.fix


@pytest.mark.slow
def test_other_networks_are_refused_and_the_right_one_is_named(keras_file: Path, tmp_path: Path) -> None:
    error = refused(create_backbone("resnet18"), keras_file)
    assert (error.got, error.expected) == ("layers named and saved by Keras", "a network that Keras Applications has, which this is not")
    whole = write_keras(tmp_path / "whole.weights.h5", as_keras(create_backbone("mobilenet_v1", num_classes=2, **KERAS)))
    error = refused(narrow(), whole)
    assert error.fix == "choose --backbone mobilenet_v1"
    assert "in torch's order" in error.got
    assert backbone_of(whole) == "mobilenet_v1"
    assert backbone_of(keras_file) is None  # no registered network is so narrow


def test_options_and_scaling_are_set_for_files_of_keras(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "w.weights.h5", as_keras(create_backbone("mobilenet_v1", num_classes=2, **KERAS)))
    found = resolve_weights("mobilenet_v1", path)
    assert found is not None
    assert found.passport.options == KERAS
    assert normalisation(BACKBONES["mobilenet_v1"].info, found.passport) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert "padding='same', eps=0.001" in found.notes[1]
    report = load_weights(create_backbone("mobilenet_v1", **found.passport.options), found)
    assert len(report.notes) == 3


def test_a_missing_gamma_is_one_where_the_network_says_so(keras_file: Path, mobilenet: Backbone, tmp_path: Path) -> None:
    found = as_keras(mobilenet)
    cut = {name: variables[1:] if name.startswith("batch") else variables for name, variables in found.items()}
    path = write_keras(tmp_path / "cut.weights.h5", cut)
    assert refused(narrow(), path).got == "batch_normalization with 3 variables"  # gamma or beta: it could be either
    network = narrow()
    network.origins = tuple(replace(origin, gamma=False) for origin in network.origins)
    load_weights(network, path)
    for name, layer in layers(network):
        if isinstance(layer, nn.BatchNorm2d):
            assert torch.equal(layer.weight, torch.ones(layer.num_features))
            assert torch.equal(layer.running_var, mobilenet.get_submodule(name).running_var)
    load_weights(network, keras_file)
    assert same(network, mobilenet)


def test_nothing_is_left_out_in_silence(mobilenet: Backbone, tmp_path: Path) -> None:
    found = as_keras(mobilenet) | {"normalization": [np.zeros(3), np.ones(3), np.array(0)]}
    path = write_keras(tmp_path / "w.weights.h5", found, optimizer__vars__0=np.zeros(2))
    report = load_weights(narrow(), path)
    assert set(report.unused) == {"optimizer/vars/0", *(f"layers/normalization/vars/{i}" for i in range(3))}
    assert "normalisation of pixels" in report.notes[1]
    assert "optimizer" in report.notes[2]


Change = Callable[[Variables], object]


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda found: found.pop("conv2d_3"), "some layers of the class conv2d, and not all"),
        (lambda found: found.pop("conv2d_34"), "dense (weight (5, 1280), bias (5,))"),
        (lambda found: found.update(dense_1=found["dense"]), "layers with weights, the last dense_1"),
        (lambda found: found.update(layer_normalization=[np.zeros(3)]), "layer_normalization with 1 variables"),
        (
            lambda found: found.update({"functional/layers/conv2d": [np.zeros(3)]}),
            "a variable named 'layers/functional/layers/conv2d/vars/0'",
        ),
        (lambda found: found.update(conv2d_0=found["conv2d"]), "conv2d_0 with 1 variables"),
        (lambda found: found.clear(), "no variables of layers"),
        (lambda found: found.update(conv2d_2=[found["conv2d_2"][0], np.zeros(1)]), "conv2d_2 (weight"),
        (lambda found: found.update(conv2d_1=[found["conv2d_1"][0].T]), "layers/conv2d_1/vars/0"),
        (lambda found: found.update(conv2d_1=[np.zeros(found["conv2d_1"][0].shape, np.int8)]), "integers in "),
    ],
)
def test_files_of_keras_that_do_not_fit(mobilenet: Backbone, tmp_path: Path, change: Change, got: str) -> None:
    found = as_keras(mobilenet)
    assert "conv2d_34" in found
    change(found)
    assert got in refused(narrow(), write_keras(tmp_path / "w.weights.h5", found)).got


def test_broken_files_of_keras(keras_file: Path, tmp_path: Path) -> None:
    whole = keras_file.read_bytes()
    for length in (1, 8, 100, len(whole) // 2, len(whole) - 1):
        path = tmp_path / f"cut{length}.weights.h5"
        path.write_bytes(whole[:length])
        assert refused(narrow(), path).problem == f"the weights file {str(path)!r} is broken or cut short"


def test_older_files_of_keras_are_told_apart(tmp_path: Path) -> None:
    path = write_keras(tmp_path / "model.h5", {}, model_weights__conv__kernel=np.zeros(2))
    error = refused(narrow(), path)
    assert error.got == "a variable named 'model_weights/conv/kernel'"
    assert "save_weights" in error.fix


def test_without_h5py(keras_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MissingExtra) as error:
        load_weights(narrow(), keras_file)
    assert error.value.fix == "pip install h5py"


def test_branches_are_saved_by_their_distance_from_the_end() -> None:
    assert keras_order(("a",), ("b1", "b2", "b3"), ("c1", "c2")) == ("b1", "b2", "c1", "a", "b3", "c2")
    network = create_backbone("inception_v3")
    assert network.get_submodule("Mixed_7b").keras_order[:3] == ("branch3x3dbl_1", "branch3x3_1", "branch3x3dbl_2")


@pytest.mark.parametrize(
    ("name", "part", "kind", "expected"),
    [  # model.layers of Keras 3.15, whose own names are in the comments
        # conv2_block1_ 1_conv, 2_conv, 0_conv, 3_conv
        ("resnet50", "layer1.0", nn.Conv2d, ["conv1", "conv2", "downsample.0", "conv3"]),
        ("resnet50", "layer1.0", nn.BatchNorm2d, ["bn1", "bn2", "downsample.1", "bn3"]),
        # conv2d_ 8, 6, 9, 5, 7, 10, 11, where 5 is the first that was made
        (
            "inception_v3",
            "Mixed_5b",
            nn.Conv2d,
            ["branch3x3dbl_1", "branch5x5_1", "branch3x3dbl_2", "branch1x1", "branch5x5_2", "branch3x3dbl_3", "branch_pool"],
        ),
        # conv2d_ 258, 254, 256, 259, 255, 257, 260, where 254 is the first that was made
        (
            "inception_resnet_v2",
            "mixed_7a",
            nn.Conv2d,
            ["branch2.0", "branch0.0", "branch1.0", "branch2.1", "branch0.1", "branch1.1", "branch2.2"],
        ),
    ],
)
def test_the_order_is_that_of_keras(name: str, part: str, kind: type[nn.Module], expected: list[str]) -> None:
    network = naming.sketch(name)
    found = [layer.name for layer in matching.own_layers(network, keras=True) or []]
    inside = [each.removeprefix(f"{part}.") for each in found if each.startswith(f"{part}.")]
    assert [each.removesuffix(".conv") for each in inside if isinstance(network.get_submodule(f"{part}.{each}"), kind)] == expected


@pytest.mark.parametrize("name", [entry.name for entry in BACKBONES])
def test_every_order_names_every_layer_once(name: str) -> None:
    """A layer that an order forgets would make the whole network unreadable."""
    network = naming.sketch(name)
    if any(origin.library == "keras" for origin in network.origins):
        in_order = matching.own_layers(network, keras=True)
        assert in_order is not None
        assert sorted(layer.name for layer in in_order) == sorted(name for name, _ in layers(network) if name != network.classifier_name)
    for origin in network.origins:
        made = naming.sketch(name, **origin.options, **origin.feeding)  # the options that it declares are options
        assert not naming.lacking(made, origin)


def test_a_dense_layer_of_keras_as_a_convolution() -> None:
    """Keras flattens place by place: a dense layer over a flattened map is the same numbers in another order."""
    x, dense = torch.rand(2, 3, 4, 5), torch.rand(3 * 4 * 5, 7)  # (B, C, H, W), and as Keras keeps it
    theirs = x.permute(0, 2, 3, 1).flatten(1) @ dense
    part = keras_files.Part("dense", (7, 60), True, lambda: dense.T)
    laid = matching.laid_out(part, (7, 3, 4, 5), channels_last=True)
    assert laid is not None
    torch.testing.assert_close(torch.nn.functional.conv2d(x, laid.read()).flatten(1), theirs)


# --- torchvision


def as_torchvision(network: Backbone) -> dict[str, torch.Tensor]:
    """torchvision's names of MobileNetV2, written out from what its own file says: 17 blocks, numbered through."""
    found: dict[str, torch.Tensor] = {}

    def add(module: str, prefix: str) -> None:
        for key, tensor in network.get_submodule(module).state_dict().items():
            found[f"{prefix}.{key}"] = tensor

    add("conv_stem", "features.0.0")
    add("bn1", "features.0.1")
    add("blocks.0.0.conv_dw", "features.1.conv.0.0")
    add("blocks.0.0.bn1", "features.1.conv.0.1")
    add("blocks.0.0.conv_pw", "features.1.conv.1")
    add("blocks.0.0.bn2", "features.1.conv.2")
    number = 1
    for stage, repeats in enumerate((2, 3, 4, 3, 3, 1), start=1):
        for index in range(repeats):
            number += 1
            ours, theirs = f"blocks.{stage}.{index}", f"features.{number}.conv"
            names = (("conv_pw", "0.0"), ("bn1", "0.1"), ("conv_dw", "1.0"), ("bn2", "1.1"), ("conv_pwl", "2"), ("bn3", "3"))
            for name, place in names:
                add(f"{ours}.{name}", f"{theirs}.{place}")
    add("conv_head", "features.18.0")
    add("bn2", "features.18.1")
    add("classifier", "classifier.1")
    return found


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_of_torchvision(tmp_path: Path, suffix: str) -> None:
    """A .safetensors file keeps no order of its own."""
    source, path = stirred("mobilenet_v2", num_classes=4), tmp_path / f"w{suffix}"
    tensors = as_torchvision(source)
    torch.save(tensors, path) if suffix == ".pth" else save_file(tensors, path)
    network = create_backbone("mobilenet_v2", num_classes=4)
    report = load_weights(network, path)
    assert same(source, network)
    assert (report.new, report.unused) == ((), ())
    assert report.notes == ("its layers are numbered as in torchvision",)
    assert backbone_of(path) == "mobilenet_v2"
    assert refused(create_backbone("mobilenet_v2", num_classes=2), path).problem.startswith("the weights are for 4 classes")
    found = resolve_weights("mobilenet_v2", path)
    assert found is not None
    assert found.passport.mean == (0.485, 0.456, 0.406)
    error = refused(create_backbone("resnet18"), path)
    assert error.fix == "choose --backbone mobilenet_v2"


def test_numbers_with_strange_words_are_no_torchvision(tmp_path: Path) -> None:
    tensors = as_torchvision(stirred("mobilenet_v2"))
    tensors = {name.replace("features.5.conv", "features.5.branch"): tensor for name, tensor in tensors.items()}
    torch.save(tensors, tmp_path / "w.pth")
    assert "no conv_stem.weight" in refused(create_backbone("mobilenet_v2"), tmp_path / "w.pth").got
    assert backbone_of(tmp_path / "w.pth") is None


def test_second_classifiers_are_left_out_and_said(tmp_path: Path) -> None:
    source = stirred("googlenet", num_classes=3, variant="torchvision", auxiliary=True)
    torch.save(source.state_dict(), tmp_path / "w.pth")
    network = create_backbone("googlenet", num_classes=3, variant="torchvision")
    report = load_weights(network, tmp_path / "w.pth")
    assert torch.equal(network.get_submodule("fc").weight, source.get_submodule("fc").weight)
    assert report.unused
    assert all(name.startswith(("aux1.", "aux2.")) for name in report.unused)
    assert report.notes == ("torchvision's second classifiers were left out",)
    error = refused(create_backbone("googlenet", num_classes=3), tmp_path / "w.pth")
    assert error.expected == "variant='torchvision'"
    found = resolve_weights("googlenet", tmp_path / "w.pth")
    assert found is not None
    assert found.passport.options == {"variant": "torchvision"}


def test_names_of_2017(tmp_path: Path) -> None:
    source = stirred("densenet121")
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): tensor for name, tensor in source.state_dict().items()}
    assert "features.denseblock1.denselayer2.norm.1.weight" in old
    torch.save(old, tmp_path / "w.pth")
    network = create_backbone("densenet121")
    assert load_weights(network, tmp_path / "w.pth").notes == ("its layers are named as in torchvision",)
    assert same(source, network)


def test_weights_of_timm_set_their_eps(tmp_path: Path) -> None:
    torch.save(create_backbone("mobilenet_v1").state_dict(), tmp_path / "w.pth")
    found = resolve_weights("mobilenet_v1", tmp_path / "w.pth")
    assert found is not None
    assert found.passport.options == {"eps": 1e-5}
    assert "timm" in found.notes[1]


def test_an_origin_is_called_as_people_call_it() -> None:
    assert [Origin("keras").called, Origin("timm").called] == ["Keras", "timm"]


def test_weights_that_need_other_options_are_refused_by_their_passport(tmp_path):
    """Shapes alone would let them pass, and the answers would be worse."""
    torch.manual_seed(0)
    options = {"padding": "same", "width": 0.25}
    passport = Passport(name="same", sha256="", licence="", trained_on="", image_size_px=64, score="", options=options)
    path = save_weights(create_backbone("mobilenet_v2", **options), tmp_path / "mobilenet_v2.safetensors", passport)
    with pytest.raises(WeightsError, match="made otherwise") as caught:
        load_weights(create_backbone("mobilenet_v2", width=0.25), path)
    assert "padding='same'" in caught.value.expected
    load_weights(create_backbone("mobilenet_v2", **options), path)


def test_a_bundle_of_weights_without_names_asks_for_them(tmp_path):
    import fovea

    network = create_backbone("lenet5", num_classes=3)
    torch.save(network.state_dict(), tmp_path / "lenet5.pth")
    with pytest.raises(WeightsError, match="what their classes are called"):
        fovea.bundle("lenet5", weights=str(tmp_path / "lenet5.pth"), out=str(tmp_path / "bundle"))
    (tmp_path / "names.txt").write_text("ant\nbee\nbee\n")
    with pytest.raises(InputError, match="no list of classes"):
        fovea.bundle("lenet5", weights=str(tmp_path / "lenet5.pth"), out=str(tmp_path / "bundle"), classes=str(tmp_path / "names.txt"))
    (tmp_path / "names.txt").write_text("ant\nbee\ncat\n")
    made = fovea.bundle("lenet5", weights=str(tmp_path / "lenet5.pth"), out=str(tmp_path / "bundle"), classes=str(tmp_path / "names.txt"))
    assert list(made.class_names) == ["ant", "bee", "cat"]
    with pytest.raises(WeightsError, match="classes"):
        fovea.bundle("lenet5", weights=str(tmp_path / "lenet5.pth"), out=str(tmp_path / "other"), classes="imagenet_1k")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({0: torch.zeros(1)}, "no state dict"),
        ({"a": torch.eye(3).to_sparse()}, "kind that no network"),
        ({"a": torch.zeros(1, dtype=torch.complex64)}, "kind that no network"),
    ],
)
def test_torch_files_of_odd_content(tmp_path, content, said):
    torch.save(content, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match=said):
        load_weights(create_backbone("lenet5"), tmp_path / "odd.pth")


def test_auxiliary_heads_of_other_classes_are_left_out_with_the_classifier(tmp_path):
    torch.manual_seed(0)
    theirs = create_backbone("googlenet", num_classes=7, auxiliary=True)
    torch.save(theirs.state_dict(), tmp_path / "g.pth")
    ours = create_backbone("googlenet", num_classes=3, auxiliary=True)
    report = load_weights(ours, tmp_path / "g.pth", drop_classifier=True)
    assert any(name.startswith("aux1.") for name in report.new)
    assert torch.equal(ours.conv1.conv.weight, theirs.conv1.conv.weight)


def test_a_part_is_warm_started_by_a_pattern(tmp_path):
    """From a file of another number of classes, and of other last layers: only what matches is taken."""
    torch.manual_seed(0)
    passport = Passport(name="x", sha256="", licence="", trained_on="", image_size_px=28, score="")
    theirs, ours = create_backbone("lenet5", num_classes=7), create_backbone("lenet5", num_classes=3)
    path = save_weights(theirs, tmp_path / "lenet5.safetensors", passport)
    before = ours.fc1.weight.detach().clone()
    report = load_weights(ours, path, pattern="conv?.*")
    assert set(report.loaded) == {"conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"}
    assert torch.equal(ours.conv2.weight, theirs.conv2.weight)
    assert torch.equal(ours.fc1.weight, before)
    with pytest.raises(InputError, match="matches 'layer"):
        load_weights(ours, path, pattern="layer*")
