"""Explanations of networks that are not ours: how they are joined, what their outputs mean, how their tokens lie."""

import numpy as np
import pytest
import torch
from tests.foreign import Gives, Own
from torch import nn
from torch.nn import functional as F

import fovea
from fovea.errors import InputError
from fovea.explain import METHODS, explain_picture
from fovea.explain.network_subject import NetworkSubject
from fovea.tasks import create_task


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


class TwoScales(nn.Module):
    """Means of two depths side by side: what lies behind the last maps joins them with others, of one picture."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1), nn.Linear(14, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        u = F.relu(self.a(x))
        v = F.softplus(self.b(u))
        return self.head(torch.cat([u.mean((2, 3)), v.mean((2, 3))], 1))


def test_maps_that_others_join_behind_them():
    """Ablation-CAM against the losses of the network itself, and CAM, whose head is linear in the last means, against its weights."""
    network, pixels = TwoScales().eval(), np.random.default_rng(0).random((24, 24, 3)).astype(np.float32)
    with torch.no_grad():
        u = F.relu(network.a(torch.from_numpy(pixels).permute(2, 0, 1)[None]))
        v = F.softplus(network.b(u))
        weights = network.head.weight[1, 6:]
        losses = weights * v.mean((2, 3))[0]  # what the score loses without a map
        ablation, cam = ((each[:, None, None] * v[0]).sum(0).numpy() for each in (losses, weights))
    subject = NetworkSubject(network)
    found = {name: explain_picture(subject, pixels, method=name, target=1).evidence for name in ("ablationcam", "cam")}
    for name, wanted in (("ablationcam", ablation), ("cam", cam)):
        np.testing.assert_allclose(np.maximum(found[name], 0), np.maximum(wanted, 0), rtol=1e-3, atol=1e-6)


def test_what_the_outputs_of_a_network_mean(pixels):
    """Probabilities stay as they are, one number stays a number, the first of several outputs is meant; and each of these is said."""
    logits = Own().eval()(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).detach()[0]
    cases = [
        (lambda x: x, logits.softmax(0), "logits of a classifier"),
        (lambda x: x.softmax(1), logits.softmax(0), "probabilities"),
        (lambda x: x[:, :1], logits[:1], "a number"),
        (lambda x: (x, -x), logits.softmax(0), "the first that is a row"),
    ]
    for then, wanted, said in cases:
        found = explain_picture(NetworkSubject(Gives(then)), pixels, method="eigencam")
        assert [value for _, value in found.top] == pytest.approx(sorted(wanted.tolist(), reverse=True), rel=1e-4)
        assert any(said in note for note in found.notes), found.notes


def test_a_subject_says_what_the_outputs_mean(pixels):
    subject = NetworkSubject(Own(), task=create_task("multi_label", ("a", "b", "c")))
    found = fovea.explain(subject, pixels, class_=np.int64(1)).explanations[0][1]
    logits = Own().eval()(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).detach()[0]
    assert dict(found.top)["b"] == pytest.approx(float(logits[1].sigmoid()), rel=1e-4)
    assert found.target_name == "b"
    with pytest.raises(InputError, match="chosen its layer already"):
        fovea.explain(subject, pixels, layer="act")


class Oblong(nn.Module):
    """Patches of 8 x 9 places as tokens behind a class token."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cut, self.token, self.mix, self.head = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8)), nn.GELU(), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.cut(x).flatten(2).transpose(1, 2)
        return self.head(self.mix(torch.cat([self.token, tokens], 1)).mean(1))


def test_tokens_of_a_named_layer_lie_as_they_were_cut():
    picture = np.random.default_rng(0).integers(0, 256, (32, 36, 3), dtype=np.uint8)
    for layer in (None, "mix"):
        assert explain_picture(NetworkSubject(Oblong(), layer=layer), picture).evidence.shape == (8, 9)


def test_a_method_says_what_its_heat_means():
    assert METHODS["gradcam"].info.title("cat") == "what speaks for cat"
    assert METHODS["gradients"].info.title("cat") == "what matters to cat"
    assert METHODS["eigencam"].info.title("cat") == "what is looked at"
