"""What the papers say of their networks and can be checked without training."""

from typing import Any

import pytest
import torch
from torch import nn

from fovea.explain.receptive import measure_fields
from fovea.models.backbone import count_parameters, create_backbone
from fovea.models.backbones.googlenet import Inception
from fovea.models.backbones.resnet import ResNet


# The papers' own figures, and those that everybody quotes of published weights.
@pytest.mark.parametrize(
    ("name", "num_classes", "expected"),
    [
        ("lenet5", 10, 61_706),
        ("squeezenet1_0", 1000, 1_248_424),
        ("mobilenet_v1", 1000, 4_231_976),
        ("mobilenet_v3_large", 1000, 5_483_032),
        ("mobilenet_v3_small", 1000, 2_542_856),
        ("efficientnet_b0", 1000, 5_288_548),
        ("densenet121", 1000, 7_978_856),
        ("xception", 1000, 22_855_952),
        ("inception_v3", 1000, 23_834_568),
        ("googlenet", 1000, 7_005_832),
        ("vit_tiny", 1000, 5_717_416),
        ("vit_small", 1000, 22_050_664),
        pytest.param("alexnet", 1000, 61_100_840, marks=pytest.mark.slow),
        pytest.param("vgg16", 1000, 138_357_544, marks=pytest.mark.slow),
        pytest.param("vgg19", 1000, 143_667_240, marks=pytest.mark.slow),
        pytest.param("resnet101", 1000, 44_549_160, marks=pytest.mark.slow),
        pytest.param("resnet152", 1000, 60_192_808, marks=pytest.mark.slow),
        pytest.param("inception_resnet_v2", 1000, 55_843_464, marks=pytest.mark.slow),
    ],
)
def test_number_of_parameters(name: str, num_classes: int, expected: int) -> None:
    assert count_parameters(create_backbone(name, num_classes=num_classes)) == expected


def test_googlenet_without_batch_norm_is_the_papers() -> None:
    assert count_parameters(create_backbone("googlenet", num_classes=1000, norm="none")) == 6_998_552


def test_what_a_bottleneck_saves() -> None:
    """The 5x5 branch of module 3a: 153,600 weights on all 192 channels, 15,872 behind 16."""
    widths = (64, (96, 128), (16, 32), 32)
    naive, narrow = Inception(192, widths, naive=True), Inception(192, widths)
    assert _weights(naive.branch3) == 153_600
    assert _weights(narrow.branch3) == 15_872
    assert narrow.out_channels == 256
    assert naive.out_channels == 64 + 128 + 32 + 192, "pooling keeps its channels, so that they grow from module to module"


def test_small_windows_cost_less_than_one_large() -> None:
    """Two 3x3 see 5 x 5 pixels, five see 11 x 11 (arXiv:1409.1556, section 2.3)."""
    channels = 64
    for count, large in ((2, 5), (5, 11)):
        assert _seen(nn.Sequential(*(nn.Conv2d(1, 1, 3, padding=1) for _ in range(count)))) == large
        assert count * _weights(nn.Conv2d(channels, channels, 3)) < _weights(nn.Conv2d(channels, channels, large))


def test_plain_networks_lack_shortcuts_alone() -> None:
    plain, residual = create_backbone("plain18"), create_backbone("resnet18", zero_init=False)
    assert isinstance(plain, ResNet)
    missing = set(residual.state_dict()) - set(plain.state_dict())
    assert missing
    assert all(".downsample." in name for name in missing)
    assert set(plain.state_dict()) <= set(residual.state_dict())


def test_auxiliary_heads_answer_from_halfway() -> None:
    """Two more classifiers, whose losses reach the first convolution and not the modules behind them."""
    torch.manual_seed(0)
    network = create_backbone("googlenet", num_classes=10, auxiliary=True)
    logits, heads = network.forward_auxiliary(torch.randn(2, 3, 224, 224))  # type: ignore[operator]
    assert {name: tuple(head.shape) for name, head in heads.items()} == {"aux1": (2, 10), "aux2": (2, 10)}
    assert tuple(logits.shape) == (2, 10)
    heads["aux1"].sum().backward()
    reached = {name.split(".")[0] for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert {"conv1", "inception4a", "aux1"} <= reached
    assert not {"inception4b", "inception5b", "aux2", "fc"} & reached


def _first_gradients(std: float | None) -> tuple[float, float]:
    """At the first convolution of GoogLeNet without batch norm: by the last loss, and by all three as the paper weighs them."""
    torch.manual_seed(0)
    network = create_backbone("googlenet", num_classes=10, norm="none", auxiliary=True)
    for layer in network.modules():
        if std and isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    targets = torch.tensor([3, 5])
    logits, heads = network.forward_auxiliary(torch.randn(2, 3, 224, 224))  # type: ignore[operator]
    last = nn.functional.cross_entropy(logits, targets)
    whole = last + 0.3 * sum(nn.functional.cross_entropy(head, targets) for head in heads.values())
    first = network.get_parameter("conv1.conv.weight")
    alone, aided = (torch.autograd.grad(loss, first, retain_graph=True)[0].double().norm().item() for loss in (last, whole))
    return alone, aided


def test_auxiliary_heads_bring_gradients_to_the_first_layers() -> None:
    """A thousand times larger under the small Gaussian weights of the paper's time; under He's, which came later, hardly."""
    alone, aided = _first_gradients(0.01)
    assert aided > 1000 * alone
    assert alone < 1e-8, "it fades on its way through 22 layers"
    alone, aided = _first_gradients(None)
    assert alone > 1e-3, "with He's weights nothing fades"
    assert aided < 10 * alone


# Araujo et al. 2019 (distill.pub, Computing receptive fields), and for ResNet-18 the recursion r += (k - 1) * jump by hand.
@pytest.mark.parametrize(
    ("name", "options", "side_px", "expected"),
    [
        pytest.param("alexnet", {}, 256, [11, 51, 163, 195], marks=pytest.mark.slow),
        ("mobilenet_v1", {"width": 0.25}, 384, [7, 19, 43, 219, 315]),
        pytest.param("vgg16", {}, 288, [6, 16, 44, 100, 212], marks=pytest.mark.slow),
        pytest.param("resnet18", {"zero_init": False}, 512, [43, 99, 211, 435], marks=pytest.mark.slow),
    ],
)
def test_receptive_fields_seen_by_gradients(name: str, options: dict[str, Any], side_px: int, expected: list[int]) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(name, **options)
    fields = measure_fields(backbone, side_px=side_px, num_pictures=1)
    assert [field.support_px for field in fields] == expected
    assert all(field.whole for field in fields)
    assert fields[-1].effective_px < 0.7 * expected[-1], "what weighs is a part of what is seen"
    assert 2.2 < fields[-1].kurtosis < 4, "and lies like a Gaussian, more than like a window"
    assert next(backbone.parameters()).dtype == torch.float32
    assert backbone.training


@pytest.mark.slow
def test_dense_layers_are_convolutions() -> None:
    """VGG's first dense layer on the flattened map is its 7x7 convolution; a larger picture gives a map of answers."""
    torch.manual_seed(0)
    network = create_backbone("vgg11", num_classes=5).eval()
    pictures = torch.randn(1, 3, 224, 224)
    with torch.inference_mode():
        last = network.forward_maps(pictures)[-1].flatten(1)
        for layer in (network.pre_logits.fc1, network.pre_logits.fc2):  # type: ignore[union-attr]
            last = nn.functional.relu(nn.functional.linear(last, layer.weight.flatten(1), layer.bias))  # type: ignore[union-attr, operator, arg-type]
        dense = network.head.fc(last)  # type: ignore[union-attr, operator]
        torch.testing.assert_close(network(pictures), dense, rtol=1e-4, atol=1e-5)
        places = network.dense_map(torch.cat([pictures, pictures], 3))  # type: ignore[operator]
        assert tuple(places.shape) == (1, 5, 1, 8)
        torch.testing.assert_close(network.dense_map(pictures)[:, :, 0, 0], dense, rtol=1e-4, atol=1e-5)  # type: ignore[operator]


def _weights(module: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Conv2d))


def _seen(module: nn.Module) -> int:
    """How many pixels of a row the middle of the output depends on."""
    x = torch.zeros(1, 1, 31, 31, requires_grad=True)
    (gradient,) = torch.autograd.grad(module(x)[0, 0, 15, 15], x)
    return int((gradient[0, 0].abs().sum(0) > 0).sum())
