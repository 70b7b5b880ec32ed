"""Near duplicates: every way of changing a picture is seen through, and pictures that only look alike are not reported."""

from collections.abc import Callable, Mapping
from itertools import combinations

import cv2
import numpy as np
import pytest
from tests.painted import CHANGES, Pixels, facts_of, photo

from fovea.audit.candidates import candidates
from fovea.audit.near import Pair, families, find_near, near_by_embedding
from fovea.audit.scenes import without_scenes
from fovea.data.facts import mirror_mask
from fovea.files import hash_bytes
from fovea.types import PictureFacts


def name(*parts: object) -> str:
    """A content hash for a picture of a test: no order among them means anything."""
    return hash_bytes(*map(str, parts))


def pairs_of(pictures: Mapping[str, Pixels], **options: object) -> list[Pair]:
    facts = {content: facts_of(pixels) for content, pixels in pictures.items()}

    def thumbnails(asked: Mapping[str, PictureFacts]) -> dict[str, np.ndarray]:
        return {content: facts[content].thumbnail for content in asked}

    return find_near(facts, thumbnails, **options)


@pytest.fixture(scope="module")
def others() -> dict[str, Pixels]:
    return {name("other", seed): photo(1000 + seed) for seed in range(150)}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_and_nothing_else(change: str, others: dict[str, Pixels]) -> None:
    pictures = dict(others)
    for seed in range(12):
        pictures[name(seed)] = photo(seed)
        pictures[name(seed, change)] = CHANGES[change](photo(seed))
    found = pairs_of(pictures)
    assert {frozenset((pair.first, pair.second)) for pair in found} == {frozenset((name(seed), name(seed, change))) for seed in range(12)}
    assert all(0.8 < pair.similarity <= 1 for pair in found)
    assert {pair.mirrored for pair in found} == {change.startswith("mirrored")}


def test_pictures_of_their_own_are_not_reported(others: dict[str, Pixels]) -> None:
    assert pairs_of(others) == []


def test_the_order_changes_nothing(others: dict[str, Pixels]) -> None:
    pictures = others | {name("copy"): others[name("other", 3)][:, ::-1]}
    backwards = dict(reversed(list(pictures.items())))
    assert pairs_of(pictures) == pairs_of(backwards) != []


def test_two_pictures_are_enough() -> None:
    one = photo(1)
    assert len(pairs_of({"aa": one, "bb": CHANGES["half the size"](one)})) == 1
    assert pairs_of({"aa": one, "bb": photo(2)}) == []
    assert pairs_of({"aa": one}) == pairs_of({}) == []


def test_what_is_almost_one_colour_has_no_copies() -> None:
    grey = {name(seed): np.full((90, 120, 3), 120, np.uint8) + np.uint8(seed) for seed in range(5)}
    assert pairs_of(grey) == []


def strokes(rng: np.random.Generator) -> Pixels:
    """Strokes on black, as letters have."""
    pixels = np.zeros((96, 96, 3), np.uint8)
    points = rng.integers(24, 72, (4, 2))
    for start, end in zip(points[:-1].tolist(), points[1:].tolist(), strict=True):
        cv2.line(pixels, start, end, (230, 230, 230), 8, cv2.LINE_AA)
    return pixels


def blob(rng: np.random.Generator) -> Pixels:
    pixels = np.zeros((96, 96, 3), np.uint8)
    cv2.ellipse(pixels, _point(rng, 36, 60), _point(rng, 12, 34), float(rng.uniform(0, 180)), 0, 360, (220, 220, 220), -1, cv2.LINE_AA)
    return pixels


def cell(rng: np.random.Generator) -> Pixels:
    """A nucleus in its plasma, under a noisy microscope."""
    pixels = np.full((120, 120, 3), (40, 20, 60), np.float32)
    cv2.ellipse(pixels, _point(rng, 50, 70), _point(rng, 28, 40), float(rng.uniform(0, 180)), 0, 360, (190, 140, 180), -1)
    cv2.ellipse(pixels, _point(rng, 48, 72), _point(rng, 10, 18), float(rng.uniform(0, 180)), 0, 360, (90, 40, 110), -1)
    return np.clip(cv2.GaussianBlur(pixels, (0, 0), 1.2) + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)


def bottle(rng: np.random.Generator) -> Pixels:
    """A product on white: all have one outline, and their own label."""
    pixels = np.full((200, 160, 3), 255, np.uint8)
    paint, label = (tuple(int(v) for v in rng.integers(0, 220, 3)) for _ in range(2))
    cv2.rectangle(pixels, (48, 40), (112, 190), paint, -1)
    cv2.rectangle(pixels, (70, 20), (90, 40), paint, -1)
    cv2.rectangle(pixels, (48, int(rng.integers(60, 80))), (112, int(rng.integers(130, 170))), label, -1)
    for _ in range(3):
        cv2.circle(pixels, _point(rng, 60, 100), int(rng.integers(4, 12)), tuple(int(v) for v in rng.integers(0, 255, 3)), -1)
    return pixels


def _point(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    x, y = rng.integers(low, high, 2).tolist()
    return x, y


@pytest.mark.slow
@pytest.mark.parametrize("kind", [strokes, blob, cell, bottle])
def test_pictures_alike_by_nature_are_not_copies(kind: Callable[[np.random.Generator], Pixels]) -> None:
    """All are alike, and only those that stand there twice are reported."""
    rng = np.random.default_rng(0)
    pictures = {name(index): kind(rng) for index in range(300)}
    copies = set()
    for index, change in enumerate(["compressed anew", "half the size", "mirrored"] * 3):
        pictures[name(index, "copy")] = CHANGES[change](pictures[name(index)])
        copies.add(frozenset((name(index), name(index, "copy"))))
    assert {frozenset((pair.first, pair.second)) for pair in pairs_of(pictures)} == copies


def test_a_crowd_of_copies_becomes_one_family(others: dict[str, Pixels]) -> None:
    """A film of a scene in which nothing moves: too many to compare each with each, and yet all are joined."""
    rng = np.random.default_rng(1)
    frames = {name("frame", index): np.clip(photo(5) + rng.normal(0, 3, (120, 160, 3)), 0, 255).astype(np.uint8) for index in range(200)}
    found = pairs_of(others | frames)
    assert families(found) == [sorted(frames)]
    assert len(found) < 200 * 40


def test_families_join_through_any_number_of_steps() -> None:
    pairs = [Pair("a", "b", 1, False), Pair("d", "e", 1, False), Pair("c", "b", 1, True)]
    assert families(pairs) == [["a", "b", "c"], ["d", "e"]]
    assert families([]) == []


def test_candidates_against_every_pair() -> None:
    """All pairs that differ in at most 5 bits are found, most of those with 6 to 8, and none with more; mirrored ones too."""
    rng = np.random.default_rng(2)
    hashes = rng.integers(0, 1 << 63, (400, 2), dtype=np.uint64)
    mirror = mirror_mask()
    planted = {}
    for index in range(120):
        bits = index % 10
        turned = np.uint64(sum(1 << int(bit) for bit in rng.choice(63, bits, replace=False)))
        mirrored = index % 3 == 0
        hashes[200 + index, 0] = hashes[index, 1] ^ turned ^ (mirror if mirrored else np.uint64(0))
        planted[index, 200 + index, mirrored] = bits
    found = candidates(hashes, mirror=mirror)
    keys = set(zip(found.first.tolist(), found.second.tolist(), found.mirrored.tolist(), strict=True))
    assert len(keys) == len(found.first)
    assert {key for key, bits in planted.items() if bits <= 5} <= keys
    nearly = [key for key, bits in planted.items() if 6 <= bits <= 8]
    assert sum(key in keys for key in nearly) > 0.4 * len(nearly)
    assert not keys & {key for key, bits in planted.items() if bits > 8}
    assert not found.crowded.any()
    assert keys <= set(planted)


def test_equal_hashes_of_any_number_stay_few_pairs() -> None:
    hashes = np.full((5_000, 25), 12345, np.uint64)
    found = candidates(hashes, mirror=mirror_mask())
    assert found.crowded.all()
    assert set(found.first.tolist()) | set(found.second.tolist()) == set(range(5_000))
    assert len(found.first) <= 5_000 * 10


def test_no_hashes_give_no_pairs() -> None:
    found = candidates(np.zeros((0, 25), np.uint64), mirror=mirror_mask())
    assert [len(part) for part in found] == [0, 0, 0, 0]


def test_neighbours_by_embedding_show_what_a_hash_cannot(others: dict[str, Pixels]) -> None:
    whole = photo(3)
    part = whole[18:102, 24:136]  # 70 % of each side
    pictures = others | {"aa": whole, "bb": part}
    assert pairs_of(pictures) == []
    (pair,) = pairs_of(pictures, neighbours=[("aa", "bb"), ("aa", name("other", 1)), ("aa", "not there")])
    assert (pair.first, pair.second, pair.mirrored) == ("aa", "bb", False)


def test_near_embeddings_are_found() -> None:
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(500, 64)).astype(np.float32) + 2
    names = [f"{index:03}" for index in range(500)]
    for index in range(40):
        vectors[100 + index] = vectors[index] + rng.normal(size=64) * 0.15
    found = near_by_embedding(names, vectors)
    planted = {(f"{index:03}", f"{100 + index:03}") for index in range(40)}
    assert set(found) <= planted
    assert len(found) >= 36


def test_a_fixed_camera_takes_no_copies() -> None:
    """Eight pictures of one place with two labels are a scene; six versions of one picture are not, nor is one wrong label."""
    copies = [f"a{i}" for i in range(6)]
    scene = [f"b{i}" for i in range(8)]
    labels: dict[str, str | None] = {
        **dict.fromkeys(copies, "cat"),
        **{name: ("cat", "dog")[i % 2] for i, name in enumerate(scene)},
        "c0": "dog",
        **{f"other {i}": ("cat", "dog")[i % 2] for i in range(20)},
    }
    pairs = [Pair(a, b, 0.97, False) for group in (copies, scene) for a, b in combinations(group, 2)] + [Pair("a0", "c0", 0.97, False)]
    left, scenes = without_scenes(pairs, labels)
    assert scenes == [scene]
    assert left == [pair for pair in pairs if pair.first not in scene]
    assert without_scenes(pairs, dict.fromkeys(labels, "cat")) == (pairs, []), "where there is one class, labels tell nothing"
    template = [pair for pair in pairs if pair.first in scene]
    assert without_scenes(template, dict.fromkeys(scene, "cat")) == ([], [scene]), "more than half of all pictures"
    assert without_scenes([], {}) == ([], [])
