"""The report: one file that says what was measured, whatever the data are called, and asks nobody for anything."""

import math
import re
import subprocess
import sys
import time
from collections import Counter
from itertools import pairwise

import html5lib
import numpy as np
import pytest

from fovea.audit import FINDINGS, Audit, Fault, Finding
from fovea.report import Mistake, ReportData, Thumb, advise, render, write_report
from fovea.report.answer import answer
from fovea.report.figures import Series, line_chart
from fovea.report.honesty import Bin, honesty
from fovea.report.measured import confused_pairs
from fovea.report.measured import measured as read_measured
from fovea.report.words import clean, duration, figure, percent

XHTML = "{http://www.w3.org/1999/xhtml}"
SVG = "{http://www.w3.org/2000/svg}"
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


def audited(**faults: list[object]) -> dict[str, object]:
    """audit.json with these faults, as the audit itself words them."""
    findings = {
        entry.name: Finding(entry.name, entry.info, [Fault((), "", told) for told in faults.get(entry.name, [])])
        for entry in sorted(FINDINGS, key=lambda entry: entry.info.order)
    }
    return Audit(1_000, findings, {}, {}, None).to_json()


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
        "audit": audited(
            unreadable=[{"path": "cat/cut.jpg", "problem": "'cat/cut.jpg' is cut off", "fix": "copy it again"}], duplicates=[["a", "b"]]
        ),
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
    assert text.startswith("<!doctype html>")
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
    assert "no better than always answering “class 0”" in write_report(tmp_path / "report.html", chance).read_text()
    opening = answer(chance, read_measured(chance))
    assert opening.sentence.startswith("Nothing was learned, as far as can be told. It will be right about 50 times in 100")
    assert opening.caution.startswith("This is no better than always answering")
    assert not answer(KINDS["two classes"], read_measured(KINDS["two classes"])).sentence.startswith("Nothing")
    assert advise(chance)[0].headline == "It has not been shown to have learned anything."
    assert "no better than" not in render(KINDS["two classes"])


def plain(text: str) -> str:
    """The words that a reader sees, with one space between them."""
    return re.sub(r"(?:\s|&nbsp;)+", " ", re.sub(r"<[^>]+>", " ", text[text.index("<body") :]))


def test_can_be_read_without_eyes_or_mouse(page):
    kind, text = page
    tree = html5lib.parse(text)
    assert tree.get("lang") == "en"
    assert len(tree.findall(f".//{XHTML}main")) == len(tree.findall(f".//{XHTML}h1")) == 1
    assert all(image.get("alt") for image in tree.iter(f"{XHTML}img"))
    assert all(table.find(f"{XHTML}caption") is not None for table in tree.iter(f"{XHTML}table"))
    charts = [svg for svg in tree.iter(f"{SVG}svg") if svg.get("aria-hidden") is None]
    assert all(svg.findtext(f"{SVG}title") and svg.findtext(f"{SVG}desc") for svg in charts)
    assert len(charts) >= {"two classes": 2, "epochs": 3, "side by side": 4}.get(kind, 0)
    levels = [int(element.tag[-1]) for element in tree.iter() if re.fullmatch(re.escape(XHTML) + "h[1-6]", str(element.tag))]
    assert all(after <= before + 1 for before, after in pairwise(levels)), levels
    ids = Counter(element.get("id") for element in tree.iter() if element.get("id"))
    assert max(ids.values()) == 1
    named = [
        word for e in tree.iter() for word in f"{e.get('aria-labelledby', '')} {e.get('href', '')}".split() if not word.startswith("data:")
    ]
    assert len(named) > 3
    assert {word.removeprefix("#") for word in named} <= set(ids)


def test_every_number_is_in_the_text():
    confusion = [[411, 13, 7], [23, 377, 2], [5, 17, 145]]
    test = measured(3, 1000, 933) | {"confusion": confusion, "accuracy_ci95": [0.9158, 0.9469], "ece": 0.0317, "nll": 0.2468}
    shown = plain(
        render(
            data(
                3,
                test=test,
                class_counts={"train": {"class 0": 1234, "class 1": 567, "class 2": 89}},
                mistakes=[Mistake(picture(), "cat/x.jpg", "class 0", "class 1", 0.8771)],
                timing={"total_s": 123.4, "decode_s": 56.7, "embed_s": 0.0891},
                history=HISTORY,
            )
        )
    )
    for number in [
        *(n for row in confusion for n in row),
        933,
        "1,000",
        "93.3",
        "91.6",
        "94.7",
        "3.2",
        "0.2468",
        "1,234",
        567,
        89,
        "87.7",
        "56.7",
        "89 ms",
        "2 min 3 s",
    ]:
        assert re.search(rf"(?<![\d.,]){number}(?![\d])", shown), number
    for share in (411 / 431, 377 / 402, 145 / 167, 411 / 439):  # recall of each class, precision of the first
        assert f"{100 * share:.1f} %" in shown
    for epoch in HISTORY:
        assert f"{epoch['loss']:.4g}" in shown


def test_many_large_pictures_and_long_names_stay_small_and_quick(tmp_path):
    noise = RNG.integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    names = [f"class {index} " + "n" * 3000 for index in range(200)]
    path = "p" * 60_000
    huge = data(
        200,
        names=names,
        examples=[Thumb(noise, path, name) for name in names for _ in range(10)],
        mistakes=[Mistake(noise, path, names[0], names[1], 0.9)] * 1000,
        audit=audited(
            unreadable=[{"path": path, "problem": path, "fix": path}] * 10_000,
            duplicates=[[path] * 50] * 10_000,
            ignored=[path] * 123_456,
        ),
        history=[row | {"epoch": epoch} for epoch in range(10_000) for row in HISTORY[:2]],
        notes=[path] * 1000,
        asked={f"{index} {path}": path for index in range(1000)},
        versions={f"{index} {path}": path for index in range(1000)},
        comparison=[{"name": path, "accuracy": 0.5, "history": HISTORY}] * 1000,
    )
    render(KINDS["two classes"])  # the templates are read once in a process
    started = time.process_time()
    written = write_report(tmp_path / "report.html", huge)
    assert time.process_time() - started < 2  # about 0.6 s on 2 cores
    assert written.stat().st_size < 5e6
    assert "123,456 other files were passed over" in plain(written.read_text())


def test_writing_needs_no_heavy_friends():
    code = "import sys, fovea.report; print({'matplotlib', 'torch', 'sklearn', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"


def test_pictures_are_shrunk_and_tiny_ones_kept_exactly():
    digit = np.zeros((8, 8, 3), np.uint8)
    digit[2:6, 3] = 255
    text = render(ReportData(title="x", examples=[Thumb(np.full((300, 600, 3), 7, np.uint8), "wide", "a"), Thumb(digit, "tiny", "a")]))
    assert re.search(r'image/jpeg;base64,[^"]+" width="160" height="80"', text)
    assert re.search(r'image/png;base64,[^"]+" width="8" height="8"', text)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("a\nb\tc\x00d", r"a\nb\tc\x00d"),
        ("caf\udce9", r"caf\xe9"),
        ("\ud800", r"\ud800"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("ä 🦊 عربي", "ä 🦊 عربي"),
    ],
)
def test_what_cannot_be_seen_is_spelt_out(raw, shown):
    assert clean(raw) == shown
    assert clean(raw).encode()


def test_numbers_as_people_read_them():
    assert [percent(x) for x in (0, 1, 0.9999, 0.99999999, 0.985, 0.0004)] == [
        "0\xa0%", "100\xa0%", "99.99\xa0%", "more than 99.9\xa0%", "98.5\xa0%", "0.04\xa0%",
    ]  # fmt: skip
    assert [duration(x) for x in (0.0851, 0.9996, 14.23, 99.96, 200, 7500)] == [
        "85\xa0ms", "1.0\xa0s", "14.2\xa0s", "1\xa0min 40\xa0s", "3\xa0min 20\xa0s", "2\xa0h 5\xa0min",
    ]  # fmt: skip
    assert [figure(x) for x in (None, 1e-5, 0.0412, 12.5, math.nan)] == ["–", "0.00001", "0.0412", "12.5", "not a number"]


def headlines(**changed: object) -> list[str]:
    return [
        advice.headline.replace("\xa0", " ")
        for advice in advise(data(3, **({"audit": {}, "search": [], "mistakes": [], "class_counts": {}} | changed)))
    ]


CONFUSED = measured(3, 300, 280) | {"confusion": [[100, 0, 0], [0, 99, 1], [19, 0, 81]]}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, "Nothing stands out."),
        ({"audit": audited(leaks=[{"path": "a", "other": "b", "split": "test"}])}, "1 training picture stands in validation or test too."),
        ({"audit": audited(unreadable=[{"path": "a", "problem": "p", "fix": "f"}] * 2)}, "2 files cannot be read."),
        ({"audit": audited(duplicates=[["a", "b"], ["c", "d"]])}, "2 pictures stand there more than once, byte for byte."),
        ({"class_counts": {"train": {"a": 7, "b": 100, "c": 100}}}, "Few pictures of “a”."),
        ({"class_counts": {"train": {"a": 9, "b": 9, "c": 9}}}, "Every class has few pictures: 9 to learn from, typically."),
        ({"test": None}, "There is no test split."),
        ({"test": CONFUSED}, "“class 2” is often taken for “class 0”: 19 times of 100."),
        ({"test": CONFUSED}, "“class 2” is recognised less often than the rest."),
        ({"mistakes": [Mistake(picture(), "a", "x", "y", 0.97)]}, "It was very sure of 1 wrong answer."),
        (
            {"test": measured(3, 30, 27) | {"accuracy_ci95": [0.744, 0.965]}},
            "With 30 test pictures, the accuracy is only known to be between 74.4 and 96.5 %.",
        ),
        (
            {"test": measured(3, 1000, 985) | {"ece": 0.3}, "reliability": [{"lo": 0.9, "hi": 1.0, "n": 1000, "confidence": 0.99, "accuracy": 0.69}]},
            "Its percentages are too sure.",
        ),
        (
            {"history": [{"epoch": e, "split": s, "loss": 1 + abs(e - 3), "accuracy": a} for e in range(6) for s, a in (("train", 0.99), ("validation", 0.7))]},
            "It learned the training pictures by heart (overfitting).",
        ),
        ({"history": HISTORY}, "It was still improving when the training ended."),
        (
            {"comparison": [{"name": n, "accuracy": a, "accuracy_ci95": [a - 0.03, a + 0.03]} for n, a in (("x", 0.9), ("y", 0.92))]},
            "“y” and “x” are too close to call.",
        ),
    ],
)  # fmt: skip
def test_advice_is_given_where_it_is_due_and_not_otherwise(changed, expected):
    assert expected in headlines(**changed)
    assert (expected in headlines()) == (not changed)
    assert ("Nothing stands out." in headlines(**changed)) == (not changed)


def test_side_by_side_opens_with_the_best_and_says_when_it_may_be_luck():
    rows = [
        {"name": name, "n": 400, "accuracy": a, "accuracy_ci95": [a - 0.02, a + 0.02]}
        for name, a in (("fresh", 0.90), ("frozen", 0.97), ("free", 0.91))
    ]
    shown = plain(render(data(comparison=rows)))
    assert "“frozen” did best: it was right on 97.0 % of 400 test pictures, against 91.0 for “free” and 90.0 for “fresh”." in shown
    assert "may be luck." not in shown.split("What to do next")[0]
    close = plain(render(data(comparison=[*rows, {**rows[1], "name": "thawed", "accuracy": 0.96}])))
    assert "The first 2 are so close that their order may be luck." in close.split("What to do next")[0]
    for worse, marked in ((False, 2), (True, 0)):  # on the same pictures, which tells more than ranges
        known = [{**row, "worse": worse or row["name"] == "fresh"} for row in rows]
        assert render(data(comparison=known)).count('class="tag">may be best') == marked
    assert render(data(comparison=rows)).count('class="tag">best') == 1
    tied = plain(render(data(comparison=[*rows, {**rows[1], "name": "thawed"}])))
    assert "“frozen” and “thawed” did best: each was right on 97.0 % of 400 test pictures, against 91.0" in tied


def test_findings_name_each_file_once():
    audit = audited(
        unreadable=[{"path": "cat/a.jpg", "problem": "'cat/a.jpg' is cut off", "fix": "copy it again"}],
        leaks=[{"path": "train/1.jpg", "other": "test/2.jpg", "split": "test"}],
        conflicts=[[{"path": "a/x.jpg", "label": "a"}, {"path": "b/x.jpg", "label": "b"}]],
        near_duplicates=[{"paths": ["a/1.jpg", "a/2.jpg"], "similarity": 0.97, "mirrored": False}],
        shortcuts=[{"what": "width", "problem": "tells the class", "values": []}],
    )
    shown = plain(render(data(audit=audit)))
    assert re.search(r"cat/a\.jpg ?: is cut off\. To mend it: copy it again\.", shown)
    assert "train/1.jpg (train) = test/2.jpg (test)" in shown
    assert "a/x.jpg (a) = b/x.jpg (b)" in shown
    assert "a/1.jpg = a/2.jpg" in shown
    assert re.search("width ?: tells the class", shown)


def test_confused_pairs_are_the_largest_off_the_diagonal():
    result = read_measured(data(3, test=measured(3, 50, 44) | {"confusion": [[10, 2, 0], [4, 20, 0], [0, 0, 14]]}))
    assert [(pair.true, pair.predicted, pair.n, pair.of) for pair in confused_pairs(result)] == [
        ("class 1", "class 0", 4, 24), ("class 0", "class 1", 2, 12),
    ]  # fmt: skip


@pytest.mark.parametrize(("n", "p"), [(1, 0.9), (7, 0.5), (40, 0.97)])
def test_luck_is_the_mean_error_of_an_honest_model(n, p):
    """Against the sum over all outcomes of the binomial."""
    exact = sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) * abs(k / n - p) for k in range(n + 1))
    assert honesty([Bin(0.0, 1.0, n, p, 1.0)], None).luck == pytest.approx(exact, rel=1e-9)


@pytest.mark.parametrize(
    ("n", "confidence", "accuracy", "verdict"),
    [
        (1000, 0.9, 0.905, "honest"),
        (8, 0.9, 0.75, "unclear"),
        (20, 0.97, 0.9, "unclear"),
        (1000, 0.9, 0.7, "too sure"),
        (1000, 0.6, 0.9, "too modest"),
    ],
)
def test_honesty_is_told_from_luck(n, confidence, accuracy, verdict):
    assert honesty([Bin(0.5, 1.0, n, confidence, accuracy), Bin(0.0, 0.5, 0, None, None)], None).verdict == verdict


def chart(points: list[tuple[float, float]], **changed: object) -> str:
    options = {"key": "k", "title": "t", "description": "d", "x_label": "epoch", "y_label": "loss"}
    return str(line_chart([Series("a", points)], **(options | changed)))


def test_a_line_goes_where_its_numbers_say():
    path = re.search(r'class="line s0" d="([^"]+)"', chart([(0, 0.0), (1, 1.0), (2, 0.5)])).group(1)
    (x0, y0), (x1, y1), (x2, y2) = ((float(x), float(y)) for x, y in re.findall(r"([\d.]+) ([\d.]+)", path))
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.1)
    assert y0 - y2 == pytest.approx((y0 - y1) / 2, abs=0.1)
    assert y1 < y2 < y0  # up is smaller in SVG


def test_a_line_breaks_where_a_loss_is_no_number():
    assert re.search(r'class="line s0" d="M[^ML]+L[^ML]+M[^ML]+"', chart([(1, 0.5), (2, 0.4), (3, math.inf), (4, 0.3)]))
    assert chart([(1, math.nan)]) == ""


@pytest.mark.parametrize("points", [[(1, 0.5)], [(1, 0.5), (2, 0.5)], [(5, 0.0), (6, 0.0)], [(1, 1e-9), (100_000, 1e9)]])
@pytest.mark.parametrize("log_x", [False, True])
def test_any_range_has_an_axis(points, log_x):
    svg = chart(points, log_x=log_x)
    assert "nan" not in svg
    assert 2 <= svg.count('class="grid"') <= 12
    assert 1 <= svg.count('class="tick"') <= 12


def test_few_pictures_do_not_prove_calibration():
    rows = [{"lo": 0.9, "hi": 1.0, "n": 34, "confidence": 0.99, "accuracy": 1.0}]
    few = plain(render(data(test=measured(2, 34, 34) | {"ece": 0.01}, reliability=rows)))
    assert "well calibrated" not in few
    assert "So few pictures say little about it." in few
    assert "well calibrated" in plain(render(data()))


@pytest.mark.parametrize("value", [1.0, 0.0, 0.5])
def test_a_curve_that_never_moves_is_drawn(value: float) -> None:
    from fovea.report.figures import Series, line_chart

    svg = line_chart(
        (Series("validation", [(1.0, value), (2.0, value)], 0),),
        key="flat",
        title="flat",
        description="flat",
        x_label="epoch",
        y_label="accuracy (%)",
        in_percent=True,
    )
    assert svg
    assert "nan" not in str(svg)


def test_a_loss_that_ran_away_is_not_called_improving() -> None:
    from fovea.report.learning import learning

    rows = [
        {"epoch": epoch, "split": split, "loss": loss, "accuracy": 0.5}
        for epoch, loss in ((0, 0.6), (1, 900.0), (2, 41.0))
        for split in ("train", "validation")
    ]
    seen = learning(rows[2:])
    assert seen
    assert (seen.epochs, seen.diverged) == (2, True)
    begun = learning(rows[:4])
    assert begun
    assert begun.epochs == 1, "0 is what it began with"
