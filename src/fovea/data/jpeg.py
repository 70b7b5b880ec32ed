"""JPEG to pixels, strictly: a file that was cut off or is corrupt is refused, never filled with grey."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import simplejpeg
from PIL import Image

from fovea.data.exif import exif_orientation
from fovea.types import Pixels

STRIP_PIXELS = 1 << 18
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}  # TEM, restart markers and SOI stand alone
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # SOF markers: C4, C8 and CC mean other things
_SOS, _EOI, _APP0, _APP1 = 0xDA, 0xD9, 0xE0, 0xE1


class JpegError(Exception):
    """A JPEG that cannot be decoded: `args` are what is wrong, what was found, and whether Pillow may be tried."""

    def __init__(self, problem: str, got: str, *, other_decoder: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.got, self.other_decoder = problem, got, other_decoder


class JpegHeader(NamedTuple):
    """What stands before a JPEG's first scan."""

    width_px: int
    height_px: int
    components: int  # 1 grey, 3 colour, 4 CMYK or YCCK
    one_scan: bool  # sequential, with every component in its first scan: nothing may follow that scan but the end
    orientation: int  # EXIF, 1 to 8
    exif: bytes  # as the file holds it, without its mark; b"" where there is none
    jfif_version_at: int  # where the file states its JFIF version; 0 where it does not


def read_header(data: bytes) -> JpegHeader:
    """Reads a JPEG's markers up to its first scan (ITU-T T.81, annex B), in a few microseconds.

    Raises:
        JpegError: The markers end early or say nothing of the size.
    """
    frame, exif, jfif_at, position = None, b"", 0, 2
    while True:
        position = data.find(b"\xff", position)  # stray bytes between segments are skipped, as libjpeg does
        if position < 0 or position + 4 > len(data):
            raise JpegError("is cut off before its picture begins", f"{len(data)} bytes of JPEG headers")
        marker = data[position + 1]
        if marker in (0xFF, 0x00):  # a fill byte, or no marker at all
            position += 1
            continue
        if marker in _WITHOUT_LENGTH:
            position += 2
            continue
        start, length = position + 4, int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == _EOI or length < 2:
            raise JpegError("holds no picture between its JPEG headers", f"marker {marker:#04x} at byte {position}")
        if marker in _FRAMES and start + 6 <= len(data):
            height, width = struct.unpack_from(">HH", data, start + 1)
            frame = (width, height, data[start + 5], marker in (0xC0, 0xC1))
        elif marker == _APP1 and not exif and data[start : start + 6] == b"Exif\0\0":
            exif = data[start + 6 : start + length - 2]
        elif marker == _APP0 and data[start : start + 5] == b"JFIF\0":
            jfif_at = start + 5
        elif marker == _SOS:
            if frame is None:
                raise JpegError("holds JPEG data without the size of its picture", "a scan before any frame header")
            width, height, components, sequential = frame
            one_scan = sequential and data[start : start + 1] == bytes([components])
            return JpegHeader(width, height, components, one_scan, exif_orientation(exif), exif, jfif_at)
        position = start + length - 2


def decode_jpeg(data: bytes, header: JpegHeader, min_side_px: int | None) -> Pixels:
    """A whole JPEG file as uint8 (H, W, 3) RGB, unrotated; smaller where `min_side_px` allows, by scaled DCT.

    Raises:
        JpegError: It is cut off, corrupt, or of a kind that this decoder does not know.
    """
    scale = scale_for(min(header.width_px, header.height_px), min_side_px)
    size = (-(-header.height_px // scale), -(-header.width_px // scale))
    try:
        return _decode(data, header, size)
    except ValueError as error:
        message = str(error)
    # A whole picture in imperfect wrapping is accepted; each of these is common in photo collections.
    if "extraneous bytes before marker 0xd9" in message:  # padding before the end: all of the picture came before it
        return _decode(data, header, size, strict=False)
    if "unknown JFIF revision" in message:  # a wrong version number, which says nothing of the picture: put right
        at = header.jfif_version_at
        return _attempt(data[:at] + b"\1\1" + data[at + 2 :], header, size)
    if "Premature end" in message and header.one_scan:  # the end marker is missing; is anything else?
        return _attempt(data + b"\xff\xd9", header, size, otherwise=message)
    raise _explained(message)


def _attempt(data: bytes, header: JpegHeader, size: tuple[int, int], *, otherwise: str | None = None) -> Pixels:
    try:
        return _decode(data, header, size)
    except ValueError as error:
        raise _explained(otherwise or str(error)) from None


def _explained(message: str) -> JpegError:
    if "remature end" in message:  # "Premature end of JPEG file", "Corrupt JPEG data: premature end of data segment"
        return JpegError("is cut off: its JPEG data ends before the picture does", message)
    if message.startswith("Corrupt JPEG data"):
        return JpegError("has corrupt JPEG data", message)
    return JpegError("is a JPEG that cannot be decoded", message, other_decoder=True)


def scale_for(short_side_px: int, min_side_px: int | None) -> int:
    """The largest of 8, 4, 2, 1 by which the short side may be divided without falling below `min_side_px`.

    libjpeg could also scale by 7/8, 6/8, ...; those have no vector code and are slower than no scaling.
    """
    if min_side_px is None:
        return 1
    return next((scale for scale in (8, 4, 2) if -(-short_side_px // scale) >= min_side_px), 1)


def _decode(data: bytes, header: JpegHeader, size: tuple[int, int], *, strict: bool = True) -> Pixels:
    """Decodes to exactly `size` (height, width); ValueError carries libjpeg's own message, warnings included."""
    height, width = size
    if header.components != 4:
        pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", min_height=height, min_width=width, strict=strict)
        return pixels
    ink = simplejpeg.decode_jpeg(data, "CMYK", min_height=height, min_width=width, strict=strict)
    pixels = np.empty((*ink.shape[:2], 3), np.uint8)
    for rows in strips(*ink.shape[:2]):
        # Adobe's programs store CMYK inverted, and every common reader takes all CMYK JPEGs to be so
        pixels[rows] = np.asarray(Image.fromarray(255 - ink[rows], "CMYK").convert("RGB"))
    return pixels


def strips(height: int, width: int) -> Iterator[slice]:
    """A picture's rows, some at a time: what is made of them on the way to RGB would else take many times the picture's own memory."""
    step = max(1, STRIP_PIXELS // width)
    return (slice(top, min(height, top + step)) for top in range(0, height, step))
