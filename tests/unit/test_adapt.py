"""A trained head learns from a few new pictures, keeps what it knew, and says how much of it."""

import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import fovea
from fovea.bundle import load_bundle
from fovea.engines.to_onnx import read_head
from fovea.errors import InputError
from fovea.training.logistic import fit_near
from fovea.training.standardise import Standardised


def _draw(folder: Path, count: int, *, dark: bool, seed: int) -> Path:
    """Discs and crosses, bright on dark or dark on bright."""
    rng = np.random.default_rng(seed)
    for name in ("cross", "disc"):
        (folder / name).mkdir(parents=True)
        for index in range(count):
            low, high = (0, 90) if dark else (165, 255)
            corners = rng.integers(low, high, (2, 2, 3)).astype(np.uint8)
            canvas = cv2.resize(corners, (96, 96), interpolation=cv2.INTER_LINEAR)
            x, y, size = (int(v) for v in rng.integers([20, 20, 9], [76, 76, 26]))
            colour = tuple(int(v) for v in rng.integers(180, 255, 3)) if dark else tuple(int(v) for v in rng.integers(0, 80, 3))
            if name == "disc":
                cv2.circle(canvas, (x, y), size, colour, -1)
            else:
                cv2.line(canvas, (x - size, y), (x + size, y), colour, 4)
                cv2.line(canvas, (x, y - size), (x, y + size), colour, 4)
            noisy = np.clip(canvas + rng.normal(0, 12, canvas.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(folder / name / f"{index:03}.png"), noisy)
    return folder


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("adapt")
    old = _draw(place / "old", 60, dark=True, seed=0)
    fovea.train(str(old), out=str(place / "run"), strategy="probe", backbone="squeezenet1_0", weights="none", image_size=48)
    return place


def test_it_learns_the_new_and_keeps_the_old(trained: Path, tmp_path: Path) -> None:
    new = _draw(tmp_path / "new", 16, dark=False, seed=1)
    told = fovea.adapt(str(trained / "run"), str(new), out=str(tmp_path / "adapted"), most_forgotten=0.05)
    by = {each.what: each for each in told.measured}
    assert by["new validation pictures"].after >= by["new validation pictures"].before
    kept = by["old validation pictures"]
    assert (kept.before - kept.after) / kept.n <= 0.05
    content = json.loads((tmp_path / "adapted" / "adaptation.json").read_text())
    assert content == json.loads(json.dumps(told.to_json()))
    bundle = load_bundle(tmp_path / "adapted" / "bundle")
    assert list(bundle.class_names) == ["cross", "disc"]
    assert "before" in told.to_text()
    assert fovea.predict(str(told.bundle), str(new / "disc" / "000.png")).to_json()["predictions"][0]["class_name"] in ("cross", "disc")


def test_without_the_old_pictures_it_says_so(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = _draw(tmp_path / "new", 12, dark=False, seed=2)
    moved = trained / "moved"
    shutil.move(trained / "old", moved)
    try:
        told = fovea.adapt(str(trained / "run"), str(new), out=str(tmp_path / "a"))
        assert any("not at hand" in note for note in told.notes)
        named = fovea.adapt(str(trained / "run"), str(new), out=str(tmp_path / "b"), before=str(moved))
        assert any(each.what.startswith("old") for each in named.measured)
        with pytest.raises(InputError):
            fovea.adapt(str(trained / "run"), str(new), out=str(tmp_path / "c"), before=str(trained / "nowhere"))
    finally:
        shutil.move(moved, trained / "old")


def test_other_classes_are_refused(trained: Path, tmp_path: Path) -> None:
    new = _draw(tmp_path / "new", 6, dark=False, seed=3)
    (new / "disc").rename(new / "dot")
    with pytest.raises(InputError, match="other classes"):
        fovea.adapt(str(trained / "run"), str(new), out=str(tmp_path / "a"))
    with pytest.raises(InputError, match="does not say what it was trained with"):
        fovea.adapt(str(tmp_path), str(new), out=str(tmp_path / "b"))


def test_the_head_of_a_bundle_is_read_back(trained: Path) -> None:
    ((weight, bias),) = read_head((trained / "run" / "bundle" / "model.onnx").read_bytes())
    assert weight.shape == (2, 512)
    assert bias.shape == (2,)


@pytest.mark.parametrize("strength", [1e-6, 1e3])
def test_the_pull_is_towards_what_was_there(strength: float) -> None:
    rng = np.random.default_rng(0)
    inputs, targets = rng.normal(size=(40, 3)).astype(np.float32) + 5, rng.integers(0, 2, 40)
    inputs[:, 0] += 4 * targets
    weight, bias = np.array([[0.0, 1, 0], [0, -1, 0]], np.float32), np.array([-5.0, 5], np.float32)
    moved = fit_near(inputs, targets, weight, bias, strength=strength, scale=Standardised(inputs))
    right = float(((inputs @ moved[0].T + moved[1]).argmax(1) == targets).mean())
    if strength < 1:
        np.testing.assert_allclose(moved[0], weight, atol=1e-2)
    else:
        assert right > 0.9
    _: Any = moved


@pytest.mark.parametrize("share", [-1.0, 1.5, float("nan")])
def test_what_may_be_forgotten_is_a_share(tmp_path: Path, share: float) -> None:
    with pytest.raises(InputError, match="--most-forgotten is no share"):
        fovea.adapt(str(tmp_path), "digits", out=str(tmp_path / "out"), most_forgotten=share)
