"""Measures of a classifier against scikit-learn and closed forms, and intervals against what they promise."""

import numpy as np
import pytest
from sklearn import metrics as reference

from fovea.metrics.calibration import brier_score, calibration_error, calibration_error_interval, calibration_luck
from fovea.metrics.classification import confusion_matrix
from fovea.metrics.intervals import holm, large_sample_interval, paired_bootstrap, paired_interval, percentile_interval, wilson
from fovea.metrics.per_class import (
    balanced_accuracy,
    balanced_accuracy_interval,
    f1_scores,
    macro_f1,
    macro_f1_interval,
    precisions,
    recalls,
)
from fovea.metrics.ranking import areas, average_precision, curves, ranking_intervals, roc_auc
from fovea.report import ReportData
from fovea.report.measured import measured
from fovea.tasks import create_task
from fovea.types import Floats, Ints

KINDS = [(2, 300, False), (5, 400, False), (3, 250, True), (6, 60, True)]  # classes, pictures, probabilities with ties


def answered(num_classes: int, n: int, tied: bool = False, seed: int = 0) -> tuple[Floats, Ints]:
    """Probabilities that come true, of classes that are not equally common."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(n, num_classes)) * 2 + np.linspace(0, 1, num_classes)
    logits = logits.round() if tied else logits
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    true = (rng.random((n, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(max=num_classes - 1)
    return probabilities.astype(np.float32), true


@pytest.mark.parametrize(("num_classes", "n", "tied"), KINDS)
def test_they_are_scikit_learns(num_classes: int, n: int, tied: bool) -> None:
    probabilities, true = answered(num_classes, n, tied)
    predicted, confusion = probabilities.argmax(axis=1), confusion_matrix(probabilities, true)
    precision, recall, f1, _ = reference.precision_recall_fscore_support(true, predicted, zero_division=np.nan)
    own = np.eye(num_classes)[true]
    aucs, precisions_at = areas(probabilities, true)
    pairs = [
        (balanced_accuracy(confusion), reference.balanced_accuracy_score(true, predicted)),
        (macro_f1(confusion), reference.f1_score(true, predicted, average="macro")),
        (recalls(confusion), recall),
        (precisions(confusion), precision),
        (f1_scores(confusion), f1),
        (aucs[0], [reference.roc_auc_score(own[:, k], probabilities[:, k]) for k in range(num_classes)]),
        (precisions_at[0], [reference.average_precision_score(own[:, k], probabilities[:, k]) for k in range(num_classes)]),
        (roc_auc(probabilities, true), reference.roc_auc_score(own, probabilities, average="macro")),
        (average_precision(probabilities, true), reference.average_precision_score(own, probabilities, average="macro")),
        (brier_score(probabilities, true), np.square(own - probabilities).sum(axis=1).mean()),
    ]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_curves_are_scikit_learns() -> None:
    """Where x does not fall on a step: a step's foot or its head is a matter of rounding."""
    probabilities, true = answered(2, 500)
    found = curves(probabilities, true)
    both = [reference.roc_curve(true == k, probabilities[:, k], drop_intermediate=False) for k in (0, 1)]
    y = np.array(found["roc"])[:, 1]
    theirs = np.mean([np.interp(np.linspace(0, 1, 41) ** 2, *each[:2]) for each in both], axis=0)
    assert np.median(np.abs(y - theirs)) < 1e-4
    assert np.abs(y - theirs).max() < 0.02
    assert found["roc"][-1] == [1, 1]
    traded = [reference.precision_recall_curve(true == k, probabilities[:, k]) for k in (0, 1)]
    for recall, precision in found["precision_recall"][1:]:
        best = [precisions[recalls >= recall - 1e-9][-1] for precisions, recalls, _ in traded]
        assert precision == pytest.approx(np.mean(best), abs=1e-4)


def test_classes_without_pictures_count_for_nothing() -> None:
    probabilities, true = np.array([[0.8, 0.2, 0.0], [0.1, 0.9, 0.0]], np.float32), np.array([0, 1])
    confusion = confusion_matrix(probabilities, true)
    assert (balanced_accuracy(confusion), macro_f1(confusion), roc_auc(probabilities, true)) == (1, 1, 1)
    rows = create_task("classification", ("a", "b", "c")).metrics({"probabilities": probabilities}, true)["per_class"]
    assert [(row["class_name"], row["n"], row["recall"], row["precision"], row["roc_auc"]) for row in rows][2] == ("c", 0, None, None, None)
    alone = create_task("classification", ("a", "b")).metrics({"probabilities": probabilities[:1, :2]}, true[:1])
    assert (alone["roc_auc"], alone["roc_auc_ci95"], alone["curves"]) == (None, None, None)


def test_calibration_error_of_equal_masses() -> None:
    """Thirty pictures in three bins: 0.6 sure and never right, 0.7 and always, 0.9 and nine in ten."""
    confidence = np.repeat([0.6, 0.7, 0.9], 10)
    right = np.array([0] * 10 + [1] * 10 + [1] * 9 + [0])
    probabilities = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
    assert calibration_error(probabilities, 1 - right) == pytest.approx((0.6 + 0.3 + 0.0) / 3, abs=1e-6)
    honest = [calibration_error(probabilities, (np.random.default_rng(seed).random(30) >= confidence).astype(int)) for seed in range(400)]
    assert calibration_luck(probabilities, 1 - right) == pytest.approx(np.mean(honest), abs=0.01)


def test_one_calibration_error_in_all_places() -> None:
    probabilities, true = answered(3, 400, seed=2)
    found = create_task("classification", ("a", "b", "c")).metrics({"probabilities": probabilities}, true)
    assert found["ece"] == found["calibration_error"] == calibration_error(probabilities, true)
    result = measured(ReportData("x", class_names=("a", "b", "c"), test=found))
    assert (result.calibration_error, result.luck) == (found["calibration_error"], found["calibration_error_by_luck"])


@pytest.mark.parametrize("kind", ["calibration error", "no calibration error", "balanced accuracy", "macro F1", "ROC AUC"])
def test_intervals_hold_the_truth_as_often_as_they_say(kind: str) -> None:
    """The truth is that of 20,000 pictures; 150 times 200 of them are measured. Nine in ten at least, with luck of 2.5 points.

    A bootstrap of so few is known to fall a little short.
    """
    probabilities, true = answered(3, 20_000, seed=1)
    if kind == "calibration error":
        probabilities = np.square(probabilities) / np.square(probabilities).sum(axis=1, keepdims=True)  # too sure
    whole = confusion_matrix(probabilities, true)
    truth = {
        "calibration error": lambda: calibration_error(probabilities, true),
        "no calibration error": lambda: 0.0,
        "balanced accuracy": lambda: balanced_accuracy(whole),
        "macro F1": lambda: macro_f1(whole),
        "ROC AUC": lambda: roc_auc(probabilities, true),
    }[kind]()
    rng, held, times = np.random.default_rng(0), 0, 150
    for _ in range(times):
        rows = rng.integers(0, len(true), 200)
        p, y = probabilities[rows], true[rows]
        confusion = confusion_matrix(p, y)
        low, high = {
            "calibration error": lambda p=p, y=y: calibration_error_interval(p, y, num_resamples=100),
            "no calibration error": lambda p=p, y=y: calibration_error_interval(p, y, num_resamples=100),
            "balanced accuracy": lambda confusion=confusion: balanced_accuracy_interval(confusion),
            "macro F1": lambda confusion=confusion: macro_f1_interval(confusion, num_resamples=100),
            "ROC AUC": lambda p=p, y=y: ranking_intervals(p, y, num_resamples=80)[0],
        }[kind]()
        held += low <= truth <= high
    assert held / times >= 0.9


def test_each_interval_holds_its_own_figure() -> None:
    for n in (1, 3, 40):
        probabilities, true = answered(3, n, seed=n)
        found = create_task("classification", ("a", "b", "c")).metrics({"probabilities": probabilities}, true)
        ends = {name.removesuffix("_ci95"): value for name, value in found.items() if name.endswith("_ci95") and value}
        assert len(ends) >= 6
        assert [name for name, (low, high) in ends.items() if not low <= found[name] <= high] == []


def test_what_drawing_anew_cannot_show() -> None:
    assert percentile_interval(1.0, [1.0] * 50, n=40) == wilson(40, 40)
    assert percentile_interval(0.5, [0.6, 0.7, 0.8], n=40)[0] == 0.5
    assert paired_bootstrap(0, 0, 100) == paired_interval(0, 0, 100)
    assert large_sample_interval(0.1, 1.0, 4)[0] == 0
    perfect = np.eye(3, dtype=int) * 10
    assert macro_f1_interval(perfect) == wilson(30, 30) == pytest.approx(balanced_accuracy_interval(perfect))


def test_the_paired_bootstrap_is_the_closed_form_of_many() -> None:
    assert paired_bootstrap(60, 90, 1000) == pytest.approx(paired_interval(90, 60, 1000), abs=0.002)


def test_holms_own_way() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []
