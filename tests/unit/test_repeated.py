"""Repeated cross-validation: no picture is judged by a head that saw it, and the interval knows that repeats are no new pictures."""

import numpy as np
import pytest

from fovea.evaluation.repeated import counted_as, cross_validate, turned
from fovea.metrics.intervals import wilson
from fovea.training.logistic import FitPath


def made(count, *, apart, seed, width=12):
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(count) % 2)
    vectors = rng.normal(size=(count, width))
    vectors[:, 0] += apart * (2 * targets - 1)
    return vectors.astype(np.float32), targets


def test_it_measures_and_says_how():
    vectors, targets = made(80, apart=1.5, seed=0)
    found = cross_validate(vectors, targets, np.arange(80), num_classes=2, num_learned=56, seed=0)
    assert found is not None
    assert (found.n, found.folds, found.learned_from, found.commonest) == (80, 5, 56, 0.5)
    confusion = np.array(found.confusion)
    assert confusion.sum() == pytest.approx(80)
    assert np.trace(confusion) / 80 == pytest.approx(found.accuracy)
    assert 0.8 < found.accuracy < 1.0
    low, high = wilson(found.accuracy * 80, 80)
    assert found.low < low < found.accuracy < high < found.high, "repeats make it no narrower than 80 pictures do"


def test_labels_by_chance_come_to_chance_even_where_pictures_are_there_twice():
    """Versions of a picture are of one group: were they judged by each other, labels by chance would be known by heart."""
    vectors, targets = made(40, apart=0.0, seed=1)
    twice, both, groups = np.concatenate([vectors, vectors]), np.concatenate([targets, targets]), np.tile(np.arange(40), 2)
    found = cross_validate(twice, both, groups, num_classes=2, num_learned=56, seed=0)
    assert found is not None
    assert found.low < 0.5 < found.high
    alone = cross_validate(twice, both, np.arange(80), num_classes=2, num_learned=56, seed=0)
    assert alone is not None
    assert alone.accuracy > found.accuracy


def test_a_class_of_one_group_cannot_be_hidden():
    vectors, targets = made(20, apart=1.0, seed=0)
    assert cross_validate(vectors, targets, np.where(targets == 1, 0, np.arange(20)), num_classes=2, num_learned=14, seed=0) is None


def test_pictures_that_hang_together_count_less():
    rng = np.random.default_rng(0)
    folds = np.tile(np.arange(5), 20)[None]
    apart = rng.random((1, 100)) < 0.7
    together = (folds % 2 == 0) & (rng.random((1, 100)) < 0.99)
    alone = np.arange(100)
    assert counted_as(together, folds, alone, learned_from=70) < counted_as(apart, folds, alone, learned_from=70) / 2 < 50
    assert counted_as(apart, folds, alone // 2, learned_from=70) == pytest.approx(counted_as(apart, folds, alone, learned_from=70) / 2)


def test_turned_vectors_learn_the_same():
    vectors, targets = made(30, apart=1.0, seed=1, width=200)
    short, scale = turned(vectors)
    assert short.shape == (30, 30)
    assert scale.apply(short) == pytest.approx(short, abs=1e-5)
    as_they_are = (vectors - vectors.mean(0)) / vectors.std(0)
    answers = []
    for inputs, own in ((short, scale), (as_they_are, turned(np.tile(as_they_are, (8, 1)))[1])):
        weight, bias = FitPath(inputs[:20], targets[:20], 2, scale=own).fit(1e-2)
        answers.append(inputs[20:] @ weight.T + bias)
    np.testing.assert_allclose(*answers, atol=2e-3)


@pytest.mark.slow
def test_the_interval_holds_what_the_shipped_head_does_on_new_pictures():
    unseen, answers = made(10_000, apart=0.8, seed=999)
    held = []
    for seed in range(150):
        vectors, targets = made(60, apart=0.8, seed=seed)
        found = cross_validate(vectors, targets, np.arange(60), num_classes=2, num_learned=42, seed=seed)
        assert found is not None
        weight, bias = FitPath(vectors[:42], targets[:42], 2).fit(1e-1)
        held.append(found.low <= ((unseen @ weight.T + bias).argmax(1) == answers).mean() <= found.high)
    assert np.mean(held) > 0.91  # 95 % less 2.3 standard errors of 150
