"""The report: one file that says what was measured, whatever the data are called, and asks nobody for anything."""

import re

import html5lib
import numpy as np
import pytest

from fovea.report import Mistake, ReportData, Thumb, write_report

NASTY = ['"quotes" & <b>tags</b>', "line\nbreak", "caf\udce9", "emoji 🦊", "</script><script>alert(1)</script>", "ä" * 300]
RNG = np.random.default_rng(0)


def picture() -> np.ndarray:
    return RNG.integers(0, 256, (120, 160, 3), dtype=np.uint8)


def measured(num_classes: int, n: int, right: int) -> dict[str, object]:
    confusion = np.zeros((num_classes, num_classes), int)
    for index in range(n):
        true = index % num_classes
        confusion[true, true if index < right else (true + 1) % num_classes] += 1
    share = right / n
    return {
        "n": n,
        "accuracy": share,
        "accuracy_ci95": [max(0.0, share - 0.01), min(1.0, share + 0.01)],
        "top5_accuracy": None if num_classes < 6 else 0.99,
        "ece": 0.012,
        "nll": 0.05,
        "confusion": confusion.tolist(),
    }


def data(num_classes: int = 2, *, names: list[str] | None = None, **changed: object) -> ReportData:
    names = names or [f"class {index}" for index in range(num_classes)]
    content = {
        "title": "photos",
        "asked": {"Data": "photos/"},
        "command": "fovea train photos/ --out run",
        "class_names": names,
        "num_files": {"train": 700, "validation": 150, "test": 1000},
        "class_counts": {split: dict.fromkeys(names, 10) for split in ("train", "validation", "test")},
        "examples": [Thumb(picture(), f"{name}/a.jpg", name) for name in names[:20]],
        "audit": {"unreadable": [{"path": "cat/cut.jpg", "problem": "'cat/cut.jpg' is cut off", "fix": "copy it again"}], "duplicates": [["a", "b"]]},
        "search": [{"name": "C", "value": 0.01, "loss": 0.05, "std": 0.01}, {"name": "C", "value": 0.1, "loss": 0.04, "std": 0.01}],
        "validation": measured(num_classes, 150, 140),
        "test": measured(num_classes, 1000, 985),
        "reliability": [{"lo": 0.9, "hi": 1.0, "n": 1000, "confidence": 0.98, "accuracy": 0.985}],
        "mistakes": [Mistake(picture(), f"{names[0]}/{index}.jpg", names[0], names[1], 0.99) for index in range(15)],
        "timing": {"total_s": 12.3, "embed_s": 8.0},
        "versions": {"fovea": "0.1.0"},
        "seed": 0,
    }
    return ReportData(**(content | changed))


HISTORY = [
    {"epoch": epoch, "split": split, "loss": 1 / epoch, "accuracy": 1 - 0.5 / epoch, "lr": 1e-3, "seconds": 1.0}
    for epoch in range(1, 6)
    for split in ("train", "validation")
]
KINDS = {
    "two classes": data(),
    "ten classes": data(10),
    "two hundred classes": data(200),
    "no test split": data(test=None, num_files={"train": 700, "validation": 150}),
    "no mistakes": data(test=measured(2, 1000, 1000), mistakes=[]),
    "epochs": data(history=HISTORY, search=[]),
    "nasty names": data(names=NASTY, num_classes=len(NASTY)),
    "side by side": data(
        comparison=[
            {"name": name, "n": 100, "accuracy": 0.9, "accuracy_ci95": [0.83, 0.94], "loss": 0.3, "seconds": 2.0, "history": HISTORY}
            for name in ("frozen", "fresh", "free")
        ]
    ),
    "nothing but a title": ReportData(title="empty"),
}


@pytest.fixture(params=KINDS, scope="module")
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    path = write_report(tmp_path_factory.mktemp("report") / "report.html", KINDS[request.param])
    return request.param, path.read_text(encoding="utf-8")


def test_is_whole_and_small(page):
    kind, text = page
    assert len(text.encode()) < 5e6
    parser = html5lib.HTMLParser(strict=True)
    tree = parser.parse(text)
    assert not parser.errors, kind
    assert text.startswith("<!doctype html>") or text.startswith("<!DOCTYPE html>")
    assert tree is not None


def test_asks_nobody_for_anything(page):
    _, text = page
    for reference in re.findall(r'(?:src|href|action|data)="([^"]*)"', text) + re.findall(r"url\(([^)]*)\)", text):
        assert reference.startswith(("#", "data:")), reference
    assert "@import" not in text


def test_names_cannot_become_markup(page):
    _, text = page
    assert "<script>alert" not in text
    assert "<b>tags</b>" not in text


def test_the_answer_comes_first_and_is_the_measured_one(tmp_path):
    text = write_report(tmp_path / "report.html", KINDS["two classes"]).read_text()
    words = re.sub(r"<[^>]+>|\s+", " ", text[text.index("<body") :])
    assert re.search(r"right on 985 of 1,000 test pictures", words)
    assert "98.5 %" in words
    assert words.index("985 of 1,000") < words.index("What to do next")


def test_without_a_test_split_it_says_so(tmp_path):
    text = write_report(tmp_path / "report.html", KINDS["no test split"]).read_text()
    assert "140 of 150" in text
    assert "validation" in text[: text.index("What to do next")]


def test_the_chosen_regularisation_is_the_one_with_the_lowest_loss(tmp_path):
    text = write_report(tmp_path / "report.html", KINDS["two classes"]).read_text()
    assert "0.1 was taken" in re.sub(r"<[^>]+>|\s+", " ", text)


def test_broken_files_are_named(tmp_path):
    assert "cat/cut.jpg" in write_report(tmp_path / "report.html", KINDS["two classes"]).read_text()


def test_nothing_learned_is_said(tmp_path):
    chance = data(test=measured(2, 1000, 500))
    assert "nothing" in write_report(tmp_path / "report.html", chance).read_text().lower()
