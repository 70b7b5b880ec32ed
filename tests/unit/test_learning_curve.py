"""The learning curve: the law is found where there is one, what it expects comes true, and it keeps silent where it cannot know."""

import itertools

import numpy as np
import pytest

from fovea.evaluation.learning_curve import LearningCurve, _growing, fit_law, learning_curve
from fovea.training.logistic import FitPath

WIDTH = 24
CENTRE = np.random.default_rng(7).normal(size=WIDTH) * 0.28


def made(count, *, seed, apart=1.0):
    """Two clouds that touch."""
    rng = np.random.default_rng(seed)
    targets = np.arange(count) % 2
    return (rng.normal(size=(count, WIDTH)) + apart * (2 * targets[:, None] - 1) * CENTRE).astype(np.float32), targets


@pytest.mark.parametrize("law", [(0.9, 0.5, 0.05), (2.0, 1.0, 0.0), (0.0, 0.1, 0.3)])
def test_the_law_is_found(law):
    a, b, c = law
    sizes = np.array([20, 36, 64, 112, 200])
    errors = a * sizes.astype(float) ** -b + c
    found = fit_law(sizes, np.stack([errors, errors]), np.ones((2, 5)))
    later = np.array([300.0, 400.0])
    np.testing.assert_allclose(found[:, :1] * later ** -found[:, 1:2] + found[:, 2:], [a * later**-b + c] * 2, atol=2e-3)


def test_what_it_expects_comes_true():
    curve = learning_curve(*made(240, seed=1), np.arange(240), num_classes=2, strength=1e-2, seed=0)
    assert isinstance(curve, LearningCurve)
    assert curve.now == 240
    assert list(curve.sizes) == sorted(curve.sizes)
    assert curve.sizes[-1] == 192
    assert curve.judged == 240
    unseen, answers = made(4000, seed=99)
    for forecast in curve.forecasts:
        right = []
        for seed in range(6):
            weight, bias = FitPath(*made(forecast.n, seed=100 + seed), 2).fit(1e-2)
            right.append(float(((unseen @ weight.T + bias).argmax(1) == answers).mean()))
        assert forecast.low - 0.01 < np.mean(right) < forecast.high + 0.01, forecast
        assert forecast.gain_low <= forecast.gain <= forecast.gain_high
    assert [f.n for f in curve.forecasts] == [240, 340, 480]
    told = curve.to_json()
    assert [point["n"] for point in told["points"]] == list(curve.sizes)
    assert not told["approximate"]


def test_it_is_the_same_each_time_and_says_when_it_approximates():
    first, again = (learning_curve(*made(80, seed=3), np.arange(80), num_classes=2, strength=None, seed=5) for _ in range(2))
    assert first == again
    assert first.approximate


def test_without_mistakes_nothing_is_drawn_on():
    curve = learning_curve(*made(120, seed=2, apart=20.0), np.arange(120), num_classes=2, strength=1e-2, seed=0)
    assert curve.forecasts == ()
    assert "wrong on 0 of 120 hidden training pictures" in curve.note


@pytest.mark.parametrize(
    ("count", "width", "groups", "says"),
    [
        (100_000, 1280, None, "would take long"),
        (10, 4, None, "too few"),
        (20, 4, np.arange(20) % 2, "cannot be hidden|none can be hidden"),
    ],
    ids=["too many", "too few", "one group a class"],
)
def test_where_there_is_none_it_says_why(count, width, groups, says):
    embeddings = np.broadcast_to(np.zeros((1, width), np.float32), (count, width))
    targets = np.arange(count) % 2
    found = learning_curve(embeddings, targets, np.arange(count) if groups is None else groups, num_classes=2, strength=1.0, seed=0)
    assert isinstance(found, str)
    assert any(part in found for part in says.split("|")), found


def test_draws_grow_and_hold_every_class():
    targets = np.repeat([0, 1, 2], [60, 30, 4])
    drawn = _growing(np.arange(94), targets, np.random.default_rng(0))
    for small, large in itertools.pairwise(drawn):
        assert set(small) < set(large)
    assert all(set(targets[part]) == {0, 1, 2} for part in drawn)
    assert len(drawn[-1]) == 94
