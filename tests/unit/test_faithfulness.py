"""Heat maps against a model whose truth is known: it sees only one square."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from fovea.errors import InputError
from fovea.explain.comparison import CENTRE, RANDOM, Check, Judged, check
from fovea.explain.faithfulness import (
    centre_prior,
    deletion,
    energy_inside,
    insertion,
    points_inside,
    random_heat,
    rank_correlation,
    stability,
)
from fovea.types import Floats, Pixels

SIDE, BOX = 40, (24, 4, 34, 14)  # x0 y0 x1 y1: what the model sees
BOXES = np.array([BOX], np.float32)


def seen(pixels: Pixels) -> Floats:
    """How much of the square's checkerboard is there, 0 to 1: (B,)."""
    x0, y0, x1, y1 = BOX
    part = pixels[:, y0:y1, x0:x1].astype(np.float32)
    return np.abs(np.diff(part, axis=2)).mean(axis=(1, 2, 3)) / 255


def picture(seed: int = 0) -> Pixels:
    pixels = np.full((SIDE, SIDE, 3), 60 + seed, np.uint8)
    x0, y0, x1, y1 = BOX
    board = (np.indices((y1 - y0, x1 - x0)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels[y0:y1, x0:x1] = board[:, :, None]
    return pixels


def right(pixels: Pixels) -> Floats:
    heat: Floats = np.zeros((SIDE, SIDE), np.float32)
    x0, y0, x1, y1 = BOX
    heat[y0:y1, x0:x1] = 1
    return heat


def test_deletion_falls_and_insertion_rises_at_once_where_the_heat_is_right() -> None:
    pixels, area = picture(), 100 / SIDE**2
    gone, back = deletion(seen, pixels, right(pixels)), insertion(seen, pixels, right(pixels))
    assert gone.scores[0] == back.scores[-1] == pytest.approx(1.0)
    assert gone.scores[-1] == pytest.approx(0.0)
    assert gone.scores[np.searchsorted(gone.shares, area + 0.02)] == pytest.approx(0.0), "once the square is covered nothing is left"
    assert back.scores[np.searchsorted(back.shares, area + 0.02)] == pytest.approx(1.0)
    gains = [insertion(seen, pixels, heat).area - deletion(seen, pixels, heat).area for heat in (right(pixels), 1 - right(pixels))]
    assert gains[0] > 0.8
    assert gains[1] < -0.4, "and the reverse is worse than chance"
    assert pixels.tobytes() == picture().tobytes(), "the picture is left as it was"


def test_the_area_of_a_straight_line_is_its_mean() -> None:
    """A model that counts dark pixels: whatever the order, its curve is a straight line from 1 to 0."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((20, 20, 3), np.uint8)
    pixels[:, 10:] = 255
    curve = deletion(lambda p: (p == p.mean()).mean(axis=(1, 2, 3)), pixels, rng.random((20, 20)).astype(np.float32))
    np.testing.assert_allclose(curve.shares, np.linspace(0, 1, 21), atol=1e-6)
    shown = insertion(lambda p: np.linspace(0, 1, len(p)), pixels, rng.random((20, 20)).astype(np.float32))
    assert shown.area == pytest.approx(0.5)


def test_pointing_and_energy() -> None:
    heat = right(picture())
    assert points_inside(heat, BOXES)
    assert energy_inside(heat, BOXES) == 1
    half = np.array([[24, 4, 29, 14]], np.float32)
    assert energy_inside(heat, half) == pytest.approx(0.5)
    outside = np.array([[0, 20, 20, 40]], np.float32)
    assert not points_inside(heat, outside)
    assert points_inside(heat, np.array([[0, 10, 23, 40]], np.float32), tolerance_px=8)
    flat: Floats = np.zeros((SIDE, SIDE), np.float32)
    assert points_inside(flat, np.array([[18, 18, 22, 22]], np.float32)), "heat without a peak points to the middle"
    assert energy_inside(flat, np.array([[0, 0, 20, 20]], np.float32)) == pytest.approx(0.25), "and is spread evenly"
    with pytest.raises(InputError, match="where there are any"):
        points_inside(heat, np.zeros((0, 4), np.float32))


def test_rank_correlation_is_spearmans() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 6, (2, 8, 9)).astype(np.float32)
        assert rank_correlation(a, b) == pytest.approx(spearmanr(a.ravel(), b.ravel()).statistic)
    assert rank_correlation(a, np.zeros_like(a)) == 0


def test_stability_tells_a_method_that_follows_noise() -> None:
    pixels = picture()
    assert stability(right, pixels, right(pixels)) == 1
    grey = pixels.mean(axis=2).astype(np.float32)
    restless = stability(lambda p: p.mean(axis=2).astype(np.float32) % 7, pixels, grey % 7)
    assert restless < 0.5


def test_sizes_must_agree() -> None:
    with pytest.raises(InputError, match="does not belong"):
        deletion(seen, picture(), np.zeros((5, 5), np.float32))


def middle(pixels: Pixels) -> Floats:
    return centre_prior(*pixels.shape[:2])


def chance(pixels: Pixels) -> Floats:
    return random_heat(*pixels.shape[:2], np.random.default_rng(int(pixels[0, 0, 0]) * 7 + 1))


def checked(count: int = 8) -> Check:
    methods = {"right": right, "spot": middle, "chance": chance}
    forgotten = [("top", {"right": chance, "spot": middle, "chance": chance})]
    return check([Judged(picture(seed), seen, methods, BOXES, forgotten) for seed in range(count)], seed=1)


def test_the_table_tells_a_method_that_knows_from_those_that_do_not() -> None:
    table = checked()
    assert [row.method for row in table.rows] == ["right", "spot", "chance", CENTRE, RANDOM]
    assert table["right"].warning == ""
    assert table["right"].over_centre.ci95[0] > 0.2  # type: ignore[index, union-attr]
    assert table["right"].pointing.mean == table["right"].energy.mean == 1  # type: ignore[union-attr]
    assert abs(table["right"].randomised[-1][1]) < 0.3  # type: ignore[index]
    assert "middle of each picture" in table["spot"].warning
    assert "middle of each picture" in table["chance"].warning
    assert table[CENTRE].warning == table[RANDOM].warning == ""
    text = table.to_text()
    assert "right" in text
    assert text.count("warning: ") == 2
    told = table.to_json()["rows"]
    assert told[1]["warning"]
    for row in told[:3]:
        curves, (shown, covered) = row["curves"], (row["curves"][kind]["scores"] for kind in ("insertion", "deletion"))
        assert curves["shares"][0] == 0
        assert len(curves["shares"]) == len(shown) == len(covered)
        assert shown[0] == pytest.approx(0, abs=0.35)
        assert shown[-1] == covered[0]
        assert row["faithful"]["mean"] == pytest.approx(curves["insertion"]["area"] - curves["deletion"]["area"])


def test_a_method_that_does_not_look_at_the_weights_is_warned_of() -> None:
    same = [("top", {"right": right})]
    table = check([Judged(picture(seed), seen, {"right": right}, None, same) for seed in range(8)])
    assert "random ones" in table["right"].warning


def test_one_picture_shows_nothing() -> None:
    table = checked(1)
    assert table["right"].faithful.ci95 is None
    assert "one picture" in table["right"].warning
    assert "1 picture," in table.to_text()
