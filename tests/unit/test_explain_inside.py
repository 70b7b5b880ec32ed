"""`fovea explain` with --view, --check and --animate, and the explanations in a run's report."""

import base64
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import fovea
from fovea.bundle import load_bundle
from fovea.errors import BundleError, InputError, UnknownName
from fovea.recipes.explain import Explanations
from fovea.training.run import Run


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 256, (80, 90, 3)).astype(np.uint8))
    return str(path)


def test_the_report_shows_what_it_looks_at(probe_run: Run) -> None:
    page = probe_run.report.read_text()
    assert '<section id="explained"' in page
    explained = json.loads((probe_run.path / "report.json").read_text())["report"]["explained"]
    assert explained["method"] in ("cam", "gradcam")
    assert explained["pictures"]
    for each in explained["pictures"]:
        jpeg = np.frombuffer(base64.b64decode(each["drawing"]["base64"]), np.uint8)
        height, width = cv2.imdecode(jpeg, cv2.IMREAD_COLOR).shape[:2]
        assert width == 2 * height + 4, "the picture, and the same under its heat"
        assert each["right"] == (each["true"] == each["predicted"])
        assert all(thumb["caption"] == each["predicted"] for thumb in each["like"])
    assert any(not each["right"] and each["like"] for each in explained["pictures"]) or all(each["right"] for each in explained["pictures"])
    assert probe_run.metrics.timing.explain_s > 0


def test_the_bundle_brings_training_pictures_along(probe_run: Run, photo: str) -> None:
    neighbours = load_bundle(probe_run.bundle).neighbours
    assert neighbours is not None
    assert set(neighbours.labels) == set(probe_run.metrics.class_names)
    assert len(neighbours) == probe_run.metrics.num_files["train"]


def test_examples_are_named_and_drawn(probe_run: Run, photo: str, tmp_path: Path) -> None:
    found = fovea.explain(str(probe_run.path), photo, view="examples", out=str(tmp_path / "out"))
    assert found.inside is not None
    assert found.exit_code == 0
    [row] = found.to_json()["examples"]
    assert row["for"][0]["label"] == row["answer"]
    assert row["against"][0]["label"] != row["answer"]
    [drawing] = found.inside.written
    assert Image.open(drawing).size[0] > 1000
    assert f"{photo}: {row['answer']}" in found.to_text()


def test_channels_are_shown_with_what_was_learned_from(probe_run: Run, tmp_path: Path) -> None:
    found = fovea.explain(str(probe_run.path), view="channels", channel=0, out=str(tmp_path / "out"))
    learned = load_bundle(probe_run.bundle).neighbours
    assert learned is not None
    shown = [each["path"] for each in found.to_json()["channels"]]
    assert len(shown) == 5
    assert set(shown) <= set(learned.paths)
    alone = shutil.copytree(probe_run.path, tmp_path / "run")
    (alone / "checkpoint" / "settings.json").unlink()
    with pytest.raises(InputError, match="there are none"):
        fovea.explain(str(alone), view="channels", out=str(tmp_path / "x"))


def test_views_of_a_run(probe_run: Run, photo: str, tmp_path: Path) -> None:
    found = fovea.explain(str(probe_run.path), view="filters", out=str(tmp_path / "filters"))
    assert found.inside is not None
    assert next(path.name for path in found.inside.written).startswith("filters_1_")
    found = fovea.explain(str(probe_run.path), photo, view="maps", stage=1, channel=3, out=str(tmp_path / "maps"))
    assert [each["channels"] for each in found.to_json()["maps"]] == [[3]]
    with pytest.raises(UnknownName, match="did you mean filters"):
        fovea.explain(str(probe_run.path), view="filter", out=str(tmp_path / "x"))
    with pytest.raises(InputError, match="no place to draw"):
        fovea.explain(str(probe_run.path), view="filters")
    with pytest.raises(InputError, match="there are none"):
        fovea.explain(str(probe_run.path), view="maps", out=str(tmp_path / "x"))
    with pytest.raises(InputError, match="no stage 9"):
        fovea.explain(str(probe_run.path), photo, view="maps", stage=9, out=str(tmp_path / "x"))
    with pytest.raises(InputError, match="no place for it"):
        fovea.explain(str(probe_run.path), photo, animate="gif")


def test_a_view_of_a_bundle_without_weights_says_so(probe_run: Run, photo: str, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    for path in probe_run.bundle.iterdir():
        (alone / path.name).write_bytes(path.read_bytes())
    with pytest.raises(BundleError, match="needs the network's weights"):
        fovea.explain(str(alone), photo, view="maps", out=str(tmp_path / "x"))
    (alone / "neighbours.npz").unlink()
    with pytest.raises(InputError, match="brings no training pictures"):
        fovea.explain(str(alone), photo, view="examples")


@pytest.mark.slow
def test_a_method_is_checked_and_its_way_drawn(probe_run: Run, photo: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    found = fovea.explain(str(probe_run.path), pixels, photo, check=True, animate="gif", out=str(tmp_path / "out"))
    assert isinstance(found, Explanations)
    rows = {row["method"]: row for row in found.to_json()["check"]["rows"]}
    assert set(rows) == {"gradcam", "centre prior", "random"}
    assert rows["gradcam"]["faithful"]["n"] == 3
    assert -1 <= rows["gradcam"]["stable"] <= 1
    assert len(rows["gradcam"]["randomised"]) == 2
    assert "insertion - deletion" in found.to_text()
    assert (tmp_path / "out" / "contact-sheet.png").is_file()
    with Image.open(tmp_path / "out" / "photo.gif") as moving:
        assert moving.n_frames >= 2  # type: ignore[attr-defined]
