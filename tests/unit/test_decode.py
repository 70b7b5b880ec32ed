"""Bytes to pixels, against painted pictures: the right colours in the right places, or a name and a reason."""

import io
import subprocess
import sys
import threading
import time
import types
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin
from tests.bad_files import Expect, contents, jpeg, make_bad_folder, noisy_jpeg, picture, png, save, turned

from fovea.data import Decoded, decode
from fovea.data.jpeg import exif_orientation
from fovea.data.trees import FolderTree
from fovea.errors import UnreadableImage


def check_colours(decoded: Decoded, expect: Expect) -> None:
    pixels = decoded.pixels
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert (decoded.width_px, decoded.height_px) == expect.size_px
    assert pixels.shape == (*expect.size_px[::-1], 3)
    rows, columns = (pixels.shape[0] // 4, pixels.shape[0] * 3 // 4), (pixels.shape[1] // 4, pixels.shape[1] * 3 // 4)
    for (row, column), colour in zip([(r, c) for r in rows for c in columns], expect.quarters, strict=True):
        assert np.abs(pixels[row, column].astype(int) - colour).max() <= expect.tolerance, (row, column, pixels[row, column], colour)
    assert expect.mode in (None, decoded.mode)


def check_message(error: UnreadableImage, name: str, says: str) -> None:
    first, *rest = str(error).split("\n")
    assert repr(name) in first
    assert says in first
    assert [line.split(":")[0].strip() for line in rest] == ["got", "expected", "fix"]
    assert all(part.strip() for part in error.to_json().values())


def decoded_or_none(data: bytes) -> Decoded | None:
    try:
        return decode(data, path="x")
    except UnreadableImage as error:
        check_message(error, "x", "")
        return None


@pytest.mark.parametrize("name", contents())
def test_each_odd_file_is_decoded_rightly_or_named(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    data, expect = contents()[name]
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        if expect.readable:
            check_colours(decode(data, path=name), expect)
        else:
            with pytest.raises(UnreadableImage) as caught:
                decode(data, path=name)
            check_message(caught.value, name, expect.says)
    assert heard == []
    assert capfd.readouterr() == ("", ""), "a decoder has printed"


def test_the_folder_of_odd_files(tmp_path: Path) -> None:
    expected = make_bad_folder(tmp_path / "odd")
    assert len(expected) >= 80
    assert sum(not expect.readable for expect in expected.values()) >= 30
    assert sum(name.startswith("truncated_") and name[10].isdigit() for name in expected) == 10
    tree = FolderTree(tmp_path / "odd")
    assert set(tree.paths) == set(expected)
    for name, expect in expected.items():
        if expect.readable:
            check_colours(decode(tree.read(name), path=name), expect)
        else:
            with pytest.raises(UnreadableImage) as caught:
                decode(tree.read(name), path=name)
            check_message(caught.value, name, expect.says)


@pytest.mark.parametrize(
    "whole",
    [
        noisy_jpeg(quality=60),
        noisy_jpeg(quality=60, progressive=True),
        noisy_jpeg(quality=60, subsampling=0, restart_marker_blocks=2),
        jpeg(picture().convert("L").rotate(20)),
        jpeg(picture().convert("CMYK").rotate(20), quality=50),
    ],
    ids=["colour", "progressive", "restarts", "grey", "cmyk"],
)
def test_a_jpeg_cut_anywhere_is_never_half_a_picture(whole: bytes) -> None:
    pixels = decode(whole, path="x").pixels
    accepted = [length for length in range(len(whole)) if (found := decoded_or_none(whole[:length])) and not _same(found.pixels, pixels)]
    assert accepted == []
    assert decoded_or_none(whole[:-3]) is None  # the last byte of the picture itself


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "TIFF", "TIFF deflate", "WEBP", "PPM", "JPEG2000"])
def test_other_files_cut_anywhere_are_never_half_a_picture(kind: str) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8))
    kind, _, packing = kind.partition(" ")
    whole = save(image, kind, **({"compression": "tiff_adobe_deflate"} if packing else {}))
    pixels = decode(whole, path="x").pixels
    lengths = [*range(0, len(whole), 31), *range(len(whole) - 60, len(whole))]
    assert [n for n in lengths if (found := decoded_or_none(whole[:n])) and not _same(found.pixels, pixels)] == []
    assert decoded_or_none(whole[: len(whole) // 2]) is None


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool((one == other).all())


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    name=st.sampled_from([n for n, (data, expect) in contents().items() if expect.readable and len(data) < 20_000]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_damaged_file_gives_pixels_or_one_kind_of_error(name: str, changes: list[tuple[int, int]]) -> None:
    data = bytearray(contents()[name][0])
    for position, value in changes:
        data[position % len(data)] = value
    try:
        assert decode(bytes(data), path=name, max_pixels=1_000_000).pixels.ndim == 3
    except UnreadableImage as error:
        check_message(error, name, "")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"II*\0", b"RIFF....WEBPVP8X", b"BM"]),
    rest=st.binary(max_size=300),
)
def test_noise_gives_one_kind_of_error(start: bytes, rest: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(start + rest, path="x")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(kind: str, orientation: int) -> None:
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}, "JPEG": {"quality": 95}}.get(kind, {})
    decoded = decode(turned(orientation, kind, **options), path="x")
    check_colours(decoded, Expect(tolerance=25))
    assert decoded.orientation == orientation


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_to_a_smaller_picture(orientation: int) -> None:
    decoded = decode(turned(orientation, quality=95), path="x", min_side_px=16)
    assert (decoded.width_px, decoded.height_px) == (48, 32)
    assert decoded.pixels.shape == (16, 24, 3)
    check_colours(Decoded(decoded.pixels, 24, 16, "jpeg", "rgb", 1), Expect(size_px=(24, 16)))


@pytest.mark.parametrize(
    "order",
    [
        b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
        b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0",
    ],
)
def test_exif_of_either_byte_order_and_cut_anywhere(order: bytes) -> None:
    assert exif_orientation(order) == exif_orientation(b"Exif\0\0" + order) == 6
    assert {exif_orientation(order[:length]) for length in range(len(order))} <= {1, 6}
    assert exif_orientation(order.replace(b"\x06", b"\x09")) == 1


@pytest.mark.parametrize("width", [1, 7, 8, 9, 31, 64, 203])
@pytest.mark.parametrize("height", [3, 16, 65, 300])
def test_a_smaller_decode_keeps_its_short_side(width: int, height: int) -> None:
    data = jpeg(Image.fromarray(np.zeros((height, width, 3), np.uint8)))
    for wanted in (1, 2, 4, 8, 15, 16, 17, 32, 33, 100, 400):
        decoded = decode(data, path="x", min_side_px=wanted)
        scale = next(s for s in (8, 4, 2, 1) if -(-min(width, height) // s) >= wanted or s == 1)
        assert decoded.pixels.shape == (-(-height // scale), -(-width // scale), 3)
        assert min(decoded.pixels.shape[:2]) >= min(wanted, width, height)
        assert (decoded.width_px, decoded.height_px) == (width, height)


@pytest.mark.parametrize(("wanted", "scale"), [(100, 1), (50, 2), (25, 4), (12, 8)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_smaller_decode_shows_the_same_picture(wanted: int, scale: int, mode: str) -> None:
    waves = np.sin(np.arange(104)[:, None] / 15) * np.cos(np.arange(152)[None] / 19)
    pixels = np.clip(128 + 90 * np.dstack([waves, -waves, waves * 0.5]), 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    small = decode(jpeg(image, subsampling=0), path="x", min_side_px=wanted).pixels
    oracle = cv2.resize(np.array(image.convert("RGB")), (152 // scale, 104 // scale), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - oracle).mean() < 2.5


def test_every_16_bit_value_is_rounded() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    oracle = np.rint(values / 257).astype(np.uint8)
    grey = decode(png(values.astype(">u2"), bits=16, colour_type=0), path="x")
    deep = np.dstack([values, values[::-1], values.T])
    colour = decode(png(deep.astype(">u2"), bits=16, colour_type=2), path="x")
    tiff_colour, tiff_packed = (
        decode(cv2.imencode(".tif", deep[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, packing])[1].tobytes(), path="x") for packing in (1, 5)
    )
    tiff = decode(save(Image.fromarray(values), "TIFF"), path="x")
    pgm = decode(b"P5 256 256 65535\n" + values.astype(">u2").tobytes(), path="x")
    for decoded in (grey, tiff, pgm):
        assert (decoded.pixels == oracle[..., None]).all()
        assert decoded.mode == "16-bit grey"
    for decoded in (colour, tiff_colour, tiff_packed):
        assert (decoded.pixels == np.dstack([oracle, oracle[::-1], oracle.T])).all()
        assert decoded.mode == "16-bit rgb"


@pytest.mark.parametrize("bits", [8, 16])
def test_transparency_is_laid_on_white(bits: int) -> None:
    top = 2**bits - 1
    colour, alpha = np.meshgrid(np.linspace(0, top, 52).astype(int), np.linspace(0, top, 18).astype(int))
    raw = np.dstack([colour, colour[::-1], colour * 0, alpha]).astype(">u2" if bits == 16 else np.uint8)
    pixels = decode(png(raw, bits=bits, colour_type=6), path="x").pixels
    share = raw[..., 3:].astype(float) / top
    oracle = 255 * (raw[..., :3].astype(float) / top * share + 1 - share)
    assert np.abs(pixels - oracle).max() <= (0.51 if bits == 16 else 1)


def test_a_32_bit_picture_is_named() -> None:
    with pytest.raises(UnreadableImage, match="TIFF that cannot be decoded") as caught:
        decode(save(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), path="x")
    assert "32 bits" in caught.value.got


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "AVIF", "PPM", "JPEG2000", "ICO"])
def test_too_many_pixels_are_refused(kind: str) -> None:
    data = save(picture().crop((0, 0, 32, 32)), kind, **({"sizes": [(32, 32)]} if kind == "ICO" else {}))
    assert decode(data, path="x", max_pixels=1024).pixels.shape == (32, 32, 3)
    with pytest.raises(UnreadableImage, match="more pixels") as caught:
        decode(data, path="x", max_pixels=1023)
    assert "1,023" in caught.value.expected
    with pytest.raises(UnreadableImage, match="more pixels"):
        decode(data, path="x", max_pixels=1023, min_side_px=1)


@pytest.mark.parametrize("lossless", [True, False])
def test_a_huge_webp_is_refused_before_its_canvas_is_made(lossless: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile._open", lambda self: pytest.fail("it was opened"))
    with pytest.raises(UnreadableImage, match="more pixels"):
        decode(save(picture(), "WEBP", lossless=lossless), path="x", max_pixels=100)


def test_the_state_of_the_process_is_left_as_found() -> None:
    before = (list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN))
    for data, _ in contents().values():
        decoded_or_none(data)
    assert (list(warnings.filters), Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES, dict(Image.OPEN)) == before


def test_many_threads_decode_the_same() -> None:
    work = [data for data, expect in contents().values() for _ in range(4) if expect.readable]
    one_by_one = [decode(data, path="x").pixels for data in work]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda data: decode(data, path="x").pixels, work))
    assert all(map(_same, one_by_one, together))


def test_row_by_row_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    work = [data for data, expect in contents().values() if expect.readable]
    whole = [decode(data, path="x") for data in work]
    monkeypatch.setattr("fovea.data.jpeg.STRIP_PIXELS", 1)
    rows = [decode(data, path="x") for data in work]
    assert len(work) >= 30
    assert all(_same(one.pixels, other.pixels) and one.mode == other.mode for one, other in zip(whole, rows, strict=True))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_large_pictures_are_decoded_one_at_a_time(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are not: in the second round two threads are inside at once, or they would wait for each other in vain."""
    module = sys.modules["fovea.data.decode"]
    data, inside, most = save(picture(), kind), [0], [0]
    name = "decode_jpeg" if kind == "JPEG" else "_to_rgb"
    real, lock = getattr(module, name), threading.Lock()

    def slow(*args: object) -> object:
        with lock:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        time.sleep(0.02)
        with lock:
            inside[0] -= 1
        return real(*args)

    monkeypatch.setattr(module, name, slow)
    for alone_px, at_once in ((0, {1}), (10**9, {1} if kind == "TIFF" else {2, 3, 4})):  # TIFF: always one at a time
        monkeypatch.setattr(module, "ALONE_PIXELS", alone_px)
        most[0] = 0
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: decode(data, path="x"), range(8)))
        assert most[0] in at_once


_PEAK = """
import re, sys
from pathlib import Path
from fovea.data import decode
def peak(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
data = sys.stdin.buffer.read()
before = peak()
height, width, _ = decode(data, path="x").pixels.shape
print((peak() - before) / height / width)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the peak of memory is read from /proc")
@pytest.mark.parametrize(("bits", "most"), [(8, 10), (16, 20)])
def test_a_large_picture_takes_little_more_memory_than_its_pixels(bits: int, most: int) -> None:
    """In bytes a pixel at the peak, with the 3 of the result; a small file that holds a huge picture took 22 and 120."""
    pixels = np.full((3000, 3000, 4), 3, np.uint8 if bits == 8 else np.uint16)
    data = cv2.imencode(".png", pixels)[1].tobytes()
    done = subprocess.run([sys.executable, "-c", _PEAK], input=data, capture_output=True, check=True)
    assert float(done.stdout) < most


def test_the_input_is_not_changed_and_any_name_is_shown_on_one_line() -> None:
    with pytest.raises(UnreadableImage) as caught:
        decode(b"", path="cat/two\nlines \udcff.jpg")
    assert str(caught.value).split("\n")[0] == r"'cat/two\nlines \udcff.jpg' is empty"


def test_heic_is_read_where_its_plugin_is(monkeypatch: pytest.MonkeyPatch) -> None:
    data = contents()["phone.heic"][0]
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UnreadableImage) as caught:
        decode(data, path="a.heic")
    assert "pip install pillow-heif" in caught.value.fix

    def reader(file: io.BytesIO) -> Image.Image:
        assert file.read() == data
        return PngImagePlugin.PngImageFile(io.BytesIO(save(picture(), "PNG")))

    plugin = types.ModuleType("pillow_heif")
    plugin.HeifImageFile = reader  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    assert decode(data, path="a.heic").format == "heif"


def test_photos_decode_as_pillow_decodes_them(shared: Path) -> None:
    photos = sorted((shared / "data" / "cats_dogs" / "test" / "cat").glob("*.jpg"))[:20]
    assert len(photos) == 20
    for photo in photos:
        decoded = decode(photo.read_bytes(), path=photo.name)
        with Image.open(photo) as image:
            assert np.abs(decoded.pixels.astype(int) - np.array(image.convert("RGB"))).mean() < 1
