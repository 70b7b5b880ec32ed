"""Reports written again without training, several runs on one page, and the map of the embeddings."""

import json
import re
from pathlib import Path

import html5lib
import numpy as np
import pytest
from tests.unit.test_compare import made

import fovea
from fovea.embeddings.project import neighbourly, principal
from fovea.errors import InputError, OutputError
from fovea.recipes._embedding_map import chosen_rows, map_of, redrawn
from fovea.report import Mistake, Plot, ReportData, Thumb, render
from fovea.report.answer import promise
from fovea.report.data import EmbeddingMap, Point
from fovea.report.kept import picture_paths, read_report, to_plain
from fovea.report.sections import SECTIONS
from fovea.tasks.told import Table, Told

RNG = np.random.default_rng(0)


def plain(text: str) -> str:
    return re.sub(r"(?:\s|&nbsp;| )+", " ", re.sub(r"<[^>]+>", " ", text[text.index("<body") :]))


def mapped(n: int = 60, *, classes: int = 3, **changed: object) -> ReportData:
    places = RNG.normal(size=(n, 2)).tolist()
    points = [
        Point(RNG.integers(0, 256, (50, 80, 3), dtype=np.uint8), f"p{i}.jpg", f"c{i % classes}", "other", wrong=i % 10 == 0)
        for i in range(n)
    ]
    return ReportData(title="m", map=EmbeddingMap(points, places, kept=0.5, total=200, **changed))  # type: ignore[arg-type]


def test_what_a_report_holds_survives_json() -> None:
    pixels = RNG.integers(0, 256, (9, 7, 3), dtype=np.uint8)
    before = ReportData(
        title="t",
        examples=[Thumb(pixels, "a.jpg", "a")],
        mistakes=[Mistake(pixels, "b.jpg", "a", "b", 0.5)],
        plots=[Plot("plot", b"\x89PNG")],
        told=Told("said", tables=[Table("caption", ["x"], [["1"]])], advice=[("do", "this")]),
        test={"n": 3, "confusion": np.eye(2, dtype=np.int64), "share": np.float32(0.5)},
        history=[{"epoch": 1, "split": "train", "loss": float("inf")}],
        map=mapped().map,
    )
    kept = json.loads(json.dumps(to_plain(before), allow_nan=False))
    assert picture_paths(kept)[:2] == ["a.jpg", "b.jpg"]
    assert len(picture_paths(kept)) == 62
    back = read_report(kept, {"a.jpg": pixels, "b.jpg": pixels, "p0.jpg": pixels}.get)
    assert (back.examples[0].pixels is pixels, back.plots[0].png, back.told) == (True, b"\x89PNG", back.told)
    assert back.told.tables[0].rows == [["1"]]
    assert back.map.points[0].pixels is pixels
    assert back.map.points[1].pixels is None
    assert to_plain(back) == kept
    assert back.history[0]["loss"] == float("inf")


@pytest.mark.parametrize("classes", [2, 8, 30])
def test_the_map_can_be_read_by_pointing_and_by_keys(classes: int) -> None:
    page = render(mapped(classes=classes))
    tree = html5lib.HTMLParser(strict=True).parse(page)
    radios = [e for e in tree.iter("{http://www.w3.org/1999/xhtml}input") if e.get("type") == "radio"]
    assert len(radios) == 60
    assert {e.get("name") for e in radios} == {"map"}, "one group: one stop of the Tab key"
    assert all("taken for other" in e.get("aria-label") for e in radios[:6]), "mistakes come first"
    assert not any("taken for" in e.get("aria-label") for e in radios[6:])
    assert len({e.get("class") for e in radios}) == min(classes, 9)
    assert ("other classes" in plain(page)) == (classes > 8)
    assert len(page.encode()) < 1e6


@pytest.mark.parametrize("places", [[[0.0, 0.0]] * 60, [[float("nan"), 0.0]] * 60])
def test_no_map_where_there_is_nothing_to_see(places: list[list[float]]) -> None:
    data = mapped()
    flat = ReportData(title="m", map=EmbeddingMap(data.map.points, places))  # type: ignore[union-attr, arg-type]
    assert 'id="map"' not in render(flat)


# From linear RGB to what eyes without one kind of cone see: Machado, Oliveira and Fernandes 2009, doi:10.1109/TVCG.2009.113, table 1.
EYES = {
    "all cones": np.eye(3),
    "no red": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]),
    "no green": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]),
    "no blue": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]),
}


@pytest.mark.parametrize("eyes", EYES)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_can_be_told_apart_by_all_eyes(root: Path, eyes: str, scheme: int) -> None:
    style = (root / "src/fovea/report/templates/style.css").read_text()
    colours = [re.findall(rf"--{name}: #(\w{{6}});", style)[scheme] for name in (f"s{i}" for i in range(8))]
    encoded = np.array([[int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)] for colour in colours])
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)  # IEC 61966-2-1
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = np.clip(linear @ EYES[eyes].T, 0, 1) @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    lab = np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    assert len(colours) == 8
    assert apart[np.triu_indices(8, 1)].min() > 25


def test_principal_coordinates_are_those_of_the_covariance() -> None:
    vectors = RNG.normal(size=(40, 5)) * [5, 3, 1, 1, 1] + 7
    found, kept = principal(vectors, most=3)
    values = np.linalg.eigvalsh(np.cov(vectors.T, bias=True))[::-1]
    assert kept == pytest.approx(values[:3] / values.sum())
    assert found.var(axis=0) == pytest.approx(values[:3])
    assert principal(vectors * 1.0, most=3)[0] == pytest.approx(found)
    assert principal(np.ones((4, 3)))[1].sum() == 0


def test_rows_for_the_map_hold_the_mistakes_and_every_class() -> None:
    labels = ["common"] * 900 + ["rare"] * 5
    rows = chosen_rows(labels, [901, 7], most=50)
    assert len(rows) == len(set(rows)) == 50
    assert rows[:2] == [901, 7]
    assert sum(labels[row] == "rare" for row in rows) == 5
    assert chosen_rows(["a"], [0]) == [0]


@pytest.mark.slow
def test_neighbours_stay_neighbours_with_tsne() -> None:
    vectors = np.concatenate([RNG.normal(size=(40, 20)) + 8 * shift for shift in (0, 1)]).astype(np.float32)
    points = [Point(None, f"p{i}", "a") for i in range(80)]
    before = map_of(points, vectors, method="pca", split="test", total=80, seed=0)
    after = redrawn(before, "tsne", seed=0)
    assert (after.method, after.kept) == ("tsne", None)
    near = np.linalg.norm(np.array(after.places)[:, None] - np.array(after.places)[None], axis=2) + 1e9 * np.eye(80)
    assert ((near.argmin(1) < 40) == (np.arange(80) < 40)).all()
    assert redrawn(after, "tsne", seed=0).places == after.places
    assert redrawn(after, "pca", seed=0).kept == pytest.approx(before.kept, abs=0.01)
    assert len(neighbourly(vectors[:3], seed=0)) == 3


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ((0.982, 0.972, 0.989), "It will be right about 98 times in 100 (97.2 to 98.9) on photos like yours."),
        ((1.0, 0.963, 1.0), "It will almost always be right on photos like yours: at least 96 times in 100."),
        ((1.0, 0.69, 1.0), "It will be right on photos like yours: at least 69 times in 100."),
        ((0.0, 0.0, 0.037), "It will hardly ever be right on photos like yours: at most 4 times in 100."),
    ],
)
def test_the_first_sentence(figures: tuple[float, float, float], said: str) -> None:
    assert promise(*figures, noun="photo") == said


def test_sections_have_their_templates(root: Path) -> None:
    templates = root / "src/fovea/report/templates"
    assert len(SECTIONS) > 10
    for section in SECTIONS:
        assert f'<section id="{section.name}"' in (templates / f"{section.template or section.name}.html").read_text(), section


def test_a_report_is_written_again_without_training(probe_run, photos: Path, tmp_path: Path) -> None:
    before = probe_run.report.read_text()
    again = fovea.report(probe_run.path, out=str(tmp_path / "again.html"))
    assert again.notes == ()
    assert again.path.read_text() == before, "the same content, the same page"
    assert 'id="map"' in before
    assert "What was taken for what" in before or probe_run.metrics.test.accuracy == 1
    gone = probe_run.path / "checkpoint" / "settings.json"
    settings = gone.read_text()
    try:
        gone.write_text(settings.replace(str(photos), str(tmp_path / "moved")))
        without = fovea.report(probe_run.path, out=str(tmp_path / "without.html"))
        assert "Without pictures" in without.notes[0]
        kept = re.sub(r'<section id="explained".*?</section>', "", without.path.read_text(), flags=re.DOTALL)
        assert "data:image" not in kept, "what was drawn is kept, photos are not"
        assert "Without pictures" in plain(without.path.read_text())
        there = fovea.report(probe_run.path, out=str(tmp_path / "there.html"), data=str(photos))
        assert there.path.read_text() == before
    finally:
        gone.write_text(settings)


def test_several_runs_stand_on_one_page(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", 20), made(tmp_path / "b", 2), made(tmp_path / "c", 20, first=5)]
    found = fovea.report(*runs, out=str(tmp_path / "page.html"))
    html5lib.HTMLParser(strict=True).parse(found.path.read_text())
    said = plain(found.path.read_text())
    assert "“b” is really better than “a”" in said.split("What to do next")[0]
    assert "No difference is shown between a and c" in said
    assert "18 pictures only b" in said
    assert "99.0 %" in said
    assert re.search(r"cat 100 8\d\.\d % 99\.0 %|dog 100 9\d\.\d % 99\.0 %", said) or "Where they differ" in said
    assert [pair["verdict"] for pair in found.to_json()["comparisons"]] == ["better", "no difference shown"]
    alike = fovea.report(runs[0], runs[2], out=str(tmp_path / "page.html"))
    assert "No difference is shown" in plain(alike.path.read_text()).split("What to do next")[0]


def test_runs_whose_answers_are_not_right_or_wrong_stand_side_by_side(tmp_path: Path) -> None:
    for name, error in (("a", 1.25), ("b", 2.5)):
        made(tmp_path / name, 20, task="regression", test={"n": 10, "mae": error, "mae_ci95": [error - 0.5, error + 0.5]})
    found = fovea.report(tmp_path / "a", tmp_path / "b", out=str(tmp_path / "page.html"))
    assert (found.comparison, found.to_json()["comparisons"]) == (None, [])
    assert "their answers are not simply right or wrong" in found.notes[0]
    said = plain(found.path.read_text())
    assert "1.25 (0.75 to 1.75)" in said
    assert "2.5 (2 to 3)" in said
    assert "The whole run" in said
    html5lib.HTMLParser(strict=True).parse(found.path.read_text())


def test_what_cannot_be_reported(tmp_path: Path, here) -> None:
    old, newer, broken = (Path(made(tmp_path / name, 20)) for name in ("old", "newer", "broken"))
    (newer / "report.json").write_text('{"format": 99, "report": {"title": "x"}}')
    (broken / "report.json").write_text('{"format": 1, "report": {"mistakes": 3}}')
    other = made(tmp_path / "other", 20, task="regression")
    letter = tmp_path / "letter.html"
    letter.write_text("dear")
    cases = [
        ((), {}, "there is no run to report on"),
        ((old, old), {}, "a run is named twice"),
        ((tmp_path / "gone",), {}, "is no run"),
        ((old,), {}, "it has no report.json"),
        ((newer,), {}, "was made by a newer Fovea"),
        ((broken,), {}, "cannot be read"),
        ((old, other), {}, "different tasks"),
        ((old, newer), {"out": str(letter)}, "is no report of Fovea"),
        ((old, newer), {"out": str(tmp_path)}, "is a folder"),
    ]
    for runs, options, problem in cases:
        with pytest.raises((InputError, OutputError)) as caught:
            fovea.report(*runs, **options)
        assert problem in caught.value.problem
        assert caught.value.exit_code == 2
    assert letter.read_text() == "dear"
    done = here("report", old, "--json")
    assert (done.returncode, "problem" in json.loads(done.stdout)["error"]) == (2, True)
