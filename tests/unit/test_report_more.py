"""The parts of a report beyond accuracy: classes worst first, further measures, promises beside what came of them."""

import re

import html5lib
import numpy as np
import pytest

from fovea.models.weights import resolve_weights
from fovea.report import ReportData, render
from fovea.report.honest import honest
from fovea.report.limits import limits
from fovea.report.measured import measured
from fovea.tasks import create_task


def test_classes_worst_first_and_what_was_promised() -> None:
    true = np.repeat([0, 1, 2], 100)
    probabilities = np.eye(3, dtype=np.float32)[np.where(np.arange(300) % 10 < true * 2, (true + 1) % 3, true)] * 0.7 + 0.1
    sets = probabilities > 0.05
    outputs = {"probabilities": probabilities, "prediction_set": sets, "refused": np.arange(300) < 12}
    names = ["seldom wrong", "now and then", "often wrong"]
    found = create_task("classification", tuple(names)).metrics(outputs, true)
    answering = {"conformal": {"coverage": 0.95}, "refusal": {"false_refusal": 0.05}}
    page = render(ReportData(title="three classes", class_names=names, test=found, answering=answering))
    said = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page[page.index("<body") :])).replace("\N{NO-BREAK SPACE}", " ")
    table = said[said.index("the weakest first") :]
    assert [name for _, name in sorted((table.index(name), name) for name in names)] == names[::-1]
    assert "60.0 %" in table
    for words in (
        "Balanced accuracy",
        "Macro F1",
        "ROC AUC",
        "Average precision",
        "Brier score",
        "Calibration error",
        "Log-likelihood loss",
    ):
        assert words in said
    assert "at least 95.0 % of the time; here they did 100 %" in said
    assert "here 4.0 % of 300 pictures were" in said
    assert "ROC curve" in page
    unjudged = render(ReportData(title="three classes", class_names=names, validation=found, answering=answering))
    assert "here they did" not in unjudged, "on the pictures that set the promise"
    assert "Whether this is kept was not measured" in unjudged
    html5lib.HTMLParser(strict=True).parse(page)


@pytest.mark.parametrize(
    ("low", "guess", "learned"),
    [(0.55, 0.05, True), (0.45, 0.05, False), (0.7, 0.8, False)],  # even chances are 0.5; all together, the guess is right 0.5
)
def test_what_is_left_of_leaked_pictures_is_judged_by_its_own_guess(low: float, guess: float, learned: bool) -> None:
    clean = {"n": 20, "accuracy": 0.9, "accuracy_ci95": [low, 0.95], "guess_accuracy": guess}
    test = {"n": 100, "accuracy": 0.9, "accuracy_ci95": [0.82, 0.95], "confusion": [[45, 5], [5, 45]]}
    data = ReportData(title="two", class_names=("a", "b"), test=test, leaked={"split": "test", "n": 80, "of": 100, "clean": clean})
    found = honest(data, measured(data))
    assert found is not None
    assert (found.learned, found.guess_accuracy) == (learned, guess)


def test_the_small_network_of_the_package_is_named_as_a_limit() -> None:
    """By the words of the weights themselves, so that neither side can change alone."""
    tiny, confusion = resolve_weights("fovea_tiny"), [[40, 10], [10, 40]]
    assert tiny is not None
    for weights, backbone, right, said in (
        (tiny.said, "fovea_tiny", 80, True), (tiny.said.replace("in the package", "weights/x"), "fovea_tiny", 80, False),
        ("none", "convnet", 80, False), (tiny.said, "fovea_tiny", 99, False),
    ):  # fmt: skip
        test = {
            "n": 100,
            "accuracy": right / 100,
            "accuracy_ci95": [0.7, 0.9],
            "confusion": confusion if right == 80 else [[50, 0], [1, 49]],
        }
        data = ReportData("x", asked={"Backbone": backbone, "Weights": weights}, class_names=("a", "b"), test=test)
        found = limits(data, measured(data))
        assert ("A larger pretrained one would probably do better" in found[0]) == said
        assert found
