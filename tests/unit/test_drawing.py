"""Pictures of explanations: colours in order, everything on the sheet, and files that open."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from fovea.errors import InputError
from fovea.explain.drawing import ColourMap, animation, colour, contact_sheet, overlay, png, sheet
from fovea.types import Floats, Pixels

RAMP: Floats = np.linspace(0, 1, 256, dtype=np.float32)[None]


def photo(height: int = 30, width: int = 40) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)


@pytest.mark.parametrize("colours", ["viridis", "cividis", "inferno"])
def test_colours_keep_their_order_in_equal_steps(colours: ColourMap) -> None:
    """Lightness (CIE L*) rises from end to end, in even steps: so the map reads alike in grey and to colour-blind people."""
    lightness = cv2.cvtColor(colour(RAMP, colours=colours).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]
    assert lightness[-1] - lightness[0] > 60
    assert (np.diff(lightness[::8]) > 0).all()
    straight = np.linspace(lightness[0], lightness[-1], 256)
    assert np.abs(lightness - straight).max() < 6


def test_heat_that_is_no_number_is_cold() -> None:
    np.testing.assert_array_equal(colour(np.full((2, 2), np.nan, np.float32)), colour(np.zeros((2, 2), np.float32)))


def test_the_overlay_hides_the_photo_only_where_it_is_hot() -> None:
    pixels = photo()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(float)
    cold, hot = overlay(pixels, np.zeros((30, 40), np.float32)), overlay(pixels, np.ones((30, 40), np.float32))
    correlated = [np.corrcoef(grey.ravel(), each.mean(axis=2).ravel())[0, 1] for each in (cold, hot)]
    assert min(correlated) > 0.98, "the photo shows through everywhere"
    assert cold.std() > 2 * hot.std(axis=(0, 1)).mean()
    with pytest.raises(InputError, match="different sizes"):
        overlay(pixels, np.zeros((3, 3), np.float32))


def test_a_sheet_shows_photo_heat_overlay_scale_and_answers() -> None:
    pixels, heat = np.full((200, 300, 3), 120, np.uint8), np.zeros((200, 300), np.float32)
    heat[:, 150:] = 1
    shown = sheet(pixels, heat, [("cat", 0.75), ("dog", 0.25)], "cat.jpg: " + 80 * "long ")
    hottest, coldest = colour(RAMP)[0, -1], colour(RAMP)[0, 0]
    for wanted in ((120, 120, 120), hottest, coldest):
        assert (shown == np.array(wanted)).all(axis=2).sum() > 5_000
    without = sheet(pixels, heat, [], "cat.jpg")
    assert without.shape[1] < shown.shape[1]
    bars = [(shown == np.array((0, 90, 150))).all(axis=2).sum(axis=1).max() for shown in (shown,)]
    assert bars[0] == pytest.approx(0.75 * 260, abs=2), "the longest bar is as long as it is probable"
    assert sheet(photo(8, 8), np.zeros((8, 8), np.float32), [("x", 1.0)], "tiny").shape[0] > 256
    with pytest.raises(InputError, match="no colour map"):
        sheet(pixels, heat, [], "x", colours="jet")  # type: ignore[arg-type]


def test_contact_sheets_and_animations_open() -> None:
    tiles = [(f"{i}.jpg", photo(20 + i, 30)) for i in range(7)]
    page = contact_sheet(tiles, title="seven")
    assert Image.open(io.BytesIO(png(page))).size == page.shape[1::-1]
    frames = [np.full((20, 30, 3), value, np.uint8) for value in (0, 120, 255)]
    for kind in ("gif", "webp"):
        with Image.open(io.BytesIO(animation(frames, kind=kind))) as moving:  # type: ignore[arg-type]
            assert moving.n_frames == 3  # type: ignore[attr-defined]
            assert moving.size == (30, 20)
    with pytest.raises(InputError, match="nothing moves"):
        animation(frames[:1])
    with pytest.raises(InputError, match="nothing to put"):
        contact_sheet([], title="none")
