"""Bytes of a picture file to RGB pixels: by content, whole or not at all, the right way up."""

import io
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from PIL import Image, ImageFile

from fovea.data.exif import camera_name, exif_camera, exif_orientation
from fovea.data.jpeg import JpegError, decode_jpeg, read_header, strips
from fovea.data.sniff import HEAD_BYTES, sniff, what_else
from fovea.errors import UnreadableImage
from fovea.types import Pixels

MAX_PIXELS = 178_956_970  # where Pillow, too, refuses: twice the pixels that fit in a quarter of a GiB at 3 bytes each
ALONE_PIXELS = 40_000_000  # what has more is decoded one at a time, so that memory does not grow with threads times pictures

# Opened class by class, not through Image.open: no other format can be reached by a crafted file (EPS starts a program),
# and Pillow's own cap, which warns through a global, stays out of the way.
_PILLOW = {
    "png": ("PIL.PngImagePlugin", "PngImageFile"),
    "gif": ("PIL.GifImagePlugin", "GifImageFile"),
    "bmp": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "tiff": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "webp": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "avif": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "ico": ("PIL.IcoImagePlugin", "IcoImageFile"),
    "ppm": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "jpeg2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "jpeg": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "heif": ("pillow_heif", "HeifImageFile"),
}
_SILENT = {"png", "bmp", "webp", "ppm"}  # Pillow's readers of the others give Python warnings of what they find odd
_NOISY_TO_THE_END = {"tiff", "ico"}  # and these not only as they open, so that no two threads decode them at once
_WORDS = {"1": "1-bit", "L": "grey", "LA": "grey with alpha", "P": "palette", "PA": "palette with alpha", "I": "16-bit grey"}
_AGAIN = "copy or download it again from where it came, or remove it"
# Pillow's names for 16-bit colour as a file may hold it, and the same with the other byte order (N is the machine's own)
_OTHER = "B" if sys.byteorder == "little" else "L"
_SWAPPED = {f"{mode};16{order}": f"{mode};16{other}" for mode in ("RGB", "RGBA") for order, other in ("BL", "LB", ("N", _OTHER))}
Opener = Callable[[io.BytesIO], Image.Image]
_warnings_lock = threading.Lock()
_large_lock = threading.RLock()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture's pixels and what its file says of it.

    Args:
        pixels: uint8 (H, W, 3) RGB, contiguous, the right way up; smaller than the original where that was allowed.
        width_px, height_px: Of the original, the right way up.
        format: Lower case, for example "jpeg".
        mode: How the file holds colour: "rgb", "grey", "cmyk", "palette", "rgba", "16-bit grey", ...
        orientation: EXIF, 1 (as stored) to 8; already applied to the pixels.
        camera: EXIF make and model, or "".
    """

    pixels: Pixels
    width_px: int
    height_px: int
    format: str
    mode: str
    orientation: int
    camera: str = ""


def decode(data: bytes, *, path: str, min_side_px: int | None = None, max_pixels: int = MAX_PIXELS) -> Decoded:
    """Decodes the whole of a picture file to RGB; of several frames or pages the first.

    Transparency is laid on white. 16 bits become 8 by v / 257, rounded.
    What the file is, its first bytes decide, not its name. Safe in many threads at once.

    Args:
        data: The file's bytes.
        path: Its name, for messages.
        min_side_px: The short side may shrink to no less than this (JPEG only, by 2, 4 or 8); None keeps the full size.
        max_pixels: A picture that states more is refused before anything is allocated for it.

    Raises:
        UnreadableImage: It is no picture, is cut off, corrupt, too large, or of a kind that cannot be read here.
    """
    kind = sniff(data[:HEAD_BYTES])
    if kind is None:
        problem, got, fix = what_else(data)
        raise _unreadable(path, problem, got, fix, expected="a picture, for example JPEG or PNG")
    if kind == "jpeg":
        return _decode_jpeg(data, path, min_side_px, max_pixels)
    return _decode_pillow(data, kind, path, max_pixels)


def _decode_jpeg(data: bytes, path: str, min_side_px: int | None, max_pixels: int) -> Decoded:
    try:
        header = read_header(data)
        width, height = header.width_px, header.height_px
        with _alone(_check_size(width, height, max_pixels, path)):
            pixels = decode_jpeg(data, header, min_side_px)
    except JpegError as error:
        if error.other_decoder:
            return _decode_pillow(data, "jpeg", path, max_pixels)
        raise _unreadable(path, error.problem, error.got, _AGAIN) from None
    if header.orientation >= 5:
        width, height = height, width
    mode = {1: "grey", 4: "cmyk"}.get(header.components, "rgb")
    camera = exif_camera(header.exif) if header.exif else ""
    return Decoded(_upright(pixels, header.orientation), width, height, "jpeg", mode, header.orientation, camera)


def _decode_pillow(data: bytes, kind: str, path: str, max_pixels: int) -> Decoded:
    open_file = _opener(kind, path)
    noisy = kind not in _SILENT or (kind == "png" and b"acTL" in data[:65536])  # acTL: an animation
    try:
        with ExitStack() as held:
            if kind == "webp":  # its reader allocates the canvas as it opens
                held.enter_context(_alone(_check_size(*_webp_size(data), max_pixels, path)))
            with _quiet() if noisy else nullcontext():
                image = held.enter_context(open_file(io.BytesIO(data)))
            if kind in _NOISY_TO_THE_END:
                held.enter_context(_quiet())
            held.enter_context(_alone(_check_size(*image.size, max_pixels, path)))
            orientation = int(image.tag_v2.get(274, 1)) if kind == "tiff" else 0  # type: ignore[attr-defined]
            tiles = _swapped(image)
            image.load()
            if tiles is None:
                pixels, mode = _to_rgb(image, kind)
            else:
                with open_file(io.BytesIO(data)) as lower:
                    lower.tile = tiles  # type: ignore[attr-defined]
                    lower.load()
                    pixels, mode = _strip_by_strip(_on_white, image, lower), f"16-bit {_words(image.mode)}"
                    lower.close()
            if kind == "tiff":  # Pillow has turned it already
                turned = 1
                camera = camera_name(*(str(image.tag_v2.get(tag, "")) for tag in (271, 272)))  # type: ignore[attr-defined]
            else:
                exif = _exif(image)
                orientation, camera = exif_orientation(exif), exif_camera(exif)
                turned = orientation
            image.close()  # its memory is free before the picture is turned, which takes a copy
            upright = _upright(pixels, turned)
    except UnreadableImage:
        raise
    except Exception as error:  # decoders of broken files raise anything: OSError, SyntaxError, struct.error, IndexError, ...
        message = " ".join(str(error).split()) or type(error).__name__
        cut_off = any(word in message.lower() for word in ("truncated", "unexpected end", "expected to read"))
        problem = (
            f"is cut off: its {kind.upper()} data ends before the picture does"
            if cut_off
            else f"is a {kind.upper()} that cannot be decoded"
        )
        raise _unreadable(path, problem, message, _AGAIN) from error
    height, width = upright.shape[:2]
    return Decoded(upright, width, height, kind, mode, orientation if 1 <= orientation <= 8 else 1, camera)


def _opener(kind: str, path: str) -> Opener:
    """Pillow's reader of one format; an error with the way out where it is not there."""
    module_name, class_name = _PILLOW[kind]
    try:
        module = import_module(module_name)
        opener: Opener = getattr(module, class_name)
        if getattr(module, "SUPPORTED", True):  # Pillow's AVIF and WebP say here whether they were built in
            return opener
    except (ImportError, AttributeError):
        pass
    name, package = ("HEIC, as phones write it", "pillow-heif") if kind == "heif" else (kind.upper(), "--upgrade pillow")
    raise _unreadable(
        path,
        f"is a picture in {name}, which cannot be read here",
        kind.upper(),
        f"save it as JPEG or PNG, or `pip install {package}`",
        expected="JPEG, PNG, WebP, TIFF, GIF, BMP or AVIF",
    )


def _to_rgb(image: Image.Image, kind: str) -> tuple[Pixels, str]:
    """A loaded Pillow image as uint8 (H, W, 3), and the words for how it held colour."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and kind == "ppm"):
        return _strip_by_strip(_grey_to_rgb, image), "16-bit grey"
    if mode in ("I", "F"):
        raise ValueError(f"its numbers have 32 bits (mode {mode}), and what is black and what is white is not stated")
    return _strip_by_strip(_colour_to_rgb, image), _words(mode, alpha=image.has_transparency_data)


def _strip_by_strip(convert: Callable[..., Pixels], *images: Image.Image) -> Pixels:
    """What `convert` makes of one loaded image, or of several of one size."""
    width, height = images[0].size
    pixels = np.empty((height, width, 3), np.uint8)
    for rows in strips(height, width):
        whole = rows.stop - rows.start == height
        pixels[rows] = convert(*(image if whole else image.crop((0, rows.start, width, rows.stop)) for image in images))
    return pixels


def _grey_to_rgb(image: Image.Image) -> Pixels:
    grey: Pixels = ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)  # round(v / 257): 65535 becomes 255
    return grey[..., None]


def _colour_to_rgb(image: Image.Image) -> Pixels:
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _words(mode: str, *, alpha: bool = False) -> str:
    if alpha and mode in ("P", "L"):
        mode += "A"
    return "rgba" if alpha and mode == "RGB" else _WORDS.get(mode, mode.lower())


def _swapped(image: Image.Image) -> list[ImageFile._Tile] | None:
    """How an opened file of 16-bit colour is to be read for the lower halves, of which Pillow keeps the upper ones; else None.

    The other byte order is declared: what is then kept as the upper half is the lower.
    """
    tiles: list[ImageFile._Tile] = getattr(image, "tile", [])
    swapped = []
    for tile in tiles:
        raw_mode, *rest = (tile.args,) if isinstance(tile.args, str) else tile.args or ("",)
        if raw_mode not in _SWAPPED:
            return None
        swapped.append(tile._replace(args=(_SWAPPED[raw_mode], *rest) if rest else _SWAPPED[raw_mode]))
    return swapped or None


def _on_white(high: Image.Image, low: Image.Image) -> Pixels:
    """Both halves of 16-bit RGB or RGBA as 8-bit RGB on white, rounded once."""
    deep = np.asarray(high).astype(np.uint64) * 256 + np.asarray(low)
    colour = deep[..., :3]
    if deep.shape[2] == 4:
        alpha = deep[..., 3:]
        colour = (colour * alpha + np.uint64(65535) * (65535 - alpha) + 32767) // 65535
    return np.asarray((colour + 128) // 257, np.uint8)


def _exif(image: Image.Image) -> bytes:
    exif = image.info.get("exif", b"")
    if not exif and (raw := image.info.get("Raw profile type exif")):  # ImageMagick's way in PNG: hexadecimal after three lines
        exif = bytes.fromhex("".join(str(raw).split("\n")[3:]))
    return exif if isinstance(exif, bytes) else b""


def _webp_size(data: bytes) -> tuple[int, int]:
    """Width and height that a WebP file states (RFC 9649, sections 2.5 to 2.7)."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Turns stored pixels the right way up (EXIF 2.3, tag Orientation); a contiguous array."""
    if orientation in (5, 6, 7, 8):  # rows and columns change places
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _check_size(width: int, height: int, max_pixels: int, path: str) -> int:
    if width < 1 or height < 1:
        raise _unreadable(path, "states a picture of no size", f"{width} x {height} pixels", _AGAIN)
    if width * height > max_pixels:
        raise _unreadable(
            path,
            "states more pixels than are allowed",
            f"{width} x {height} = {width * height:,} pixels",
            "make it smaller, or remove it: a small file that states a huge picture is often an attack",
            expected=f"at most {max_pixels:,} pixels",
        )
    return width * height


def _alone(num_pixels: int) -> AbstractContextManager[object]:
    """Lets one large picture at a time through, and any number of others."""
    return _large_lock if num_pixels > ALONE_PIXELS else nullcontext()


def _unreadable(path: str, problem: str, got: str, fix: str, *, expected: str = "a whole picture file") -> UnreadableImage:
    return UnreadableImage(f"{path!r} {problem}", got=got, expected=expected, fix=fix)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences Python warnings, one thread at a time: their filter belongs to the whole process and is put back."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
