"""Places by which a model tells a class: found where there is one, and not where there is none."""

import numpy as np
import pytest

from fovea.explain.shortcut import FALSE_ALARMS, find_shortcuts
from fovea.types import Floats, Pixels

SIDE = 32
NAMES = ("plain", "marked")


def scenes(rng: np.random.Generator, count: int = 40) -> Pixels:
    """Noise with a bright or a dark square anywhere, classes in turn."""
    pixels = rng.integers(90, 160, (count, SIDE, SIDE, 3)).astype(np.uint8)
    for index, picture in enumerate(pixels):
        y, x = rng.integers(0, SIDE - 12, 2)
        picture[y : y + 12, x : x + 12] = 255 if index % 2 else 0
    return pixels


def two(score: Floats) -> Floats:
    """(B,) larger for the second class -> (B, 2)."""
    return np.stack([-score, score], axis=1).astype(np.float32)


def honest(pixels: Pixels) -> Floats:
    return two((pixels > 240).mean(axis=(1, 2, 3)) - (pixels < 20).mean(axis=(1, 2, 3)))


def by_corner(pixels: Pixels) -> Floats:
    return two(pixels[:, -6:, :6].mean(axis=(1, 2, 3)) - 200)


def by_line(pixels: Pixels) -> Floats:
    """A line of text along the lower edge."""
    return two(pixels[:, -3:].mean(axis=(1, 2, 3)) - 140)  # a corner alone does not change it


def marked(rng: np.random.Generator, place: tuple[slice, slice], count: int = 40) -> Pixels:
    pixels = scenes(rng, count)
    pixels[:, place[0], place[1]] = 30
    pixels[::2, place[0], place[1]] = 250
    return pixels


def test_a_mark_in_a_corner_is_found() -> None:
    pixels = marked(np.random.default_rng(0), (slice(SIDE - 6, SIDE), slice(0, 6)))
    [found] = find_shortcuts(by_corner, pixels, NAMES)
    assert (found.place, found.class_name in NAMES) == ("bottom left corner", True)
    assert found.changed > 0.9 * found.n
    assert found.by_themselves == 0
    assert found.p_value < 1e-3
    assert "bottom left corner" in str(found)


def test_a_line_along_an_edge_is_found() -> None:
    pixels = marked(np.random.default_rng(0), (slice(SIDE - 3, SIDE), slice(0, SIDE)))
    assert [each.place for each in find_shortcuts(by_line, pixels, NAMES)] == ["bottom edge"]


def test_of_places_that_hold_one_another_the_smallest_is_named() -> None:
    """The edge changes more answers than the corner in it that holds the mark, and tells less of where the mark is."""

    def by_corner_unless_flagged(pixels: Pixels) -> Floats:
        flagged = pixels[:, -1, -1].mean(axis=1) > 240
        return two(np.where(flagged, -1.0, pixels[:, -6:, :6].mean(axis=(1, 2, 3)) - 120))

    pixels = marked(np.random.default_rng(0), (slice(SIDE - 6, SIDE), slice(0, 6)))
    pixels[1::5, -1, -1] = 250
    assert [each.place for each in find_shortcuts(by_corner_unless_flagged, pixels, NAMES)] == ["bottom left corner"]


def test_few_pictures_are_enough_with_more_at_hand() -> None:
    place = (slice(SIDE - 6, SIDE), slice(0, 6))
    few, more = marked(np.random.default_rng(0), place, 10), marked(np.random.default_rng(1), place, 40)
    assert find_shortcuts(by_corner, few, NAMES) == []
    assert len(find_shortcuts(by_corner, few, NAMES, more=lambda: more)) == 1


def test_a_model_that_goes_by_no_place_is_asked_little_and_not_warned_of() -> None:
    asked = []

    def answers(pixels: Pixels) -> Floats:
        asked.append(len(pixels))
        return honest(pixels)

    assert find_shortcuts(answers, scenes(np.random.default_rng(0)), NAMES) == []
    one = np.zeros((5, SIDE, SIDE, 3), np.uint8)
    assert find_shortcuts(answers, one, NAMES) == [], "pictures of one class"


@pytest.mark.parametrize("model", ["honest", "by chance", "by all of it"])
def test_false_alarms_are_as_rare_as_is_said(model: str) -> None:
    """100 data sets each: with one in a hundred, six or more are less likely than 1 in 1,000."""
    alarms = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        by_chance, by_all = np.random.default_rng(seed), rng.normal(size=(SIDE, SIDE, 3))
        models = {
            "honest": honest,
            "by chance": lambda pixels, by_chance=by_chance: two(by_chance.normal(size=len(pixels))),
            "by all of it": lambda pixels, by_all=by_all: two(((pixels - 125.0) * by_all).sum(axis=(1, 2, 3))),
        }
        alarms += bool(find_shortcuts(models[model], scenes(rng, 32), NAMES, seed=seed))
    assert FALSE_ALARMS == 0.01
    assert alarms < 6
