"""Every backbone sits the public exam; the exam itself fails on false facts; the papers' and the texts' figures hold."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fovea.errors import InputError, UnknownName
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, count_parameters, create_backbone, list_backbones, normalisation
from fovea.models.classes import class_names_of, load_classes
from fovea.models.layers.conv import Conv2dSame
from fovea.models.weights import load_weights, resolve_weights
from fovea.registry import Entry
from fovea.testing.backbones import check_backbone, check_export
from fovea.testing.exam import ExamFailed
from fovea.types import FeatureMaps

NAMES = list_backbones()
_LARGE = 5_000_000  # parameters: these sit their exam with the slow tests
EXAMINED = [pytest.param(name, marks=pytest.mark.slow) if BACKBONES[name].info.num_parameters > _LARGE else name for name in NAMES]
VARIANTS: list[Any] = [
    ("convnet", {"variant": "28", "dropout": 0.25}),
    ("convnet", {"variant": "transfer"}),
    ("mobilenet_v2", {"padding": "same", "width": 0.5}),
    ("resnet18", {"zero_init": False}),
    ("mobilenet_v1", {"width": 0.25, "padding": "same"}),
    pytest.param("googlenet", {"norm": "none", "module": "naive"}, marks=pytest.mark.slow),
    ("googlenet", {"variant": "torchvision"}),
    ("googlenet", {"norm": "response"}),
    pytest.param("alexnet", {"variant": "2012"}, marks=pytest.mark.slow),
    ("minception", {"second_kernel": 1, "scaled": "input", "batch_norm": False}),
    ("vit_tiny", {"size_px": 64}),
    pytest.param("resnet50", {"variant": "keras", "bgr": True}, marks=pytest.mark.slow),
    pytest.param("inception_v3", {"count_outside": False, "norm_scale": False}, marks=pytest.mark.slow),
]


def test_the_registry_was_found() -> None:
    assert {"convnet", "mobilenet_v2", "resnet18", "resnet34", "resnet50"} <= set(NAMES)
    assert len(NAMES) == len(set(NAMES)) >= 27


@pytest.mark.parametrize("name", EXAMINED)
def test_exam(name: str) -> None:
    check_backbone(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_exam_of_the_export(name: str) -> None:
    check_export(name)


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_exam_of_a_variant(name: str, options: dict[str, Any]) -> None:
    check_backbone(name, **options)


# The paper's tables, and for convnet the figures that the texts print.
@pytest.mark.parametrize(
    ("name", "num_classes", "options", "expected"),
    [
        ("mobilenet_v2", 1000, {}, 3_504_872),
        ("resnet18", 1000, {}, 11_689_512),
        ("resnet34", 1000, {}, 21_797_672),
        ("resnet50", 1000, {}, 25_557_032),
        ("convnet", 1, {}, 1_569_089),
        ("convnet", 10, {"variant": "28"}, 372_234),
        ("convnet", 5, {"variant": "transfer"}, 600_165),
    ],
)
def test_number_of_parameters(name: str, num_classes: int, options: dict[str, Any], expected: int) -> None:
    assert count_parameters(create_backbone(name, num_classes=num_classes, **options)) == expected


def test_convolutions_of_the_transfer_network() -> None:
    assert count_parameters(create_backbone("convnet", variant="transfer").get_submodule("convs")) == 9_568


def test_grey_variants_average_the_channels() -> None:
    network = create_backbone("convnet", num_classes=10, variant="28").eval()
    x = torch.rand(2, 3, 28, 28)
    with torch.inference_mode():
        assert torch.equal(network(x), network(x.mean(1, keepdim=True).expand_as(x)))


def test_dropout_acts_in_training_alone() -> None:
    network = create_backbone("convnet", variant="28", dropout=0.5)
    x = torch.rand(1, 3, 28, 28)
    whole = network.eval()(x)
    left = network.train()(x)
    kept = left != 0
    assert 0.3 < kept.float().mean() / (whole != 0).float().mean() < 0.7
    torch.testing.assert_close(left[kept], 2 * whole[kept])


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [({"variant": "transfer"}, 32, "28 px"), ({"variant": "28"}, 17, "at least 18 px"), ({}, 77, "at least 78 px")],
)
def test_a_size_that_convnet_cannot_take(options: dict[str, Any], size: int, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        create_backbone("convnet", **options)(torch.zeros(1, 3, size, size))
    assert caught.value.got == f"{size} x {size} px"
    assert caught.value.expected == f"height and width of {expected}"


def test_unknown_names_are_errors() -> None:
    with pytest.raises(UnknownName) as name:
        create_backbone("resnet19")
    assert "resnet18" in name.value.fix
    with pytest.raises(InputError) as variant:
        create_backbone("convnet", variant="32")
    assert variant.value.got == "variant='32'"


def test_key_names_are_those_of_published_files() -> None:
    resnet, mobilenet = create_backbone("resnet50").state_dict(), create_backbone("mobilenet_v2", num_classes=2).state_dict()
    assert {
        "conv1.weight",
        "bn1.running_var",
        "layer1.0.downsample.0.weight",
        "layer1.0.downsample.1.bias",
        "layer4.2.conv3.weight",
    } <= set(resnet)
    assert {"conv_stem.weight", "blocks.0.0.conv_dw.weight", "blocks.6.0.conv_pwl.weight", "conv_head.weight", "classifier.bias"} <= set(
        mobilenet
    )


@pytest.mark.parametrize("size", [7, 8])
@pytest.mark.parametrize("stride", [2, 3])
def test_same_padding_is_the_formula_of_tensorflow(size: int, stride: int) -> None:
    """Output i of a convolution of ones is the number of true pixels under a window that begins at i * stride - total // 2."""
    conv = Conv2dSame(1, 1, 3, stride, bias=False)
    nn.init.ones_(conv.weight)
    with torch.inference_mode():
        found = conv(torch.ones(1, 1, size, size))[0, 0].numpy()
    num = -(-size // stride)
    before = max((num - 1) * stride + 3 - size, 0) // 2
    counts = [len(set(range(size)) & set(range(i * stride - before, i * stride - before + 3))) for i in range(num)]
    np.testing.assert_array_equal(found, np.outer(counts, counts))


class _Plain(Backbone):
    """A small true backbone; the tests below make it lie."""

    classifier_name = "head"

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, 2, 1), nn.Conv2d(8, 16, 3, 2, 1)
        self.num_features, self.channels, self.strides = 16, (8, 16), (2, 4)
        self.head = nn.Linear(16, num_classes) if num_classes else nn.Identity()

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        first = torch.relu(self.first(x))
        return FeatureMaps((first, torch.relu(self.second(first))), self.strides)


_PLAIN = BackboneInfo(channels=(8, 16), strides=(2, 4), num_parameters=18_392, image_size_px=32, smallest_input_px=16, source="none")


class _WrongChannels(_Plain):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.channels = (8, 15)


class _WrongStride(_Plain):
    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.strides = (2, 8)


class _LooksElsewhere(_Plain):
    """Every shape is right, but the picture is halved by leaving its right half away."""

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        first = torch.relu(self.first(x))
        elsewhere = torch.nn.functional.conv2d(first, self.second.weight, self.second.bias, padding=1)
        return FeatureMaps((first, torch.relu(elsewhere[..., : -(-first.shape[2] // 2), : -(-first.shape[3] // 2)])), self.strides)


class _DeadPart(_Plain):
    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        maps = super().forward_maps(x)
        return FeatureMaps((maps[0], maps[1].detach() + maps[0].mean() + self.get_parameter("second.bias").sum()), self.strides)


class _CutOff(_Plain):
    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        maps = super().forward_maps(x)
        return FeatureMaps(tuple(feature.detach() for feature in maps.maps), self.strides)


class _MixesRows(_Plain):
    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        embedding = coarsest.mean(dim=(2, 3))
        return embedding - embedding.mean(dim=0)


class _WrongOrder(_Plain):
    def freeze_points(self) -> tuple[str, ...]:
        return ("second", "first")


class _Forgets(_Plain):
    """A number that is used and not saved."""

    def __init__(self, num_classes: int) -> None:
        super().__init__(num_classes)
        self.register_buffer("scale", torch.rand(()), persistent=False)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        return coarsest.mean(dim=(2, 3)) * self.get_buffer("scale")


class _PadsWhenItRuns(_Plain):
    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        return super().forward_maps(torch.nn.functional.pad(x, (1, 1, 1, 1), mode="reflect"))


class _DecidedInPython(_Plain):
    """What depends on the picture and is computed outside torch becomes a constant of the export."""

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        return coarsest.mean(dim=(2, 3)) * (1 + float(coarsest.mean()))


class _ClassifierElsewhere(_Plain):
    classifier_name = "top"


@contextmanager
def _registered(build: type[_Plain], info: BackboneInfo) -> Iterator[str]:
    def make(*, num_classes: int = 0) -> Backbone:
        return build(num_classes)

    entries = BACKBONES._entries
    entries["plain"] = Entry("plain", make, info, "here")
    try:
        yield "plain"
    finally:
        del entries["plain"]


@pytest.mark.parametrize(
    ("build", "message"), [(_PadsWhenItRuns, "its export pads when it runs"), (_DecidedInPython, "exported, it answers differently")]
)
def test_the_exam_of_the_export_fails_on_false_exports(build: type[_Plain], message: str) -> None:
    with _registered(build, _PLAIN) as name, pytest.raises(ExamFailed, match=message):
        check_export(name)
    with _registered(_Plain, _PLAIN) as name:
        check_export(name)


def test_a_stranger_passes() -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    with _registered(_Plain, _PLAIN) as name:
        check_backbone(name)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    ("build", "info", "message"),
    [
        (_Plain, replace(_PLAIN, num_parameters=18_393), "18,393 is stated, and 18,392 are counted"),
        (_Plain, replace(_PLAIN, channels=(8, 17)), "the registry states channels"),
        (_WrongChannels, replace(_PLAIN, channels=(8, 15)), "15 channels at stride 4"),
        (_WrongStride, replace(_PLAIN, strides=(2, 8)), "16 channels at stride 8"),
        (_LooksElsewhere, _PLAIN, "moves by [2] px"),
        (_DeadPart, _PLAIN, "no gradient reaches second.weight"),
        (_CutOff, _PLAIN, "no gradient reaches first.weight"),
        (_MixesRows, _PLAIN, "with the other rows of its batch"),
        (_WrongOrder, _PLAIN, "freeze points are to follow the flow"),
        (_Forgets, _PLAIN, "saved and loaded, it answers differently"),
        (_ClassifierElsewhere, _PLAIN, "begins with classifier_name 'top.'"),
    ],
)
def test_the_exam_finds_what_is_false(build: type[_Plain], info: BackboneInfo, message: str) -> None:
    with _registered(build, info) as name, pytest.raises(ExamFailed) as caught:
        check_backbone(name)
    assert message in str(caught.value)
    assert str(caught.value).startswith("backbone plain")


def test_class_list() -> None:
    classes = load_classes("imagenet_1k")
    assert len(set(classes.class_names)) == len(set(classes.synsets)) == 1000
    assert len({name.casefold() for name in classes.class_names}) == 1000  # folders of classes must differ on every disk
    assert classes.class_names[0] == "tench"
    assert classes.synsets[999] == "n15075141"
    with pytest.raises(UnknownName) as caught:
        load_classes("imagenet")
    assert caught.value.expected == "one of imagenet_1k"


def test_passports_of_all_backbones_name_known_classes() -> None:
    passports = [passport for entry in BACKBONES for passport in entry.info.passports]
    assert len(passports) >= 5
    for passport in passports:
        assert len(class_names_of(passport)) == 1000
        assert len(passport.sha256) == 64
        assert passport.revision is None or len(passport.revision) == 40


def test_class_order_is_that_of_the_shared_weights(shared: Path) -> None:
    file = shared / "data" / "imagenet_classes.json"
    if not file.is_file():
        pytest.skip(f"no {file}")
    assert tuple(row["synset"] for row in json.loads(file.read_text())) == load_classes("imagenet_1k").synsets


def test_shared_mobilenet_loads_whole_and_knows_photos(shared: Path) -> None:
    """85.6 % of the 1,000 photos are right with these weights; under another padding, order of classes or scaling, fewer."""
    file, photos = (
        shared / "weights" / "mobilenet_v2_imagenet.safetensors",
        sorted((shared / "data" / "imagenet_samples").glob("*.jpg"))[::40],
    )
    if not file.is_file() or not photos:
        pytest.skip(f"no {file} or no photos beside it")
    weights = resolve_weights("mobilenet_v2", file)
    assert weights is not None
    assert weights.passport.options == {"padding": "same"}
    assert not weights.notes
    network = create_backbone("mobilenet_v2", num_classes=1000, **weights.passport.options).eval()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    report = load_weights(network, weights)
    assert len(report.loaded) == len(network.state_dict())
    assert not report.new
    assert not report.unused

    from PIL import Image

    pixels = []
    for photo in photos:
        picture = Image.open(photo).convert("RGB")
        left, top = (picture.width - 224) // 2, (picture.height - 224) // 2  # short side 256 px: a crop of 0.875
        pixels.append(np.asarray(picture.crop((left, top, left + 224, top + 224))))
    mean, std = normalisation(BACKBONES["mobilenet_v2"].info, weights.passport)
    x = torch.from_numpy((np.stack(pixels) / 255 - mean) / std).float().permute(0, 3, 1, 2)
    with torch.inference_mode():
        answers = network(x).argmax(1).tolist()
    synsets = load_classes("imagenet_1k").synsets
    right = sum(synsets[answer] == photo.stem for answer, photo in zip(answers, photos, strict=True))
    assert right >= 0.75 * len(photos), f"{right} of {len(photos)}"
