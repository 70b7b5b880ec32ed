"""The pixel store: found by content, whole after kills and faults, bounded, shared."""

import errno
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from fovea.data import decode, open_source
from fovea.errors import DiskFull, InputError, OutputError, UnreadableImage
from fovea.files import hash_bytes
from fovea.loading import segments
from fovea.loading.margin import Margin
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scan import scan
from fovea.loading.stored import StoredPictures
from fovea.transforms.preprocessing import Preprocessing, Resize, central_crop, square

SIDE = 32
SQUARE_BYTES = SIDE * SIDE * 3
RULE = square(SIDE)


def paint(folder: Path, count: int = 12, *, seed: int = 0) -> Path:
    """Two classes of noise, no two alike."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        place = folder / ("cat", "dog")[index % 2]
        place.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place / f"{index:03}.png"), rng.integers(0, 256, (40, 50, 3), np.uint8))
    return folder


def content(index: int) -> str:
    return hash_bytes(str(index))


def pixels_of(index: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (side, side, 3), np.uint8)


def fill(store: PixelStore, indexes: range) -> None:
    rule = store.rule(RULE)
    for index in indexes:
        assert store.put(rule, content(index), pixels_of(index))
    store.flush()


def read(store: PixelStore, indexes: range) -> list[np.ndarray | None]:
    places = store.find(store.rule(RULE), [content(index) for index in indexes])
    return [store.read(places, place) for place in range(len(indexes))]


def is_whole(store: PixelStore, indexes: range) -> list[bool]:
    """For each: whether it is kept. What is kept must be right."""
    found = read(store, indexes)
    for index, pixels in zip(indexes, found, strict=True):
        if pixels is not None:
            np.testing.assert_array_equal(pixels, pixels_of(index))
    return [pixels is not None for pixels in found]


def test_what_was_put_is_found_by_a_later_process(tmp_path):
    with PixelStore(tmp_path) as store:
        fill(store, range(20))
        assert store.size()["num_pictures"] == 20
    with PixelStore(tmp_path) as store:
        assert is_whole(store, range(25)) == [True] * 20 + [False] * 5
        places = store.find(store.rule(square(SIDE + 1)), [content(0)])
        assert store.read(places, 0) is None, "another size is another picture"
        assert [file.stat().st_size for file in tmp_path.glob("*.pixels")] == [20 * SQUARE_BYTES], "room that was not filled is given back"


def test_pictures_are_read_only_and_outlive_the_store(tmp_path):
    with PixelStore(tmp_path) as store:
        fill(store, range(3))
        kept = read(store, range(3))
    with pytest.raises(ValueError, match="read-only"):
        kept[0][0] = 0
    np.testing.assert_array_equal(kept[2], pixels_of(2))


def test_renamed_and_copied_data_cost_nothing(tmp_path, monkeypatch):
    data = paint(tmp_path / "data")
    with open_source(data) as source, PixelStore(tmp_path / "store") as store:
        seen = scan(source)
        pictures = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=RULE)
        assert pictures.num_kept == 0
        facts, problems = pictures.keep(known={})
        assert (len(facts), problems, pictures.num_kept) == (12, {}, 12)
        before = {content: pictures.read(row).copy() for row, content in enumerate(seen.hashes)}
    for index, path in enumerate(sorted(data.rglob("*.png"))):
        path.rename(path.with_name(f"renamed{99 - index}.png"))
    with open_source(data) as source, PixelStore(tmp_path / "store") as store:
        seen = scan(source)

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a picture was read that was kept")

        monkeypatch.setattr(source, "read", refuse)
        pictures = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=RULE)
        assert pictures.keep(known=facts) == (facts, {})
        for row, content_hash in enumerate(seen.hashes):
            np.testing.assert_array_equal(pictures.read(row), before[content_hash])


def test_kept_or_decoded_now_a_picture_is_what_the_preprocessing_makes_of_it(tmp_path):
    with open_source(paint(tmp_path / "data")) as source, PixelStore(tmp_path / "none", max_mb=0) as empty, PixelStore(tmp_path) as store:
        seen = scan(source)
        kept, decoded = (StoredPictures(place, source, seen.items, seen.hashes, preprocessing=RULE) for place in (store, empty))
        for pictures in (kept, decoded):
            pictures.keep(known={})
        assert (kept.num_kept, decoded.num_kept) == (12, 0)
        for row, item in enumerate(seen.items):
            expected = RULE.apply(decode(source.read(item), path=item.path, min_side_px=SIDE).pixels)
            np.testing.assert_array_equal(kept.read(row), expected)
            np.testing.assert_array_equal(decoded.read(row), expected)


def test_equal_files_are_decoded_once_and_broken_ones_named_each(tmp_path, monkeypatch):
    data = paint(tmp_path / "data", 4)
    for name in ("a", "b"):
        (data / "cat" / f"broken-{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        (data / "dog" / f"equal-{name}.png").write_bytes((data / "dog" / "001.png").read_bytes())
    with open_source(data) as source, PixelStore(tmp_path / "store") as store:
        seen = scan(source)
        pictures = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=RULE)
        asked = []
        read_one = source.read
        monkeypatch.setattr(source, "read", lambda item: asked.append(item.path) or read_one(item))
        facts, problems = pictures.keep(known={})
        assert len(asked) == len(set(seen.hashes)) == 5
        assert len(facts) == 4
        assert sorted(seen.items[row].path for row in problems) == ["cat/broken-a.png", "cat/broken-b.png"]
        assert all(seen.items[row].path in problem.problem for row, problem in problems.items())
        assert sorted({*range(len(pictures))} - {*pictures.readable}) == sorted(problems)
        equal = [row for row, item in enumerate(seen.items) if "equal" in item.path or item.path == "dog/001.png"]
        assert len(equal) == 3
        assert np.array_equal(pictures.read(equal[0]), pictures.read(equal[2]))
        assert len(asked) == 5, "the third was found in the store"


def test_a_file_that_changed_is_not_kept_under_its_old_hash(tmp_path):
    data = paint(tmp_path / "data", 4)
    with open_source(data) as source, PixelStore(tmp_path / "store") as store:
        seen = scan(source)
        cv2.imwrite(str(data / "cat" / "000.png"), pixels_of(77))
        pictures = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=RULE)
        with pytest.raises(UnreadableImage, match=r"cat/000.png' has changed"):
            pictures.read(0)
        assert store.size()["num_pictures"] == 0


@pytest.mark.parametrize(("fault", "num_lost"), [("a changed byte", 1), ("cut off", 7), ("emptied", 12), ("removed", 12)])
def test_pixels_that_are_not_whole_are_decoded_again(tmp_path, fault, num_lost):
    def lost() -> int:
        with PixelStore(tmp_path / "store") as store:
            places = store.find(store.rule(RULE), hashes)
            return sum(store.read(places, row) is None for row in range(12))

    with open_source(paint(tmp_path / "data")) as source:
        seen = scan(source)
        hashes = seen.hashes
        with PixelStore(tmp_path / "store") as store:
            StoredPictures(store, source, seen.items, hashes, preprocessing=RULE).keep(known={})
        assert lost() == 0
        (file,) = (tmp_path / "store").glob("*.pixels")
        whole = file.read_bytes()
        if fault == "removed":
            file.unlink()
        else:
            spoilt = {"a changed byte": bytes([whole[0] ^ 1]) + whole[1:], "cut off": whole[: 5 * SQUARE_BYTES + 7], "emptied": b""}
            file.write_bytes(spoilt[fault])
        assert lost() == num_lost
        with PixelStore(tmp_path / "store") as store:
            pictures = StoredPictures(store, source, seen.items, hashes, preprocessing=RULE)
            for row, item in enumerate(seen.items):
                expected = RULE.apply(decode(source.read(item), path=item.path, min_side_px=SIDE).pixels)
                np.testing.assert_array_equal(pictures.read(row), expected)
        assert lost() == 0, "what was lost is kept again"


def test_an_index_that_is_no_database_says_what_to_do(tmp_path):
    (tmp_path / "index.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(OutputError, match=r"index.sqlite' cannot be used") as caught:
        PixelStore(tmp_path)
    assert "delete that file" in caught.value.fix


# ---- the bound


def test_those_not_used_for_longest_leave_first_and_as_a_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("fovea.loading.pixel_store._USED_S", 0.0)
    monkeypatch.setattr("fovea.loading.segments.SEGMENT_BYTES", 10 * SQUARE_BYTES)
    monkeypatch.setattr("fovea.loading.pixel_store.SEGMENT_BYTES", 10 * SQUARE_BYTES)
    room = 40 * SQUARE_BYTES / 1e6
    with PixelStore(tmp_path, max_mb=room) as store:
        fill(store, range(40))
        assert len(list(tmp_path.glob("*.pixels"))) == 4
    with PixelStore(tmp_path, max_mb=room) as store:
        assert is_whole(store, range(10)) == [True] * 10  # used again, so that the second ten are now the oldest
    with PixelStore(tmp_path, max_mb=room) as store:
        fill(store, range(40, 50))
    with PixelStore(tmp_path, max_mb=room) as store:
        assert is_whole(store, range(50)) == [True] * 10 + [False] * 10 + [True] * 30
        assert sum(file.stat().st_size for file in tmp_path.glob("*.pixels")) <= 40 * SQUARE_BYTES


def test_data_larger_than_the_bound_are_kept_in_part_and_never_drive_themselves_out(tmp_path):
    with open_source(paint(tmp_path / "data", 30)) as source:
        for _ in range(2):
            with PixelStore(tmp_path / "store", max_mb=10.5 * SQUARE_BYTES / 1e6) as store:
                seen = scan(source)
                pictures = StoredPictures(store, source, seen.items, seen.hashes, preprocessing=RULE)
                pictures.keep(known={})
                assert pictures.num_kept == 10
                for row, item in enumerate(seen.items):
                    expected = RULE.apply(decode(source.read(item), path=item.path, min_side_px=SIDE).pixels)
                    np.testing.assert_array_equal(pictures.read(row), expected)


def test_what_is_mapped_can_be_read_after_another_has_removed_it(tmp_path):
    with PixelStore(tmp_path) as writer:
        fill(writer, range(10))
    with PixelStore(tmp_path) as reader, PixelStore(tmp_path, max_mb=10 * SQUARE_BYTES / 1e6) as other:
        before = read(reader, range(10))
        fill(other, range(100, 110))
        assert is_whole(other, range(10)) == [False] * 10
        for index, pixels in enumerate(before):
            np.testing.assert_array_equal(pixels, pixels_of(index))
        assert is_whole(reader, range(10)) == [False] * 10


def test_a_segment_that_is_being_written_is_neither_removed_nor_written_by_another(tmp_path):
    with PixelStore(tmp_path) as first, PixelStore(tmp_path, max_mb=0) as second, PixelStore(tmp_path) as third:
        fill(first, range(5))
        assert second.put(second.rule(RULE), content(7), pixels_of(7)) is None
        fill(third, range(5, 10))
        fill(first, range(10, 15))
        assert is_whole(third, range(15)) == [True] * 15
        assert len(list(tmp_path.glob("*.pixels"))) == 2


@pytest.mark.parametrize("value", ["many", "-1", "nan", "inf"])
def test_a_bound_that_is_no_number(value, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEA_CACHE_MB", value)
    with pytest.raises(InputError, match=f"FOVEA_CACHE_MB cannot be '{value}'"):
        PixelStore(tmp_path)


def test_the_bound_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEA_CACHE_MB", "0.5")
    assert PixelStore(tmp_path).max_bytes == 500_000
    monkeypatch.delenv("FOVEA_CACHE_MB")
    assert PixelStore(tmp_path).max_bytes <= 20_000_000_000


def test_clear(tmp_path):
    with PixelStore(tmp_path) as store:
        fill(store, range(5))
        (tmp_path / "left-over.pixels").write_bytes(b"of an index that was deleted")
        store.clear()
        assert store.size()["num_pictures"] == 0
        assert list(tmp_path.glob("*.pixels")) == []
        fill(store, range(5, 8))
        assert is_whole(store, range(8)) == [False] * 5 + [True] * 3


# ---- faults


@pytest.mark.parametrize("where", ["reserve", "append"])
def test_a_full_disk_is_said(tmp_path, monkeypatch, where):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with PixelStore(tmp_path) as store:
        fill(store, range(2))
    with PixelStore(tmp_path) as store, monkeypatch.context() as patch:
        patch.setattr("fovea.loading.pixel_store.reserve" if where == "reserve" else "fovea.loading.segments.Segment.append", full)
        with pytest.raises(DiskFull, match="the disk is full: decoded pictures could not be kept") as caught:
            fill(store, range(2, 4))
        assert str(tmp_path) in caught.value.problem
        assert "FOVEA_CACHE_MB" in caught.value.fix
    with PixelStore(tmp_path) as store:
        assert is_whole(store, range(4)) == [True, True, False, False]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a process are POSIX's")
def test_a_disk_that_is_really_full(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from tests.unit.test_loader_store import *\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        f"fill(PixelStore(Path({str(tmp_path)!r})), range(100))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "DiskFull: the disk is full" in done.stderr, done.stderr
    with PixelStore(tmp_path) as store:
        is_whole(store, range(100))


def test_reserving_where_the_file_system_cannot(tmp_path, monkeypatch):
    def cannot(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
    with PixelStore(tmp_path) as store:
        fill(store, range(3))
        assert is_whole(store, range(3)) == [True] * 3


_ENDLESS = """
import sys, itertools
from pathlib import Path
from tests.unit.test_loader_store import PixelStore, RULE, content, pixels_of
import fovea.loading.pixel_store
fovea.loading.pixel_store._GROW_BYTES = 30_000  # so that there are many transactions to be killed in
with PixelStore(Path(sys.argv[1])) as store:
    rule = store.rule(RULE)
    print("begun", flush=True)
    for index in itertools.count():
        store.put(rule, content(index % 5000), pixels_of(index % 5000))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
def test_a_killed_writer_leaves_it_whole(tmp_path):
    numbers = []
    for kill in range(4):
        with subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)], stdout=subprocess.PIPE) as child:
            assert child.stdout.readline() == b"begun\n"
            time.sleep((0.02, 0.05, 0.11, 0.16)[kill])
            child.send_signal(signal.SIGKILL)
        database = sqlite3.connect(tmp_path / "index.sqlite")
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        with PixelStore(tmp_path) as store:
            numbers.append(sum(is_whole(store, range(3000))))
    assert numbers[-1] > 0, "nothing was written before the kill"
    assert len(list(tmp_path.glob("*.pixels"))) == 1, "the next writer goes on where a killed one was"


_KEEP_ALL = """
import sys
from pathlib import Path
from tests.unit.test_loader_store import PixelStore, fill, is_whole
with PixelStore(Path(sys.argv[1])) as store:
    sys.stdin.readline()
    fill(store, range(200))
    assert is_whole(store, range(200)) == [True] * 200
"""


def test_several_processes_write_and_read_at_once(tmp_path):
    line = [sys.executable, "-c", _KEEP_ALL, str(tmp_path)]
    children = [subprocess.Popen(line, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    ended = [child.communicate("now\n", timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], ended
    with PixelStore(tmp_path) as store:
        assert is_whole(store, range(200)) == [True] * 200
        assert store.size()["num_pictures"] == 200


def test_only_one_holds_a_lock(tmp_path):
    path = tmp_path / "file"
    with open(path, "w+b") as first, open(path, "r+b") as second:
        assert segments.try_lock(first)
        assert not segments.try_lock(second)
    with open(path, "r+b") as third:
        assert segments.try_lock(third)


# ---- the margin


def test_the_margin_is_over_the_target_and_uncropped():
    assert Margin(square(180)).size_px == 205
    cropped = central_crop(224, fraction=0.875)
    assert Margin(cropped).size_px == 256, "where the preprocessing has a margin itself, that is it"
    assert len({way.key for way in (square(205), Margin(square(180)), Margin(square(180), margin=1.3), Margin(cropped))}) == 4


@pytest.mark.parametrize("rule", ["stretch", "short_side", "letterbox"])
@pytest.mark.parametrize("size", [(40, 50), (64, 64), (300, 201), (90, 1000), (7, 5)])
def test_it_shows_what_the_preprocessing_shows(rule, size):
    """A bright disc in the middle lies at the same place and is as large, whichever way the picture went."""
    pixels = np.full((*size, 3), 40, np.uint8)
    cv2.ellipse(pixels, (size[1] // 2, size[0] // 2), (max(1, size[1] // 4), max(1, size[0] // 4)), 0, 0, 360, (250, 120, 60), -1)
    before = pixels.copy()
    way = Margin(Preprocessing(resize=Resize(rule=rule, size_px=56)))
    expected = Preprocessing(resize=Resize(rule=rule, size_px=way.size_px)).apply(pixels)
    found = way.apply(pixels)
    np.testing.assert_array_equal(pixels, before)
    assert found.shape == expected.shape == (64, 64, 3)
    assert found.flags.c_contiguous
    assert np.abs(found.astype(int) - expected).mean() < 4  # of 255, at the disc's edge


def test_fine_patterns_do_not_turn_into_coarse_ones():
    lines = np.zeros((700, 700, 3), np.uint8)
    lines[::2] = 255
    assert Margin(square(180)).apply(lines).std() < 3
    assert cv2.resize(lines, (205, 205), interpolation=cv2.INTER_LINEAR).std() > 50, "as it would be without averaging"
