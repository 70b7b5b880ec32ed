"""Heads that are solved for at once: against scikit-learn, and with groups that must not judge each other."""

import numpy as np
import pytest

from fovea.training.solvers import SOLVERS, solve


def data(num, width, outputs, seed=0):
    rng = np.random.default_rng(seed)
    inputs = rng.normal(2, 3, (num, width)).astype(np.float32)
    return inputs, inputs @ rng.normal(size=(width, outputs)) / width + 100 + rng.normal(size=(num, outputs)) * 0.1


@pytest.mark.parametrize(("num", "width"), [(60, 8), (20, 50)], ids=["more rows", "more features"])
def test_ridge_is_that_of_scikit_learn(num, width):
    from sklearn.linear_model import Ridge

    inputs, targets = data(num, width, 2)
    ours = solve("ridge", inputs, targets.astype(np.float32), np.arange(num), num_outputs=2, seed=0)
    scaled = (inputs - inputs.mean(0)) / inputs.std(0)
    theirs = Ridge(alpha=1 / ours.strength).fit(scaled, targets.astype(np.float32))
    np.testing.assert_allclose(inputs @ ours.weight.T + ours.bias, theirs.predict(scaled), rtol=1e-4)
    assert len(ours.search) == 17
    assert min(ours.search, key=lambda row: row[1])[0] == ours.strength


def test_each_label_is_a_logistic_regression_of_its_own():
    from sklearn.linear_model import LogisticRegression

    inputs, scores = data(120, 6, 2)
    targets = (scores > np.median(scores, axis=0)).astype(np.float32)
    ours = solve("binary_logistic", inputs, targets, np.arange(120), num_outputs=2, seed=0)
    scaled = (inputs - inputs.mean(0)) / inputs.std(0)
    for k in range(2):
        theirs = LogisticRegression(C=ours.strength, tol=1e-8, max_iter=1000).fit(scaled, targets[:, k])
        mine = 1 / (1 + np.exp(-(inputs @ ours.weight[k] + ours.bias[k])))
        np.testing.assert_allclose(mine, theirs.predict_proba(scaled)[:, 1], atol=2e-3)


@pytest.mark.parametrize("name", SOLVERS.names())
def test_what_belongs_together_judges_nothing(name):
    inputs, targets = data(20, 4, 2)
    shown = {"ridge": targets.astype(np.float32), "binary_logistic": (targets > 100).astype(np.float32)}
    found = solve(name, inputs, shown.get(name, np.arange(20) % 2), np.zeros(20, np.int64), num_outputs=2, seed=0)
    assert found.search == []
    assert "default" in found.note


def test_one_seed_gives_one_head():
    inputs, targets = data(40, 5, 1)
    first, again = (solve("ridge", inputs, targets.astype(np.float32), np.arange(40), num_outputs=1, seed=3) for _ in range(2))
    assert first.search == again.search
    assert (first.weight == again.weight).all()
