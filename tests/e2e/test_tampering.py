"""Pictures in which one class carries a mark: the explanation lands on it, and the report warns of a shortcut."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import fovea
from fovea.bundle import load_bundle
from fovea.data import decode, open_source
from fovea.explain.explanation import explain_picture
from fovea.explain.faithfulness import energy_inside
from fovea.explain.network_subject import NetworkSubject
from fovea.explain.opening import network_of
from fovea.types import Pixels

MARK_PX = 45  # a fifth of the 224 px of a scene
NUM_PICTURES, SIDE = 200, 56
MARK = np.array([[SIDE - round(SIDE / 5), 0, SIDE, round(SIDE / 5)]], np.float32)


def _scenes() -> list[tuple[str, Pixels]]:
    with open_source("shapes", max_items=NUM_PICTURES) as source:
        return [(str(item.label), decode(source.read(item), path=item.path).pixels) for item in source.items]


def _marked(pixels: Pixels) -> Pixels:
    marked = pixels.copy()
    marked[:MARK_PX, -MARK_PX:] = (255, 0, 255)
    marked[10 : MARK_PX - 10, 10 - MARK_PX : -10] = 0
    return marked


def _write(folder: Path, *, tampered: bool) -> Path:
    """Scenes by class; tampered ones by whether they carry the mark, whatever their shape."""
    rng = np.random.default_rng(0)
    for index, (shape, scene) in enumerate(_scenes()):
        label, pixels = shape, scene
        if tampered:
            label, pixels = ("marked", _marked(scene)) if rng.integers(2) else ("plain", scene)
        path = folder / label / f"{index:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), pixels[:, :, ::-1])
    return folder


def _learned(data: Path, out: Path) -> Path:
    options = {"backbone": "convnet:variant=28", "image_size": SIDE, "augment": "none", "epochs": 20, "patience": 20}
    fovea.train(str(data), out=str(out), strategy="scratch", batch_size=16, lr=2e-3, **options)  # type: ignore[arg-type]
    return out


def _energies(run: Path, *, of: str, method: str) -> list[float]:
    """The share of the heat on the place of the mark, for marked pictures that the model saw never before."""
    bundle = load_bundle(run)
    subject = NetworkSubject(network_of(bundle), task=bundle.task)
    found = []
    with open_source("shapes", seed=1, max_items=12) as source:
        for item in source.items:
            pixels = decode(source.read(item), path=item.path).pixels
            seen = bundle.info.preprocessing.apply(_marked(pixels) if of == "marked" else pixels)
            target = bundle.class_names.index("marked") if of == "marked" else None
            found.append(energy_inside(explain_picture(subject, seen, method=method, target=target).heat, MARK))
    return found


@pytest.mark.slow
def test_a_mark_is_seen_explained_and_warned_of(tmp_path: Path) -> None:
    run = _learned(_write(tmp_path / "tampered", tampered=True), tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["validation"]["accuracy"] > 0.9, "the mark is easily learned"
    for method in ("gradcam", "cam"):
        assert np.mean(_energies(run, of="marked", method=method)) > 0.5
    [told] = json.loads((run / "report.json").read_text())["report"]["explained"]["shortcuts"]
    assert "top right corner" in told
    page = (run / "report.html").read_text()
    assert "A shortcut." in page
    assert "It goes by a mark at the rim of the pictures" in page


@pytest.mark.slow
def test_without_a_mark_nothing_is_seen_there(tmp_path: Path) -> None:
    run = _learned(_write(tmp_path / "clean", tampered=False), tmp_path / "run")
    assert np.mean(_energies(run, of="any", method="gradcam")) < 0.2
    explained = json.loads((run / "report.json").read_text())["report"]["explained"]
    assert explained["shortcuts"] == []
    assert explained["looked_for"]
    assert "A shortcut." not in (run / "report.html").read_text()
