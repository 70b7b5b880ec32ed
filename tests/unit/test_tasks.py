"""Tasks: the exam that all sit, their measures against references, and what they say."""

import json

import numpy as np
import pytest

from fovea.errors import DataError, InputError
from fovea.metrics.multi_label import average_precision, best_threshold, f1_of, mean_average_precision_of
from fovea.metrics.regression import conformal_half_width, determination_of, once, squared_error_root_of
from fovea.metrics.resampling import bootstrap, mean_of
from fovea.tasks import TASKS, create_task
from fovea.testing.exam import ExamFailed
from fovea.testing.tasks import check_task
from fovea.training.goal import check_method
from fovea.training.method import Method, Stopping


def test_the_tasks_are_all_there():
    assert {"classification", "multi_label", "regression"} <= set(TASKS.names())


@pytest.mark.parametrize("name", TASKS.names())
def test_every_task_passes_the_exam(name):
    check_task(name, class_names=("a", "b"), labels=("a", "b")) if not TASKS[name].info.kind else check_task(name)


def test_the_exam_finds_an_untrue_task(monkeypatch):
    monkeypatch.setattr("fovea.tasks.regression.Regression.answer", "numbers")
    with pytest.raises(ExamFailed, match=r"task regression: it declares \['embedding', 'values'\], and not 'numbers' and 'embedding'"):
        check_task("regression")
    monkeypatch.setattr("fovea.tasks.multi_label.MultiLabel.loss", "hinge")
    with pytest.raises(ExamFailed, match="its loss 'hinge' is none of"):
        check_task("multi_label")


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_is_that_of_scikit_learn(ties):
    from sklearn.metrics import average_precision_score

    rng = np.random.default_rng(0)
    scores = rng.random((80, 3)).astype(np.float32).round(1 if ties else 6)
    true = (rng.random((80, 3)) < 0.3).astype(np.float32)
    ours = [average_precision(scores[:, k], true[:, k]) for k in range(3)]
    assert ours == pytest.approx([average_precision_score(true[:, k], scores[:, k]) for k in range(3)])
    assert mean_average_precision_of(scores, true)(np.ones((1, 80)))[0] == pytest.approx(np.mean(ours))
    counts = rng.multinomial(80, np.full(80, 1 / 80), size=1).astype(float)  # a resample is as if its pictures stood there so often
    again = np.repeat(np.arange(80), counts[0].astype(int))
    resampled = mean_average_precision_of(scores, true)(counts)[0]
    assert resampled == pytest.approx(mean_average_precision_of(scores[again], true[again])(np.ones((1, 80)))[0])
    assert average_precision(scores[:, 0], np.zeros(80, np.float32)) is None


@pytest.mark.parametrize("average", ["macro", "micro"])
def test_f1_is_that_of_scikit_learn(average):
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(1)
    said, true = rng.random((60, 4)) < 0.4, (rng.random((60, 4)) < 0.5).astype(np.float32)
    assert f1_of(said, true, average=average)(np.ones((1, 60)))[0] == pytest.approx(f1_score(true, said, average=average))


def test_the_best_threshold_cuts_between_unequal_scores():
    scores, true = np.array([0.9, 0.8, 0.8, 0.3, 0.1], np.float32), np.array([1, 1, 0, 1, 0], np.float32)
    threshold, f1 = best_threshold(scores, true)
    assert (threshold, f1) == (pytest.approx(0.2), pytest.approx(6 / 7))
    assert best_threshold(np.full(4, 0.5, np.float32), np.ones(4, np.float32)) == (0.25, 1.0)


def test_measures_of_numbers_are_those_of_the_textbook():
    true, said = np.array([1.0, 2, 3, 4]), np.array([1.5, 2, 2.5, 5])
    assert once(squared_error_root_of(said, true), 4) == pytest.approx((1.5 / 4) ** 0.5)
    assert once(determination_of(said, true), 4) == pytest.approx(1 - 1.5 / 5)
    assert np.isnan(once(determination_of(said, np.ones(4)), 4))


def test_the_bootstrap_covers_the_mean():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        low, high = bootstrap(mean_of(rng.normal(size=60)), 60)
        held += low <= 0 <= high
    assert 0.90 <= held / 200 <= 0.98


def test_a_conformal_interval_holds_as_often_as_it_promises():
    assert conformal_half_width(np.arange(8.0), coverage=0.9) is None  # eight are too few to promise nine in ten
    rng = np.random.default_rng(0)
    held = [np.mean(np.abs(rng.normal(size=500)) <= conformal_half_width(np.abs(rng.normal(size=30)), coverage=0.9)) for _ in range(300)]
    assert np.mean(held) == pytest.approx(28 / 31, abs=0.015)  # (rank 28 of 31 places)


@pytest.mark.parametrize(
    ("name", "settled", "answers", "targets", "right"),
    [
        ("classification", {}, [[0.9, 0.1], [0.2, 0.8]], [0, 0], [True, False]),
        ("multi_label", {}, [[0.9, 0.9], [0.9, 0.1]], [[1, 1], [1, 1]], [True, False]),
        ("regression", {"half_width": {"a": 1.0, "b": 2.0}}, [[0.5, 1.5], [0.5, 2.5]], [[0, 0], [0, 0]], [True, False]),
        ("regression", {}, [[0.5, 1.5]], [[0, 0]], None),
    ],
)
def test_what_counts_as_right(name, settled, answers, targets, right):
    task = create_task(name, ("a", "b")).settled(settled)
    found = task.rightly({task.answer: np.array(answers, np.float32)}, np.array(targets))
    assert (found if found is None else found.tolist()) == right


def test_what_multi_label_says():
    task = create_task("multi_label", ("a", "b"))
    targets = task.targets(["a;b", "a", "", "b"])
    assert targets.tolist() == [[1, 1], [1, 0], [0, 0], [0, 1]]
    outputs = {"probabilities": np.array([[0.9, 0.6], [0.8, 0.1], [0.2, 0.3], [0.55, 0.7]], np.float32)}
    found = [prediction.to_json()["labels"] for prediction in task.decode(outputs)]
    assert found == [["a", "b"], ["a"], [], ["b", "a"]]
    strict = task.settled({"thresholds": {"a": 0.6, "b": 0.5}, "commonest": ["a"]})
    measured = strict.metrics(outputs, targets)
    assert (measured["subset_accuracy"], measured["mean_average_precision"], measured["baseline_subset_accuracy"]) == (1, 1, 0.25)
    assert measured["labels"]["a"] | {"average_precision_ci95": None} == {
        "n": 2, "average_precision": 1, "average_precision_ci95": None, "by_chance": 0.5, "recall": 1, "precision": 1, "f1": 1,
        "threshold": pytest.approx(0.6),
    }  # fmt: skip
    assert [wrong.note for wrong in task.worst(["a;b", "a", "", "b"], outputs, targets)] == ["wrongly names a (55.0\u00a0%)"]
    with pytest.raises(DataError, match="labels that the model does not know: 'c'"):
        task.targets(["a;c"])


def test_what_regression_says():
    task = create_task("regression", ("age",))
    targets = task.targets(["10", "20", "30", "42"])
    outputs = {"values": targets + np.array([[1], [-1], [1], [-3]], np.float32)}
    settled = task.settle({"values": np.tile(targets, (5, 1)) + 2}, np.tile(targets, (5, 1)), targets)
    assert settled["half_width"] == {"age": pytest.approx(2)}
    told = task.settled(settled)
    assert told.decode(outputs)[0].to_json() == {"values": {"age": 11}, "intervals": {"age": pytest.approx([9, 13])}}
    assert told.decode(outputs)[0].describe(1) == "11.0 (9.0 to 13.0)"
    measured = told.metrics(outputs, targets)
    assert (measured["mae"], measured["interval_coverage"], measured["baseline_mae"]) == (1.5, 0.75, pytest.approx(10.5))
    assert measured["mae"] == measured["targets"]["age"]["mae"]
    tables = {split: told.told(measured, split=split).tables[1] for split in ("test", "validation")}
    assert "Held it" in tables["test"].header
    assert "Held it" not in tables["validation"].header, "which set the interval"
    assert not any("9 times" in table.caption for table in tables.values()), "whatever was promised"
    sentence = told.told(json.loads(json.dumps(measured)), split="test").sentence
    assert sentence.startswith("It is off by 1.5 on average (1 to 2.5), on 4 test pictures; always guessing the mean would be off by 10.5.")
    worst = told.worst(["10", "20", "30", "42"], outputs, targets)
    assert (worst[0].true, worst[0].predicted, worst[0].note) == ("42.0", "39.0", "3 too low")


def test_nothing_learned_leads():
    rng = np.random.default_rng(0)
    labels = create_task("multi_label", ("a", "b"))
    targets = (rng.random((200, 2)) < 0.5).astype(np.float32)
    numbers = create_task("regression", ("age",))
    true = rng.normal(size=(200, 1)).astype(np.float32)
    for task, truth, outputs in (
        (labels, targets, {"probabilities": rng.random((200, 2)).astype(np.float32)}),
        (numbers, true, {"values": rng.normal(size=(200, 1)).astype(np.float32)}),
    ):
        told = task.told(task.metrics(outputs, truth), split="test")
        assert told.sentence.startswith("Nothing was learned, as far as can be told. It ")
        assert "no better than" in told.caution


def test_figures_of_few_pictures_say_so():
    task = create_task("multi_label", ("common", "once"))
    labels = ["common"] * 20 + ["once"] + [""] * 19
    targets = task.targets(labels)
    measured = task.metrics({"probabilities": targets * 0.9}, targets)
    told = task.told(measured, split="test")
    assert measured["labels"]["once"]["average_precision"] == 1, "of a single picture"
    assert told.caution == "Of test pictures with the label, “once” has 1: too few to know how well it is found."
    assert told.tone == "caution"
    common, once_ = (dict(zip(told.tables[1].header, row, strict=True)) for row in told.tables[1].rows)
    assert once_["95 % interval"] == "too few to tell"
    assert once_["Found"] == "100.0\u00a0% (20.7 to 100.0)"
    assert common["95 % interval"] == "1.000 to 1.000"
    assert told.limits == ["Its figure is only known to 8.8\u00a0%: 40 test pictures cannot tell more."]
    told = task.told(task.metrics({"probabilities": targets[:12] * 0.9}, targets[:12]), split="test")
    assert "There are only 12 test pictures: too few to know how good it is" in told.caution

    task = create_task("regression", ("age",))
    for n, few in ((12, True), (400, False)):
        targets = np.arange(n, dtype=np.float32)[:, None]
        settled = task.settled(task.settle({"values": targets[:5]}, targets[:5], targets))
        told = settled.told(settled.metrics({"values": targets + np.sin(targets)}, targets), split="test")
        assert ("There are only 12 test pictures" in told.caution, told.tone) == (few, "caution" if few else "plain")
        assert told.limits[-1] == "No single answer comes with an interval: 5 validation pictures are too few to promise one."
        assert ("12 test pictures cannot tell more." in told.limits[0]) == few


@pytest.mark.parametrize(("label", "problem"), [("red", "not a number"), ("1;2", "does not have"), ("inf", "does not have")])
def test_targets_that_are_no_numbers(label, problem):
    with pytest.raises(DataError, match=problem):
        create_task("regression", ("age",)).targets(["1", label])


@pytest.mark.parametrize(
    ("method", "option"),
    [
        (Method(epochs=1, label_smoothing=0.1), "--label-smoothing 0.1"),
        (Method(epochs=1, balance="weights"), "--balance weights"),
        (Method(epochs=1, balance="sampling"), "--balance sampling"),
        (Method(epochs=1, stop=Stopping(monitor="accuracy")), "--monitor accuracy"),
    ],
)
def test_what_has_no_meaning_for_numbers_is_refused(method, option):
    with pytest.raises(InputError, match=f"{option} has no meaning where squared error is made small"):
        check_method(method, "squared_error")
    check_method(method, "cross_entropy")
