"""What `fovea explain` writes, and when: nothing before the paths are known to be right, then each picture as it comes."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import fovea
from fovea.errors import InputError


def small():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)


def test_a_mistyped_path_is_told_before_anything_is_opened_or_written(tmp_path):
    for view in (None, "maps"):
        with pytest.raises(InputError, match=r"'phot\.jpg' cannot be read"):
            fovea.explain(str(tmp_path / "no run"), "phot.jpg", view=view, out=str(tmp_path / "e"))
    assert not (tmp_path / "e").exists()


def test_pictures_are_written_as_they_come_and_their_maps_read_again(pixels, tmp_path, monkeypatch):
    found = fovea.explain(small(), pixels, 255 - pixels, out=str(tmp_path / "e"))
    held = fovea.explain(small(), pixels, 255 - pixels)
    assert found.explanations._rows[0][1].heat.size == 0, "memory does not grow with the pictures"
    for (name, written), (same, kept) in zip(found.explanations, held.explanations, strict=True):
        assert name == same
        np.testing.assert_array_equal(written.heat, kept.heat)
        np.testing.assert_array_equal(written.evidence, kept.evidence)
    written = []
    monkeypatch.setattr(
        "fovea.recipes._explanation_files._animate", lambda path, *_: written.append(sorted(each.name for each in path.parent.iterdir()))
    )
    fovea.explain(small(), pixels, 255 - pixels, out=str(tmp_path / "f"), animate="gif")
    assert "picture_2.png" not in written[0]


def test_overwriting_removes_what_was_explained_before_and_nothing_else(pixels, tmp_path):
    out, outside = tmp_path / "e", tmp_path / "outside.png"
    fovea.explain(small(), pixels, pixels, pixels, out=str(out))
    table = json.loads((out / "explanations.json").read_text())
    assert table["further"] == ["contact-sheet.png"]
    table["further"] += ["../outside.png", "notes.txt", str(outside)]
    (out / "explanations.json").write_text(json.dumps(table))
    for own in (outside, out / "notes.txt", out / "mine.png"):
        own.write_text("mine")
    fovea.explain(small(), pixels, out=str(out), overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["explanations.json", "mine.png", "notes.txt", "picture_1.npz", "picture_1.png"]
    assert outside.exists()


def test_file_names_are_found_in_time_that_grows_with_the_pictures():
    from fovea.recipes._explanation_files import Names

    name = Names()
    assert [name(path) for path in ("x/a.jpg", "y/a.jpg", "a-2.png", "a.png", "contact-sheet.jpg")] == [
        "a.png", "a-2.png", "a-2-2.png", "a-3.png", "contact-sheet-2.png",
    ]  # fmt: skip
    assert len({name("picture.jpg") for _ in range(20_000)}) == 20_000  # with a list this takes hours
