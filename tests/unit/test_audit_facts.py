"""What is measured of each picture, and how it is kept."""

import io
import sqlite3
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tests.painted import CHANGES, facts_of, jpeg, photo

from fovea.data import decode
from fovea.data.exif import camera_name, exif_camera
from fovea.data.facts import NUM_HASHES, mirror_mask, perceptual_hashes, picture_facts
from fovea.embeddings.store import EmbeddingStore, Space
from fovea.files import hash_bytes


def bits(a: bytes, b: bytes) -> int:
    """In how many bits two pictures' first hashes differ."""
    first, second = (np.frombuffer(hashes, np.uint64)[0] for hashes in (a, b))
    return int(np.bitwise_count(first ^ second))


@pytest.mark.parametrize(("change", "most"), [("compressed anew", 2), ("half the size", 3), ("larger", 2), ("grey", 0), ("brighter", 5)])
def test_the_hash_outlives_a_change(change: str, most: int) -> None:
    found = [bits(facts_of(photo(seed)).hashes, facts_of(CHANGES[change](photo(seed))).hashes) for seed in range(30)]
    assert np.quantile(found, 0.9) <= most
    assert np.mean([bits(facts_of(photo(seed)).hashes, facts_of(photo(seed + 100)).hashes) for seed in range(30)]) > 20


def test_the_hash_of_the_mirror_image_is_known_without_looking() -> None:
    for seed in range(20):
        thumbnail = facts_of(photo(seed)).thumbnail
        assert thumbnail is not None
        mirrored = perceptual_hashes(np.ascontiguousarray(thumbnail[:, ::-1]))[0]
        assert np.bitwise_count(perceptual_hashes(thumbnail)[0] ^ mirror_mask() ^ mirrored) <= 1


def test_a_part_is_hashed_as_if_it_were_the_whole() -> None:
    for seed in range(20):
        whole, part = photo(seed), photo(seed)[:114, :152]
        hashes = np.frombuffer(facts_of(whole).hashes, np.uint64)
        assert len(hashes) == NUM_HASHES
        distance = np.bitwise_count(hashes ^ np.frombuffer(facts_of(part).hashes, np.uint64)[0])
        assert distance.min() <= 4
        assert distance[0] >= distance.min()


def test_measures_of_painted_pictures() -> None:
    flat = facts_of(np.full((90, 120, 3), (10, 200, 30), np.uint8))
    assert (flat.colour_spread, flat.border, flat.colourfulness) == (0, (10, 200, 30), 190)
    halves = np.zeros((128, 128, 3), np.uint8)
    halves[:, 64:] = 255
    facts = facts_of(halves)
    assert facts.colour_spread == pytest.approx(127.5 * 3**0.5, rel=0.02)
    assert facts.colourfulness == 0
    framed = np.full((128, 128, 3), 255, np.uint8)
    framed[8:-8, 8:-8] = (200, 0, 0)
    assert facts_of(framed).border == (255, 255, 255)


@pytest.mark.parametrize("contrast", [1.0, 0.4])
def test_sharpness_falls_with_blur_and_not_with_contrast(contrast: float) -> None:
    pixels = (128 + (photo(4, width=320, height=240).astype(np.float32) - 128) * contrast).clip(0, 255).astype(np.uint8)
    found = [facts_of(pixels).sharpness] + [facts_of(cv2.GaussianBlur(pixels, (0, 0), sigma)).sharpness for sigma in (2, 4, 8)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 1.3
    assert found[2] < 0.75
    assert found[0] == pytest.approx(facts_of(photo(4, width=320, height=240)).sharpness, rel=0.25)


def test_facts_say_how_the_picture_was_shrunk() -> None:
    data = jpeg(photo(1, width=800, height=600))
    for side, scale in ((None, 1), (300, 2), (150, 4), (64, 8)):
        facts = picture_facts(decode(data, path="x", min_side_px=side), min_side_px=side)
        assert (facts.scale, facts.width_px, facts.height_px) == (scale, 800, 600)
    file = io.BytesIO()
    Image.fromarray(photo(1, width=800, height=600)).save(file, "png")
    assert picture_facts(decode(file.getvalue(), path="x", min_side_px=64), min_side_px=64).scale == 1


def camera_exif(make: str, model: str) -> bytes:
    exif = Image.Exif()
    exif[271], exif[272], exif[274] = make, model, 6
    return exif.tobytes()


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 80D", "Canon EOS 80D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("", "X", "X"),
        ("Y", "", "Y"),
        ("", "", ""),
        (" A\x01 ", "\tB \n", "A B"),
        ("m" * 500, "", "m" * 60),
    ],
)
def test_cameras_have_one_name(make: str, model: str, name: str) -> None:
    assert camera_name(make, model) == name


def test_the_camera_is_read_from_files() -> None:
    exif = camera_exif("Apple", "iPhone 12")
    pixels = photo(1)
    found = decode(jpeg(pixels, exif=exif), path="x")
    assert (found.camera, found.orientation, found.width_px) == ("Apple iPhone 12", 6, 120)
    for kind in ("png", "webp", "tiff"):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, kind, exif=exif)
        assert decode(file.getvalue(), path="x").camera == "Apple iPhone 12", kind
    assert decode(jpeg(pixels), path="x").camera == ""


def test_broken_exif_is_no_camera() -> None:
    exif = camera_exif("Apple", "iPhone 12")
    assert {exif_camera(exif[:length]) for length in range(len(exif))} <= {"", "Apple iPhone 12", "Apple", "iPhone 12"} | {
        exif_camera(exif[:length]) for length in range(len(exif) - 30, len(exif))
    }
    rng = np.random.default_rng(0)
    for _ in range(300):
        broken = bytearray(exif)
        for place in rng.integers(0, len(exif), 4):
            broken[place] = int(rng.integers(0, 256))
        exif_camera(bytes(broken))
    assert exif_camera(b"II*\0" + struct.pack("<I", 2**32 - 1)) == ""


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store.sqlite")


def test_facts_come_back_as_they_were(store: EmbeddingStore) -> None:
    facts = {hash_bytes(str(seed)): facts_of(photo(seed), camera="Löwe 1") for seed in range(3)}
    store.put_facts(facts)
    found = store.get_facts([*facts, hash_bytes("unknown"), ""], min_side_px=None)
    assert found == {content: replace(fact, thumbnail=None) for content, fact in facts.items()}
    thumbnails = store.get_thumbnails(found)
    assert all(np.array_equal(thumbnails[content], fact.thumbnail) for content, fact in facts.items())  # type: ignore[arg-type]


def test_facts_of_another_scale_are_others(store: EmbeddingStore) -> None:
    data, content = jpeg(photo(1, width=800, height=600)), hash_bytes("x")
    for side in (None, 150):
        store.put_facts({content: picture_facts(decode(data, path="x", min_side_px=side), min_side_px=side)})
    assert store.get_facts([content], min_side_px=None)[content].scale == 1
    assert store.get_facts([content], min_side_px=140)[content].scale == 4
    assert store.get_facts([content], min_side_px=64) == {}
    small = store.get_facts([content], min_side_px=150)
    assert not np.array_equal(
        store.get_thumbnails(small)[content], store.get_thumbnails(store.get_facts([content], min_side_px=None))[content]
    )


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE facts SET version = version - 1",
        "UPDATE facts SET facts = '{}'",
        "UPDATE facts SET facts = 'no json'",
        "UPDATE facts SET hashes = x'00'",
        """UPDATE facts SET facts = '{"new": 1, ' || substr(facts, 2)""",
        "DELETE FROM facts",
    ],
)
def test_facts_that_another_version_wrote_are_measured_anew(store: EmbeddingStore, change: str) -> None:
    content = hash_bytes("x")
    store.put_facts({content: facts_of(photo(1))})
    with sqlite3.connect(store.path) as database:
        database.execute(change)
    assert store.get_facts([content], min_side_px=None) == {}
    store.put_facts({content: facts_of(photo(1))})
    assert list(store.get_facts([content], min_side_px=None)) == [content]


def test_the_store_of_an_earlier_version_opens(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.sqlite") as database:
        database.execute("CREATE TABLE pictures (content BLOB PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID")
        database.execute("INSERT INTO pictures VALUES (x'00', '{}')")
    with EmbeddingStore(tmp_path / "old.sqlite") as store:
        assert store.size()["num_pictures"] == 0
        assert store.get_facts(["00"], min_side_px=None) == {}


def test_answers_and_spaces(store: EmbeddingStore) -> None:
    assert store.get_answer(hash_bytes("q")) is None
    store.put_answer(hash_bytes("q"), [1, {"a": "ü"}])
    assert store.get_answer(hash_bytes("q")) == [1, {"a": "ü"}]
    contents = [hash_bytes(str(i)) for i in range(5)]
    facts = facts_of(photo(1))
    old, new = Space("w1", "p", "b"), Space("w2", "p", "b")
    store.put(old, {c: np.zeros(4, np.float32) for c in contents[:3]}, dict.fromkeys(contents, facts))
    store.put(new, {c: np.zeros(4, np.float32) for c in contents[1:]}, dict.fromkeys(contents, facts))
    assert store.spaces(contents) == [(new, 4), (old, 3)]
    assert store.spaces([contents[0]]) == [(old, 1)]
    assert store.spaces([]) == store.spaces([hash_bytes("unknown")]) == []
    store.clear()
    assert store.get_answer(hash_bytes("q")) is None
    assert store.get_facts(contents, min_side_px=None) == store.get_thumbnails({contents[0]: facts}) == {}
