"""A folder of odd and bad picture files, each with what a reader must make of it."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, features

Colour = tuple[int, int, int]

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 60), (40, 60, 200), (230, 210, 40)
QUARTERS = (RED, GREEN, BLUE, YELLOW)  # top left, top right, bottom left, bottom right
SIZE_PX = (48, 32)


@dataclass(frozen=True)
class Expect:
    """What must come of a file.

    Args:
        says: For an unreadable file a part of the message's first line; "" for a readable one.
        size_px: Width and height, the right way up.
        quarters: The colours in the middle of each quarter, in reading order.
        tolerance: Largest difference of a channel, in levels of 255.
        mode: What `Decoded.mode` must be, where that is the point of the file.
    """

    says: str = ""
    size_px: tuple[int, int] = SIZE_PX
    quarters: tuple[Colour, Colour, Colour, Colour] = QUARTERS
    tolerance: int = 12
    mode: str | None = None

    @property
    def readable(self) -> bool:
        return not self.says


def one_colour(colour: Colour, **other: object) -> Expect:
    return Expect(quarters=(colour,) * 4, **other)  # type: ignore[arg-type]


def picture() -> Image.Image:
    """Four quarters in four colours, 48 x 32."""
    pixels = np.zeros((SIZE_PX[1], SIZE_PX[0], 3), np.uint8)
    pixels[:16, :24], pixels[:16, 24:], pixels[16:, :24], pixels[16:, 24:] = QUARTERS
    return Image.fromarray(pixels)


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


def jpeg(image: Image.Image | None = None, **options: object) -> bytes:
    return save(image or picture(), "JPEG", **{"quality": 95, **options})


def noisy_jpeg(**options: object) -> bytes:
    """A JPEG with content everywhere, so that whatever is missing shows."""
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), dtype=np.uint8)
    return save(Image.fromarray(pixels), "JPEG", **options)


def png(pixels: np.ndarray, *, bits: int, colour_type: int, extra: bytes = b"", size: tuple[int, int] | None = None) -> bytes:
    """A PNG written by hand: rows of raw bytes, big-endian for 16 bits. `size` may lie."""
    height, width = pixels.shape[:2]
    raw = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", *(size or (width, height)), bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# how a camera that was held so stores the upright picture: the inverse of what a viewer must do
_STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def turned(orientation: int, kind: str = "JPEG", **options: object) -> bytes:
    """The picture as stored under an EXIF orientation, with the tag that tells."""
    image = picture().transpose(_STORED[orientation]) if orientation > 1 else picture()
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(image, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **options)


def _huge_jpeg() -> bytes:
    data = bytearray(jpeg())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 65_000, 65_000)
    return bytes(data)


def _other_version() -> bytes:
    data = bytearray(jpeg())
    data[data.index(b"JFIF\0") + 5] = 9
    return bytes(data)


def _corrupt() -> bytes:
    data = bytearray(noisy_jpeg(quality=90))
    for position in range(len(data) // 2, len(data) // 2 + 40):
        data[position] = 0x55 ^ (position * 37 & 0xFF)
    return bytes(data)


def _sixteen(image: Image.Image, mode: str) -> np.ndarray:
    return (np.asarray(image.convert(mode)).astype(">u2") * 257).astype(">u2")


def _palette_with_alpha() -> bytes:
    image = picture().quantize(4)
    return save(image, "PNG", transparency=image.getpixel((0, 0)))  # the top left quarter becomes white


def _with_alpha(kind: str) -> bytes:
    image = picture().convert("RGBA")
    image.paste((0, 0, 0, 0), (0, 0, 24, 16))  # black, and wholly transparent
    return save(image, kind, **({"lossless": True} if kind == "WEBP" else {}))


def _frames(kind: str, **options: object) -> bytes:
    others = [Image.new("RGB", SIZE_PX, "black"), Image.new("RGB", SIZE_PX, "white")]
    return save(picture(), kind, save_all=True, append_images=others, **options)


_GREY = (120, 120, 120)
_WHITE = (255, 255, 255)
_CUT = "is cut off"
_TURNED_WHITE = Expect(quarters=(_WHITE, GREEN, BLUE, YELLOW))


@cache
def contents() -> dict[str, tuple[bytes, Expect]]:
    """Every file of the folder that is plain bytes under a plain name, with what must come of it."""
    whole = noisy_jpeg(quality=90)
    size = len(whole)
    lengths = (3, 20, 200, size // 4, size // 2, size * 3 // 4, size * 19 // 20, size - 20, size - 10, size - 3)
    files = {f"truncated_{number}.jpg": (whole[:length], Expect(says=_CUT)) for number, length in enumerate(lengths)}
    files |= {f"exif_{n}.jpg": (turned(n), Expect()) for n in range(1, 9)}
    files |= {f"exif_{n}.{kind.lower()}": (turned(n, kind), Expect()) for kind in ("PNG", "TIFF") for n in (3, 6)}
    files |= {"exif_8.webp": (turned(8, "WEBP", lossless=True), Expect())}
    grey = Image.new("L", SIZE_PX, _GREY[0])
    files |= {
        "zero_bytes.jpg": (b"", Expect(says="is empty")),
        "only_zeros.jpg": (bytes(5000), Expect(says="zero bytes")),
        "text.jpg": (b"I am not a picture.\n" * 20, Expect(says="is text")),
        "page.jpg": (b"\n<!DOCTYPE html><html><body>404</body></html>", Expect(says="is a web page")),
        "drawing.png": (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', Expect(says="SVG")),
        "document.jpg": (b"%PDF-1.7\n%\xe2\xe3", Expect(says="PDF")),
        "git_lfs.jpg": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", Expect(says="Git LFS")),
        "clip.jpg": (b"\0\0\0\x18ftypisom" + bytes(12), Expect(says="is a video")),
        "noise.jpg": (bytes(range(128, 256)) * 9, Expect(says="is not a picture")),
        "phone.heic": (b"\0\0\0\x18ftypheic" + b"\0\0\0\0mif1heic" + bytes(40), Expect(says="HEIC")),
        "corrupt_middle.jpg": (_corrupt(), Expect(says="corrupt")),
        "truncated_progressive.jpg": (noisy_jpeg(progressive=True)[:-400], Expect(says=_CUT)),
        "truncated_cmyk.jpg": (jpeg(picture().convert("CMYK"))[:-40], Expect(says=_CUT)),
        "truncated.png": (save(picture().rotate(9), "PNG")[:-60], Expect(says=_CUT)),
        "truncated.gif": (save(picture().rotate(9), "GIF")[:-40], Expect(says=_CUT)),
        "truncated.bmp": (save(picture(), "BMP")[:-40], Expect(says=_CUT)),
        "truncated.tiff": (save(picture(), "TIFF")[:-1000], Expect(says=_CUT)),
        "truncated.webp": (save(picture(), "WEBP")[:-10], Expect(says="cannot be decoded")),
        "huge.png": (png(np.zeros((1, 1), np.uint8), bits=8, colour_type=0, size=(60_000, 60_000)), Expect(says="more pixels")),
        "huge.jpg": (_huge_jpeg(), Expect(says="more pixels")),
        "huge.gif": (b"GIF89a" + struct.pack("<HHBBB", 65_000, 65_000, 0, 0, 0) + b"," + struct.pack("<HHHHB", 0, 0, 65_000, 65_000, 0)
                     + b"\2\2\x4c\1\0;", Expect(says="more pixels")),
        "png_named.jpg": (save(picture(), "PNG"), Expect(tolerance=0)),
        "jpeg_named.png": (jpeg(), Expect()),
        "UPPER.JPG": (jpeg(quality=94), Expect()),
        "no_suffix": (jpeg(quality=93), Expect()),
        "trailing_garbage.jpg": (jpeg() + b"\0garbage\xff" * 99, Expect()),
        "no_end_marker.jpg": (jpeg()[:-2], Expect()),
        "padding_before_end.jpg": (jpeg()[:-2] + bytes(60) + b"\xff\xd9", Expect()),
        "unknown_version.jpg": (_other_version(), Expect()),
        "progressive.jpg": (jpeg(progressive=True), Expect()),
        "rgb_inside.jpg": (jpeg(keep_rgb=True), Expect()),
        "grey.jpg": (jpeg(grey), one_colour(_GREY, mode="grey")),
        "cmyk.jpg": (jpeg(picture().convert("CMYK")), Expect(mode="cmyk")),
        "cmyk.tiff": (save(picture().convert("CMYK"), "TIFF"), Expect(mode="cmyk", tolerance=1)),
        "sixteen_bit_grey.png": (png(_sixteen(grey, "L"), bits=16, colour_type=0), one_colour(_GREY, tolerance=0, mode="16-bit grey")),
        "sixteen_bit_colour.png": (png(_sixteen(picture(), "RGB"), bits=16, colour_type=2), Expect(tolerance=0, mode="16-bit rgb")),
        "sixteen_bit.tiff": (save(Image.fromarray(np.full((32, 48), 120 * 257, np.uint16)), "TIFF"), one_colour(_GREY, tolerance=0)),
        "one_bit.png": (save(Image.new("1", SIZE_PX, 1), "PNG"), one_colour(_WHITE, tolerance=0, mode="1-bit")),
        "palette.png": (save(picture().quantize(4), "PNG"), Expect(mode="palette")),
        "palette_with_alpha.png": (_palette_with_alpha(), _TURNED_WHITE),
        "alpha.png": (_with_alpha("PNG"), _TURNED_WHITE),
        "alpha.webp": (_with_alpha("WEBP"), _TURNED_WHITE),
        "grey_with_alpha.png": (save(Image.new("LA", SIZE_PX, (0, 0)), "PNG"), one_colour(_WHITE, tolerance=0, mode="grey with alpha")),
        "animated.gif": (_frames("GIF"), Expect()),
        "animated.webp": (_frames("WEBP", lossless=True), Expect()),
        "animated.png": (_frames("PNG"), Expect()),
        "pages.tiff": (_frames("TIFF"), Expect(tolerance=0)),
        "packed.tiff": (save(picture(), "TIFF", compression="tiff_lzw"), Expect(tolerance=0)),
        "plain.bmp": (save(picture(), "BMP"), Expect(tolerance=0)),
        "plain.ppm": (save(picture(), "PPM"), Expect(tolerance=0)),
        "plain.webp": (save(picture(), "WEBP", quality=95), Expect(tolerance=25)),
        "icon.ico": (save(picture().resize((32, 32), 0), "ICO", sizes=[(32, 32)]), Expect(size_px=(32, 32))),
        "zero_filled.jpg": (whole[: size // 2] + bytes(size // 2), Expect(says=_CUT)),
        "plain.jp2": (save(picture(), "JPEG2000"), Expect(tolerance=25)),
        "one_pixel.png": (save(Image.new("RGB", (1, 1), BLUE), "PNG"), one_colour(BLUE, size_px=(1, 1))),
        "thin.jpg": (jpeg(Image.new("RGB", (1, 3000), BLUE)), one_colour(BLUE, size_px=(1, 3000))),
    }  # fmt: skip
    if features.check("avif"):
        files |= {"plain.avif": (save(picture(), "AVIF", quality=95), Expect(tolerance=25))}
        files |= {"exif_6.avif": (turned(6, "AVIF", quality=95), Expect(tolerance=25))}
    return files


_NAMES = (
    "name with  spaces.jpg",
    "name 'with' \"quotes\".jpg",
    "name\nwith\nnewlines.jpg",
    "name 🦊 ünïcode.jpg",
    os.fsdecode(b"name \xff\xfe not utf-8.jpg"),
    "name%20$HOME;`ls`*?.jpg",
    "-name like an option.jpg",
    "back\\slash.jpg",
    "x" * 240 + ".jpg",
)


def make_bad_folder(folder: Path) -> dict[str, Expect]:
    """Makes `folder` and fills it with more than 30 kinds of odd and bad picture file.

    Names that the file system refuses are left out, and a file without permissions is readable where root runs the tests.

    Returns:
        What to expect of each, by its name within the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    expected: dict[str, Expect] = {}

    def add(name: str, make: Callable[[Path], object], expect: Expect) -> None:
        try:
            make(folder / name)
        except OSError:  # a name or a thing that this file system does not know
            return
        expected[name] = expect

    for name, (data, expect) in contents().items():
        add(name, lambda path, data=data: path.write_bytes(data), expect)  # type: ignore[misc]
    for number, name in enumerate(_NAMES):
        data = jpeg(quality=80 + number)  # no two files are the same
        add(name, lambda path, data=data: path.write_bytes(data), Expect())  # type: ignore[misc]
    add("broken_link.jpg", lambda path: path.symlink_to("nowhere.jpg"), Expect(says="link that leads nowhere"))
    add("circle.jpg", lambda path: path.symlink_to("circle.jpg"), Expect(says="cannot be read"))
    add("good_link.jpg", lambda path: path.symlink_to("UPPER.JPG"), Expect())
    forbidden = folder / "no_permission.jpg"
    forbidden.write_bytes(jpeg(quality=70))
    forbidden.chmod(0)
    expected[forbidden.name] = Expect() if os.access(forbidden, os.R_OK) else Expect(says="may not be read")
    return expected
