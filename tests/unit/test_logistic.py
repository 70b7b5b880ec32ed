"""The head of a probe: the fit is the one that the formula asks for, and the choice is made as it says."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fovea.bundle.format import Calibration
from fovea.evaluation.calibrate import calibrated, fit_temperature
from fovea.training import logistic
from fovea.training.logistic import deal, fit_logistic, out_of_fold
from fovea.training.standardise import Standardised


def clouds(num_classes: int, *, each: int = 60, width: int = 12, noise: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    chance = np.random.default_rng(num_classes)
    targets = np.repeat(np.arange(num_classes), each)
    middles = chance.normal(size=(num_classes, width))
    return (middles[targets] + noise * chance.normal(size=(len(targets), width)) + 3).astype(np.float32), targets


def alone(targets: np.ndarray) -> np.ndarray:
    return np.arange(len(targets))


@pytest.mark.parametrize("num_classes", [3, 7])
def test_the_fit_is_that_of_a_reference(num_classes: int) -> None:
    inputs, targets = clouds(num_classes)
    ours = fit_logistic(inputs, targets, alone(targets), num_classes=num_classes, seed=0)
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    reference = LogisticRegression(C=ours.strength, max_iter=5_000, tol=1e-8).fit(scaled, targets).predict_proba(scaled)
    assert np.abs(calibrated(inputs @ ours.weight.T + ours.bias, Calibration()) - reference).max() < 2e-3


def test_two_classes_are_as_many_as_any() -> None:
    inputs, targets = clouds(2)
    ours = fit_logistic(inputs, targets, alone(targets), num_classes=2, seed=0)
    assert ours.weight.shape == (2, inputs.shape[1])
    assert np.allclose(ours.weight[0], -ours.weight[1], atol=1e-3), "neither is preferred"
    assert ((inputs @ ours.weight.T + ours.bias).argmax(axis=1) == targets).mean() > 0.8


def test_the_regularisation_is_the_best_of_those_compared() -> None:
    inputs, targets = clouds(3)
    first, again = (fit_logistic(inputs, targets, alone(targets), num_classes=3, seed=4) for _ in range(2))
    assert first.strength == min(first.search, key=lambda row: row[1])[0]
    assert first.search == again.search
    assert np.array_equal(first.weight, again.weight)
    assert len(first.search) >= 2
    assert f"C = {first.strength:g} had the lowest" in first.note


def test_a_class_with_one_picture_keeps_the_default() -> None:
    inputs, targets = clouds(2)
    more = np.append(targets, 2)
    found = fit_logistic(np.concatenate([inputs, inputs[:1] + 9]), more, alone(more), num_classes=3, seed=0)
    assert found.search == []
    assert "a class has a single training picture" in found.note


def test_scale_does_not_matter() -> None:
    inputs, targets = clouds(3)
    plain, large = (
        fit_logistic(inputs, targets, alone(targets), num_classes=3, seed=0),
        fit_logistic(inputs * 1000, targets, alone(targets), num_classes=3, seed=0),
    )
    assert np.allclose(inputs @ plain.weight.T + plain.bias, (inputs * 1000) @ large.weight.T + large.bias, atol=0.01)


def test_out_of_fold_answers_know_nothing_of_the_row() -> None:
    inputs, targets = clouds(3, noise=0.5)
    targets[0] = 2  # wrong: only a fit that saw this row could agree
    folds = np.arange(len(targets)) % 4
    probabilities, strength = out_of_fold(inputs, targets, folds, num_classes=3)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert probabilities[0].argmax() == 0
    assert strength in (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


def test_a_fold_has_no_say_in_the_regularisation_that_it_is_asked_with(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, targets = clouds(2, each=3)
    strong, weak = ([np.full((2, 2), share, np.float32)] * 3 for share in (0.25, 0.75))
    walked = [(1e-4, [0.5, 0.5, 9.0], strong), (1.0, [0.9, 0.9, 0.1], weak)]  # only the last fold would take the weak one
    monkeypatch.setattr(logistic, "walk", lambda *_: walked)
    found, strength = out_of_fold(inputs, targets, np.arange(6) % 3, num_classes=2)
    assert strength == 1.0, "what all of them would take"
    assert found[:, 0].tolist() == [0.75, 0.75, 0.25] * 2


def test_a_class_in_one_fold_only_gets_no_probability_there() -> None:
    inputs, targets = clouds(3, noise=0.5)
    folds = np.where(targets == 2, 0, np.arange(len(targets)) % 3)
    probabilities, _ = out_of_fold(inputs, targets, folds, num_classes=3)
    assert probabilities[targets == 2, 2].max() == 0


def test_temperature_undoes_a_known_one() -> None:
    chance = np.random.default_rng(0)
    logits = chance.normal(size=(20_000, 4)) * 2
    true = (logits + chance.gumbel(size=logits.shape)).argmax(axis=1)
    assert fit_temperature(logits * 3, true) == pytest.approx(3, rel=0.03)
    assert fit_temperature(logits[:0], true[:0]) == 1
    assert 0.05 <= fit_temperature(logits[:5] * 1e4, logits[:5].argmax(axis=1)) <= 20


def test_what_belongs_together_is_not_judged_by_its_like() -> None:
    """40 groups of 10 near copies whose classes mean nothing: single rows in the folds would choose the weakest penalty."""
    chance = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    inputs = (chance.normal(size=(40, 30))[groups] + 0.05 * chance.normal(size=(400, 30))).astype(np.float32)
    targets = chance.permutation(np.arange(40) % 2)[groups]
    assert fit_logistic(inputs, targets, groups, num_classes=2, seed=0).strength == 1e-4
    assert fit_logistic(inputs, targets, alone(targets), num_classes=2, seed=0).strength >= 1
    folds = deal(targets, groups, num_folds=5, seed=0)
    assert all(len(set(folds[groups == group])) == 1 for group in range(40))
    assert set(np.bincount(folds)) == {80}


def test_a_feature_that_only_rounds_is_left_as_it_is() -> None:
    chance = np.random.default_rng(0)
    inputs = chance.normal(size=(200, 3)).astype(np.float32)
    inputs[:, 1] = np.float32(0.4) + chance.integers(0, 2, 200).astype(np.float32) * np.float32(3e-8)
    scale = Standardised(inputs)
    assert scale.deviation[1] == 1
    assert np.allclose(scale.deviation[[0, 2]], inputs[:, [0, 2]].std(axis=0))
