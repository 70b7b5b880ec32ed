"""The view inside, each against what is known: transposed convolutions, painted pictures, formulas."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from fovea.errors import InputError, UnknownName
from fovea.explain.drawing import png
from fovea.explain.receptive import measure_fields
from fovea.explain.view import VIEWS, Asked, Picture, look_inside
from fovea.explain.views.deconvnet import project
from fovea.models.backbone import Backbone, create_backbone
from fovea.models.network import PixelBackbone
from fovea.models.summary import fields_of_maps

SIDE = 48


def body_of(name: str, **options: object) -> PixelBackbone:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PixelBackbone(create_backbone(name, **options), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def body() -> PixelBackbone:
    return body_of("convnet", variant="28")


def pictures(count: int = 3, seed: int = 0) -> list[Picture]:
    rng = np.random.default_rng(seed)
    return [Picture(f"folder/{i}.png", rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for i in range(count)]


def state(module: torch.nn.Module) -> list[object]:
    return [
        [tensor.clone() for tensor in module.state_dict().values()],
        [part.training for part in module.modules()],
        [parameter.grad for parameter in module.parameters()],
        [(len(part._forward_hooks), len(part._backward_hooks)) for part in module.modules()],
        [parameter.requires_grad for parameter in module.parameters()],
        torch.random.get_rng_state(),
    ]


@pytest.mark.parametrize("view", VIEWS.names())
def test_every_view_draws_and_leaves_the_network_as_found(view: str, body: PixelBackbone) -> None:
    before = state(body)
    seen = look_inside(view, Asked(body, SIDE, pictures() if VIEWS[view].info.needs_pictures else []))
    assert seen.drawings
    for drawing in seen.drawings.values():
        assert drawing.dtype == np.uint8
        assert drawing.ndim == 3
        assert png(drawing).startswith(b"\x89PNG")
    assert seen.lines
    assert seen.facts
    after = state(body)
    assert all(torch.equal(a, b) for a, b in zip(before[0], after[0], strict=True))  # type: ignore[call-overload]
    assert before[1:5] == after[1:5]
    assert torch.equal(before[5], after[5])  # type: ignore[arg-type]


def test_all_views_were_seen() -> None:
    assert VIEWS.names() == ["channels", "deconvnet", "filters", "maps", "receptive_field"]


def test_deconvnet_is_unpooling_and_transposed_convolution(body: PixelBackbone) -> None:
    """The convnet's second stage by hand: relu and transposed convolution, unpooling by the switches, relu and transposed convolution."""
    pixels = pictures(1)[0].pixels
    asked = Asked(body, SIDE, [])
    convs = [conv for conv in body.backbone.convs if isinstance(conv, torch.nn.Conv2d)]  # type: ignore[union-attr]
    with torch.no_grad():
        x = asked.inputs([pixels]).mean(1, keepdim=True)
        first = F.relu(convs[0](x))
        pooled, switches = F.max_pool2d(first, 2, return_indices=True)
        second = F.relu(convs[1](pooled))
        channel = int(second.amax(dim=(0, 2, 3)).argmax())
        alone = torch.zeros_like(second)
        peak = int(second[0, channel].argmax())
        alone[0, channel].view(-1)[peak] = 1.0
        back = F.conv_transpose2d(F.relu(alone), convs[1].weight)
        back = F.max_unpool2d(back, switches, 2, output_size=first.shape[2:])
        back = F.conv_transpose2d(F.relu(back), convs[0].weight)
    found, num_unpooled = project(asked, pixels, stage=1, channel=channel)
    assert num_unpooled >= 1
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(found.sum(axis=2), back[0, 0].numpy(), atol=1e-6)


def test_deconvnet_says_where_it_is_not_defined() -> None:
    body = body_of("mobilenet_v3_small")
    with pytest.raises(InputError, match="only defined through relu"):
        look_inside("deconvnet", Asked(body, SIDE, pictures(1)))


def test_the_strongest_pictures_of_a_channel_are_the_strongest(body: PixelBackbone) -> None:
    shown = pictures(12)
    asked = Asked(body, SIDE, shown, stage=1, channel=5)
    with torch.no_grad():
        peaks = [float(F.relu(body.backbone.forward_maps(asked.inputs([each.pixels])).maps[1][0, 5]).max()) for each in shown]
    expected = [shown[i].path for i in np.argsort(-np.array(peaks), kind="stable")[:5]]
    facts = look_inside("channels", asked).facts["channels"]
    assert [each["path"] for each in facts] == expected
    assert facts[0]["strength"] == pytest.approx(max(peaks), rel=1e-5)


@pytest.mark.parametrize(
    ("name", "options"),
    [("convnet", {"variant": "28"}), ("mobilenet_v1", {"width": 0.25}), ("squeezenet1_0", {})],
    ids=str,
)
def test_the_formula_is_what_gradients_see(name: str, options: dict[str, object]) -> None:
    """Araujo et al. 2019: the closed formula; the field that gradients reach is never larger, and equal where it fits the picture."""
    backbone = body_of(name, **options).backbone
    with torch.random.fork_rng(devices=[]):
        fields = measure_fields(backbone, side_px=128, num_pictures=1)
        formula = fields_of_maps(backbone, size_px=128)
    assert len(formula) == len(backbone.channels)
    whole = [(found.support_px, told.size_px) for found, told in zip(fields, formula, strict=True) if found.whole]
    assert len(whole) >= 2
    assert all(seen == told for seen, told in whole)
    assert all(found.support_px <= told.size_px for found, told in zip(fields, formula, strict=True))


def test_attention_sees_all() -> None:
    backbone: Backbone = body_of("vit_tiny").backbone
    assert [field.stride for field in fields_of_maps(backbone, size_px=224)] == [0]


def test_bad_wishes(body: PixelBackbone) -> None:
    with pytest.raises(UnknownName, match="did you mean filters"):
        look_inside("filter", Asked(body, SIDE))
    with pytest.raises(InputError, match="there are none"):
        look_inside("maps", Asked(body, SIDE))
    with pytest.raises(InputError, match="no stage 7"):
        look_inside("maps", Asked(body, SIDE, pictures(1), stage=7))
    with pytest.raises(InputError, match="no channel 999"):
        look_inside("channels", Asked(body, SIDE, pictures(2), channel=999))
