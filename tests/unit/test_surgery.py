"""Truncating, grafting, combining and freezing leave the original as it was, and give what they say; the table of layers is true."""

import copy
import json
from typing import Any, get_args

import pytest
import torch
from torch import nn

import fovea
from fovea.errors import InputError, UnknownName
from fovea.models.backbone import BACKBONES, Backbone, Pooling, create_backbone, list_backbones, pool_map, probe_px
from fovea.models.freezing import freeze, list_trainable, unfreeze
from fovea.models.network import PixelBackbone
from fovea.models.summary import summarise
from fovea.models.surgery import combine, graft, remove_head, replace_head, stack, stage_layers, truncate
from fovea.models.weights.load import weights_hash
from fovea.testing.backbones import check_backbone

_LARGE = 1_500_000  # parameters: larger ones are tried with the slow tests
_SMALLEST = {
    BACKBONES[n].build.__module__: n for n in sorted(list_backbones(), key=lambda n: -BACKBONES[n].info.num_parameters)
}  # of each file
NAMES = [pytest.param(n, marks=pytest.mark.slow) if BACKBONES[n].info.num_parameters > _LARGE else n for n in sorted(_SMALLEST.values())]


@pytest.fixture
def mobilenet() -> Backbone:
    torch.manual_seed(0)
    return create_backbone("mobilenet_v2", num_classes=5, width=0.25).eval()


def _picture(backbone: Backbone, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, 3, probe_px(backbone), probe_px(backbone))


@pytest.mark.parametrize("name", NAMES)
def test_every_stage_of_every_backbone_can_be_cut_at(name: str) -> None:
    """The same map as the whole network's, declared rightly, with no more parameters than it is made from."""
    torch.manual_seed(0)
    backbone = create_backbone(name, num_classes=3).eval()
    before, x = weights_hash(backbone), _picture(backbone)
    with torch.inference_mode():
        maps = backbone.forward_maps(x)
        for stage, feature in enumerate(maps.maps):
            cut = truncate(backbone, stage)
            assert torch.equal(cut.forward_maps(x)[0], feature)
            assert torch.equal(cut(x), feature.mean(dim=(2, 3)))
            assert (cut.channels, cut.strides, cut.num_features) == (
                (backbone.channels[stage],),
                (backbone.strides[stage],),
                feature.shape[1],
            )
            assert cut.freeze_points()
    assert weights_hash(backbone) == before
    for stage in range(len(backbone.channels)):
        kept = {n.removeprefix("body.") for n, _ in truncate(backbone, stage).named_parameters()}
        needed = set(list_trainable(freeze(backbone, stages=stage + 1)).frozen)
        behind = (
            {n for n, _ in backbone.named_parameters() if n.startswith(backbone.embedding_parts)}
            if stage == len(backbone.channels) - 1
            else set()
        )
        assert kept - behind == needed


def test_a_network_is_cut_at_a_named_layer(mobilenet: Backbone) -> None:
    x = _picture(mobilenet)
    cut = truncate(mobilenet, "blocks.3.1", pooling="none")
    with torch.inference_mode():
        assert cut(x).shape == (2, cut.channels[0], 4, 4)
        assert torch.equal(truncate(mobilenet, "blocks.3.1", pooling="max")(x), cut(x).amax(dim=(2, 3)))
    assert cut.strides == (16,)
    assert len(list(cut.parameters())) < len(list(mobilenet.parameters())) / 2
    again = copy.deepcopy(cut)
    assert torch.equal(again(x), cut(x))


def test_a_transformer_is_cut_between_its_blocks() -> None:
    backbone = create_backbone("vit_tiny", size_px=64).eval()
    cut = truncate(backbone, "blocks.2")
    with torch.inference_mode():
        assert cut.forward_maps(_picture(backbone)).maps[0].shape == (2, 192, 4, 4)
    assert not any("blocks.3." in name for name, _ in cut.named_parameters())


def test_a_cut_network_goes_where_backbones_go(mobilenet: Backbone, tmp_path: Any) -> None:
    """Behind its own normalisation, and into ONNX."""
    from fovea.engines import open_engine
    from fovea.engines.to_onnx import module_to_onnx

    body = PixelBackbone(truncate(mobilenet, 1), (0.5,) * 3, (0.5,) * 3).eval()
    pixels = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.inference_mode():
        expected = body(pixels)
    model = module_to_onnx(body, size_px=64)
    found = torch.from_numpy(open_engine(model)(pixels.numpy(), ("embedding",))["embedding"])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert len(model) < len(module_to_onnx(PixelBackbone(mobilenet, (0.5,) * 3, (0.5,) * 3), size_px=64)) / 2


@pytest.mark.parametrize("name", NAMES)
def test_a_frozen_backbone_answers_alike_in_both_modes(name: str) -> None:
    backbone = freeze(create_backbone(name, num_classes=3))
    x = _picture(backbone)
    with torch.no_grad():
        assert torch.equal(backbone.train().embed(x), backbone.eval().embed(x))
    thawed = unfreeze(backbone.train(), fraction=0.5, batch_norm="learning")
    assert {type(part).__name__ for part in thawed.modules() if isinstance(part, nn.Dropout)} <= {"Dropout"}
    assert all(part.training for part in thawed.modules() if isinstance(part, nn.Dropout))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_surgery_keeps_to_the_networks_own_numbers(mobilenet: Backbone, dtype: torch.dtype) -> None:
    whole = mobilenet.to(dtype)
    assert truncate(whole, 1)(_picture(whole).to(dtype)).dtype == dtype
    assert list_trainable(freeze(whole, stages=1)).frozen


def test_frozen_norms_thaw_only_when_asked(mobilenet: Backbone) -> None:
    frozen = freeze(mobilenet).train()
    with pytest.raises(InputError, match="frozen batch norms"):
        unfreeze(frozen, names=["bn1"])
    with pytest.raises(InputError, match="no way of batch norm"):
        unfreeze(frozen, batch_norm="on")  # type: ignore[arg-type]
    assert unfreeze(frozen, names=["bn1"], batch_norm="learning").bn1.training  # type: ignore[union-attr]
    with pytest.raises(InputError, match="no pooling"):
        truncate(mobilenet, 1, pooling="mean")  # type: ignore[arg-type]


def test_a_grafted_head_stays_able_to_learn(mobilenet: Backbone) -> None:
    whole = freeze(graft(mobilenet, stack(1280, 10, num_classes=2)))
    assert {name.split(".")[0] for name in list_trainable(whole).names} == {"head"}


@pytest.mark.parametrize(("at", "said"), [("blocks.99", "blocks."), ("block.1", "blocks.1"), (7, "4 stages"), (-1, "4 stages")])
def test_no_such_layer_or_stage(mobilenet: Backbone, at: str | int, said: str) -> None:
    with pytest.raises((UnknownName, InputError), match=said):
        truncate(mobilenet, at)


@pytest.mark.parametrize(("at", "said"), [("classifier", "on the way"), ("blocks", "does not call as a whole")])
def test_a_layer_without_places_is_refused(mobilenet: Backbone, at: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        truncate(mobilenet, at)


@pytest.mark.parametrize("name", NAMES)
def test_every_backbone_is_pooled_as_asked(name: str) -> None:
    """Without its classifier, and without the dense layers that only its own embedding needs."""
    torch.manual_seed(0)
    for pooling in get_args(Pooling):
        backbone = create_backbone(name, pooling=pooling).eval()
        x = _picture(backbone)
        with torch.no_grad():
            given = backbone(x)
            assert torch.equal(given, pool_map(backbone.forward_maps(x)[-1], pooling))
        assert given.shape[1] == backbone.num_features == backbone.channels[-1]
    gradients = torch.autograd.grad(backbone(x).square().sum(), list(backbone.parameters()), allow_unused=True)
    unused = [n for (n, _), gradient in zip(backbone.named_parameters(), gradients, strict=True) if gradient is None]
    assert not unused


@pytest.mark.parametrize(("name", "at"), [("squeezenet1_0", "classifier.1"), ("lenet5", "fc1"), ("mobilenet_v3_small", "conv_head")])
def test_a_layer_behind_the_maps_is_refused(name: str, at: str) -> None:
    with pytest.raises(InputError, match="does not lie on the way"):
        truncate(create_backbone(name), at)


def test_auxiliary_heads_stay_out_of_surgery() -> None:
    """They answer while it trains, and small pictures that they could not read are no matter to the rest."""
    network = create_backbone("googlenet", num_classes=3, auxiliary=True)
    x = _picture(network)
    logits, heads = network.train()(x)
    assert {head.shape for head in (logits, *heads.values())} == {(2, 3)}
    assert network.eval()(x).shape == (2, 3)
    assert truncate(network, 1)(x).shape == (2, 192)
    assert replace_head(network, nn.Linear(1024, 7)).train()(x).shape == (2, 7)
    assert "aux1" not in " ".join(list_trainable(freeze(network, stages=2)).frozen)


def test_pooling_with_a_classifier_is_refused() -> None:
    with pytest.raises(InputError, match="own embedding"):
        create_backbone("mobilenet_v2", num_classes=3, pooling="max")
    with pytest.raises(InputError, match="no pooling is called"):
        create_backbone("mobilenet_v2", pooling="mean")  # type: ignore[arg-type]


def test_heads_come_off_and_go_on(mobilenet: Backbone) -> None:
    x = _picture(mobilenet)
    before = weights_hash(mobilenet)
    with torch.inference_mode():
        assert torch.equal(remove_head(mobilenet)(x), mobilenet.embed(x))
        assert replace_head(mobilenet, nn.Linear(mobilenet.num_features, 9))(x).shape == (2, 9)
        wide = graft(truncate(mobilenet, 2, pooling="none"), stack(mobilenet.channels[2], "max", 100, 50, 0.5, num_classes=4))
        assert wide.eval()(x).shape == (2, 4)
        flat = mobilenet.channels[3] * 2 * 2
        body = create_backbone("mobilenet_v2", width=0.25, pooling="none")
        assert graft(body, stack(flat, "flatten", 100, num_classes=4)).eval()(x).shape == (2, 4)
    assert [type(layer).__name__ for layer in wide.head] == [  # type: ignore[union-attr]
        *("AdaptiveMaxPool2d", "Flatten", "Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"),
    ]
    assert weights_hash(mobilenet) == before


@pytest.mark.parametrize("name", ["squeezenet1_0", "lenet5", "googlenet"])
def test_every_kind_of_classifier_can_be_replaced(name: str) -> None:
    backbone = create_backbone(name, num_classes=3).eval()
    assert replace_head(backbone, nn.Linear(backbone.num_features, 6))(_picture(backbone)).shape == (2, 6)
    assert remove_head(backbone)(_picture(backbone)).shape == (2, backbone.num_features)


def test_bodies_are_combined(mobilenet: Backbone) -> None:
    other = create_backbone("squeezenet1_0").eval()
    x = _picture(mobilenet)
    with torch.inference_mode():
        both = combine(mobilenet, other)(x)
        assert torch.equal(both, torch.cat([mobilenet.embed(x), other.embed(x)], 1))
        pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
        bodies = [PixelBackbone(mobilenet, (0.5,) * 3, (0.5,) * 3), PixelBackbone(other, (0.4,) * 3, (0.2,) * 3)]
        assert combine(*bodies)(pixels).shape == both.shape
    with pytest.raises(InputError, match="nothing to combine"):
        combine()


@pytest.mark.parametrize("part", [-3, 1.5, "mean"])
def test_a_head_of_unknown_parts(part: Any) -> None:
    with pytest.raises(InputError, match="no part of a head"):
        stack(10, part, num_classes=2)


@pytest.mark.parametrize(
    ("choice", "frozen_first", "learning_last"),
    [
        ({}, True, False),
        ({"names": ["conv_stem", "bn1"]}, True, True),
        ({"pattern": "conv_*"}, True, True),
        ({"stages": 2}, True, True),
        ({"fraction": 0.5}, True, True),
        ({"fraction": 0.0}, False, True),
    ],
)
def test_parts_are_frozen(mobilenet: Backbone, choice: dict[str, Any], frozen_first: bool, learning_last: bool) -> None:
    frozen = freeze(mobilenet, **choice)
    own = dict(frozen.named_parameters())
    assert own["conv_stem.weight"].requires_grad != frozen_first
    assert own["blocks.6.0.conv_pw.weight"].requires_grad == learning_last
    assert own["classifier.weight"].requires_grad
    assert not list_trainable(mobilenet).frozen, "the original learns as before"
    told = list_trainable(frozen)
    assert told.num_trainable + told.num_frozen == list_trainable(mobilenet).num_trainable
    assert set(told.names) | set(told.frozen) == set(own)
    assert f"{told.num_trainable:,} of" in told.to_text()


def test_frozen_batch_norm_keeps_still(mobilenet: Backbone) -> None:
    """A frozen backbone gives the same embedding in training and evaluation, bit for bit, also once it is thawed."""
    x = _picture(mobilenet, 4)
    frozen = freeze(mobilenet)
    with torch.no_grad():
        expected = mobilenet.eval().embed(x)
        assert torch.equal(frozen.train().embed(x), expected)
    statistics = {n: b.clone() for n, b in frozen.named_buffers()}
    thawed = unfreeze(frozen)
    learning = {n for n, p in thawed.named_parameters() if p.requires_grad}
    assert not any(".bn" in n or n.startswith("bn") for n in learning)
    thawed.train()(x).sum().backward()
    assert all(torch.equal(b, statistics[n]) for n, b in thawed.named_buffers())
    assert str(thawed) == str(mobilenet), "the same layers, so the same hash and the same cache"
    affine = unfreeze(frozen, batch_norm="affine").train()
    affine(x)
    assert "bn1.weight" in list_trainable(affine).names
    assert torch.equal(affine.bn1.running_mean, mobilenet.bn1.running_mean)  # type: ignore[union-attr]
    free = unfreeze(frozen, batch_norm="learning").train()
    free(x)
    assert not torch.equal(free.bn1.running_mean, mobilenet.bn1.running_mean)  # type: ignore[union-attr]
    assert list_trainable(free).num_fixed_norms == 0 < list_trainable(affine).num_fixed_norms
    assert type(copy.deepcopy(frozen).bn1).__name__ == type(frozen.bn1).__name__


def test_the_last_stages_are_thawed(mobilenet: Backbone) -> None:
    frozen = freeze(mobilenet)
    thawed = list_trainable(unfreeze(frozen, stages=1))
    early = set(list_trainable(freeze(mobilenet, stages=3)).frozen)
    assert not set(thawed.names) & early
    assert any(name.startswith("blocks.6") for name in thawed.names)
    assert list_trainable(unfreeze(frozen, fraction=0.5, batch_norm="affine")).num_trainable > thawed.num_trainable


@pytest.mark.parametrize(
    ("choice", "error", "said"),
    [
        ({"names": ["conv_stm"]}, UnknownName, "conv_stem"),
        ({"pattern": "layer*"}, InputError, "no parameter's name matches"),
        ({"stages": 9}, InputError, "4 stages"),
        ({"fraction": 1.5}, InputError, "between 0 and 1"),
    ],
)
def test_no_such_part_to_freeze(mobilenet: Backbone, choice: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        freeze(mobilenet, **choice)


def test_any_module_is_frozen_by_name_and_fraction() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))
    assert list_trainable(freeze(module, fraction=0.67)).names == ("2.weight", "2.bias")
    assert list_trainable(freeze(module)).names == ()
    with pytest.raises(InputError, match="only a backbone has stages"):
        freeze(module, stages=1)


# Multiply-adds at the sizes of the papers: arXiv:1512.03385 table 1 (3.8e9 without the classifier and shortcuts counted
# otherwise), arXiv:1801.04381 table 4 (300 million), arXiv:1704.04861 table 8 (569 million), arXiv:1905.11946 table 2 (0.39e9).
@pytest.mark.parametrize(
    ("name", "millions", "within"),
    [("mobilenet_v2", 300, 0.01), ("mobilenet_v1", 569, 0.01), ("efficientnet_b0", 390, 0.02), ("resnet18", 1800, 0.02)],
)
def test_multiply_adds_are_the_papers(name: str, millions: float, within: float) -> None:
    table = summarise(create_backbone(name, num_classes=1000))
    assert table.num_macs / 1e6 == pytest.approx(millions, rel=within)


@pytest.mark.parametrize("name", NAMES)
def test_the_table_counts_every_parameter(name: str) -> None:
    backbone = create_backbone(name, num_classes=10)
    table = summarise(freeze(backbone, fraction=0.5), size_px=BACKBONES[name].info.image_size_px)
    told = list_trainable(freeze(backbone, fraction=0.5))
    assert (table.num_parameters, table.num_trainable) == (told.num_trainable + told.num_frozen, told.num_trainable)
    assert table.num_macs > 0
    assert json.loads(json.dumps(table.to_json()))["num_parameters"] == table.num_parameters
    assert table.to_text().count("\n") == len(table.rows) + 3


@pytest.mark.parametrize("name", NAMES)
def test_what_a_cell_sees_is_what_its_gradient_reaches(name: str) -> None:
    """The recursive formula against gradients: nothing outside the stated field, and its edges are reached.

    Weights are made to take means and poolings to average, so that no path is cut by chance.
    """
    torch.manual_seed(0)
    backbone = create_backbone(name).eval()
    with torch.no_grad():
        for parameter in backbone.parameters():
            # means of what they see, so that nothing grows, and no relu6 is full
            parameter.fill_(1 / parameter[0].numel() if parameter.ndim > 1 else 0.5)
    side = BACKBONES[name].info.image_size_px
    table = summarise(backbone, size_px=side)
    for layer in [layer for layer in stage_layers(backbone) if layer][:2]:
        field = table.outputs[layer][1][1]
        if not field.stride:  # squeeze and excitation sees all
            continue
        cut = truncate(backbone, layer)
        x = torch.rand(1, 3, side, side, dtype=torch.float32).add(0.5).requires_grad_()
        with _averaging():
            feature = cut.forward_maps(x)[0]
        middle = feature.shape[3] // 2
        (gradient,) = torch.autograd.grad(feature[0, :, :, middle].sum(), x)
        columns = gradient[0].abs().sum((0, 1)).nonzero().flatten()
        expected = [max(0, field.first + middle * field.stride), min(side - 1, field.last + middle * field.stride)]
        assert [int(columns[0]), int(columns[-1])] == expected, layer


class _averaging(torch.overrides.TorchFunctionMode):
    """Poolings of the largest become means while it lasts: a mean lets gradients through everywhere."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in (torch.nn.functional.max_pool2d, torch.max_pool2d):
            names = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
            given = dict(zip(names, args[1:], strict=False)) | kwargs
            return torch.nn.functional.avg_pool2d(
                args[0], given["kernel_size"], given.get("stride"), given.get("padding", 0), given.get("ceil_mode", False)
            )
        return function(*args, **kwargs)


def test_models_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    shown = fovea.models("lenet5")
    assert "conv2" in shown.to_text()
    assert "multiply-adds" in shown.to_text()
    (row,) = shown.to_json()["models"]
    assert next(layer["name"] for layer in row["layers"]) == "conv1"
    assert row["layers"][0] == {
        "name": "conv1", "kind": "Conv2d", "output_shape": [1, 6, 28, 28], "num_parameters": 156, "num_trainable": 156,
        "num_macs": 117_600, "receptive_field_px": 5, "stride_px": 1,
    }  # fmt: skip
    assert "layers" not in fovea.models().to_json()["models"][0]
    with pytest.raises(InputError, match="less than one"):
        fovea.models("lenet5", image_size=-4)
    with pytest.raises(InputError, match="8 x 8 px"):
        fovea.models("inception_v3", image_size=8)


@pytest.mark.slow
def test_a_cut_network_passes_the_exam() -> None:
    name = "cut_for_the_exam"
    whole = BACKBONES["mobilenet_v2"].info

    from dataclasses import replace

    def build(*, num_classes: int = 0) -> Backbone:
        return replace_head(truncate(create_backbone("mobilenet_v2"), 1), nn.Linear(32, num_classes) if num_classes else nn.Identity())

    build.__name__ = name
    cut = build(num_classes=1000)
    info = replace(whole, channels=(32,), strides=(8,), num_parameters=list_trainable(cut).num_trainable, passports=())
    try:
        BACKBONES.add(info)(build)
        check_backbone(name)
    finally:
        BACKBONES._entries.pop(name, None)


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_0", "inception_v3", "mobilenet_v2", "vit_tiny"])
def test_a_picture_smaller_than_the_network_can_take(name: str) -> None:
    with torch.device("meta"):
        backbone = create_backbone(name)
    side = BACKBONES[name].info.smallest_input_px - 1
    with pytest.raises(InputError, match=f"{side} x {side} px"):
        backbone(torch.zeros(1, 3, side, side, device="meta"))


def test_weights_of_the_whole_network_load_into_a_pooled_one(tmp_path: Any) -> None:
    from fovea.models.passport import Passport
    from fovea.models.weights import load_weights, save_weights

    whole = create_backbone("lenet5", num_classes=3).eval()
    passport = Passport(name="x", sha256="", licence="", trained_on="", image_size_px=28, score="")
    path = save_weights(whole, tmp_path / "lenet5.safetensors", passport)
    pooled = create_backbone("lenet5", pooling="max").eval()
    report = load_weights(pooled, path)
    assert set(report.unused) == {f"{part}.{kind}" for part in ("fc1", "fc2", "fc3") for kind in ("weight", "bias")}
    x = _picture(whole)
    with torch.inference_mode():
        assert torch.equal(pooled(x), whole.forward_maps(x)[-1].amax(dim=(2, 3)))


def test_a_norm_without_numbers_goes_with_its_neighbours() -> None:
    module = nn.Sequential(nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3, affine=False)), nn.Linear(3, 2))
    frozen = freeze(module, names=["0"]).train()
    assert not frozen[0][1].training
    assert not unfreeze(frozen)[0][1].training
    assert unfreeze(frozen, batch_norm="learning")[0][1].training


@pytest.mark.parametrize(
    ("name", "options"), [("xception", {"padding": "same"}), ("minception", {"scaled": "input"}), ("squeezenet1_0", {"bgr": True})]
)
def test_options_that_change_the_answers_change_the_hash(name: str, options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain, other = create_backbone(name), create_backbone(name, **options)
    other.load_state_dict(plain.state_dict())
    assert weights_hash(plain) != weights_hash(other)
    assert weights_hash(truncate(plain, 1)) != weights_hash(truncate(plain, 1, pooling="max"))
