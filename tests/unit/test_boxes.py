"""Boxes of things: where they lie in the picture that a model sees, and the table that they are read from."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import fovea
from fovea.errors import InputError
from fovea.recipes._boxes import read_boxes
from fovea.recipes.train import Run
from fovea.transforms.preprocessing import Preprocessing, Resize

RULES = [
    Preprocessing(resize=Resize(rule="stretch", size_px=96)),
    Preprocessing(resize=Resize(rule="stretch", size_px=96), crop=80),
    Preprocessing(resize=Resize(rule="short_side", size_px=96), crop=84),
    Preprocessing(resize=Resize(rule="letterbox", size_px=96)),
]


@pytest.mark.parametrize("way", RULES, ids=["stretch", "stretch and crop", "short side", "letterbox"])
@pytest.mark.parametrize(("width", "height"), [(300, 200), (120, 310)])
def test_a_box_goes_where_its_pixels_go(way: Preprocessing, width: int, height: int) -> None:
    rng = np.random.default_rng(width)
    for _ in range(20):
        x0, y0 = rng.integers(0, width - 30), rng.integers(0, height - 30)
        x1, y1 = x0 + rng.integers(20, width - x0 + 1), y0 + rng.integers(20, height - y0 + 1)
        painted = np.zeros((height, width, 3), np.uint8)
        painted[y0:y1, x0:x1] = 255
        there = way.apply(painted)[:, :, 0] == 255
        moved = way.move_boxes(np.array([[x0, y0, x1, y1]], np.float32), width_px=width, height_px=height)
        if there.any():
            rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
            found = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
            assert np.abs(moved[0] - found).max() <= 1.5, "to a pixel and a half: only whole white pixels are counted"
        else:
            assert (moved[:, 2:] - moved[:, :2] < 3).any(axis=1).all(), "hardly anything is in view"


def test_a_picture_is_found_by_the_end_of_its_path(tmp_path: Path) -> None:
    table = tmp_path / "boxes.csv"
    table.write_text("label;x0;y0;x1;y1;path\ncat;1;2;3;4;a\\1.png\n;5;6;7;8;2.png\n\ndog;0;0;9;9;a/1.png\n")
    boxes = read_boxes(str(table))
    assert boxes.of("photos/a/1.png", "cat").tolist() == [[1, 2, 3, 4]]
    assert boxes.of("a/1.png", "dog").tolist() == [[0, 0, 9, 9]]
    assert boxes.of("anywhere/2.png", "cat").tolist() == [[5, 6, 7, 8]], "a box without a label is of any class"
    assert boxes.of("b/1.png", "cat").shape == (0, 4)


def test_the_check_tells_how_often_it_points_inside(scratch_run: Run, photos: Path, tmp_path: Path) -> None:
    pictures = sorted((photos / "disc").iterdir())[:3]
    rows = []
    for picture in pictures:
        height, width = cv2.imread(str(picture)).shape[:2]
        rows.append(f"{picture.name},0,0,{width},{height}")  # of any class, and everywhere
    table = tmp_path / "boxes.csv"
    table.write_text("\n".join(["path,x0,y0,x1,y1", *rows[:2]]))
    check = fovea.explain(str(scratch_run.bundle), *map(str, pictures), method="cam", check=True, boxes=str(table)).check
    assert check is not None
    row = check["cam"]
    assert row.pointing is not None
    assert row.energy is not None
    assert (row.pointing.mean, row.pointing.n, row.energy.mean) == (1, 2, 1)
    assert "points inside" in check.to_text()


@pytest.mark.parametrize(
    ("text", "problem", "fix"),
    [
        ("path,x0,y0,x1\n1.png,0,0,1", "has no column y1", "first row"),
        ("path,x0,y0,x1,y1\n1.png,0,zero,1,1", "row 2 of .* is no box", "mend the row"),
        ("path,x0,y0,x1,y1\n1.png,5,0,1,1", "row 2 of .* is no box", "mend the row"),
        ("path,x0,y0,x1,y1\n1.png,0,0", "row 2 of .* is no box", "mend the row"),
        ("path,x0,y0,x1,y1\nother.png,0,0,1,1", "names none of the pictures", "mend the table"),
        ("path,x0,y0,x1,y1,label\n{name},0,0,1,1,zebra", "none of the model's classes", "column label"),
        (None, "cannot be read", "check the name"),
    ],
)
def test_tables_that_do_not_serve_are_refused(
    text: str | None, problem: str, fix: str, scratch_run: Run, photos: Path, tmp_path: Path
) -> None:
    picture, table, out = min((photos / "disc").iterdir()), tmp_path / "boxes.csv", tmp_path / "out"
    if text is not None:
        table.write_text(text.replace("{name}", picture.name))
    with pytest.raises(InputError, match=problem) as caught:
        fovea.explain(str(scratch_run.bundle), str(picture), method="cam", check=True, boxes=str(table), out=str(out))
    assert fix in caught.value.fix
    assert not out.exists()


def test_boxes_without_a_check_are_not_ignored(scratch_run: Run) -> None:
    with pytest.raises(InputError, match="boxes are for the check"):
        fovea.explain(str(scratch_run.bundle), "1.png", boxes="boxes.csv")
