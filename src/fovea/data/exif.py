"""What a camera wrote into a picture file beside the picture: which way up it was held, and what it is called."""

import struct
from collections.abc import Iterator

_MAKE, _MODEL, _ORIENTATION = 0x010F, 0x0110, 0x0112
_TEXT, _LONG = 2, 4  # types of an entry
_LONGEST = 60  # characters of a camera's name


def exif_orientation(exif: bytes) -> int:
    """The orientation that EXIF data states (tag 0x0112 of its first directory), 1 to 8; 1 where it states none or nonsense."""
    exif, order = _begin(exif)
    for tag, kind, _, at in _entries(exif, order):
        if tag == _ORIENTATION:
            try:
                (value,) = struct.unpack_from(order + ("I" if kind == _LONG else "H"), exif, at)
            except struct.error:
                return 1
            return value if 1 <= value <= 8 else 1
    return 1


def exif_camera(exif: bytes) -> str:
    """Make and model of the camera, as "Canon EOS 80D"; "" where EXIF data state none."""
    exif, order = _begin(exif)
    found: dict[int, str] = {}
    for tag, kind, length, at in _entries(exif, order):
        if tag in (_MAKE, _MODEL) and kind == _TEXT:
            try:
                start = at if length <= 4 else struct.unpack_from(order + "I", exif, at)[0]
            except struct.error:
                continue
            found.setdefault(tag, exif[start : start + min(length, _LONGEST)].partition(b"\0")[0].decode("latin-1"))
    return camera_name(found.get(_MAKE, ""), found.get(_MODEL, ""))


def camera_name(make: str, model: str) -> str:
    """One name of two: many models begin with their make already."""
    make, model = ("".join(c if c.isprintable() else " " for c in text).strip() for text in (make, model))
    known = bool(make) and model.lower().startswith(make.split()[0].lower())
    return " ".join((model if known else f"{make} {model}").split())[:_LONGEST]


def _begin(exif: bytes) -> tuple[bytes, str]:
    """EXIF data from its byte order on, and that order in `struct`'s spelling; "" where it states none."""
    if exif[:6] == b"Exif\0\0":
        exif = exif[6:]
    return exif, {b"II": "<", b"MM": ">"}.get(exif[:2], "")


def _entries(exif: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, length and the place of the value of each entry in the first directory (TIFF 6.0, section 2)."""
    try:
        if not order:
            return
        (directory,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, directory)
        for entry in range(directory + 2, directory + 2 + 12 * count, 12):
            tag, kind, length = struct.unpack_from(order + "HHI", exif, entry)
            yield tag, kind, length, entry + 8
    except struct.error:  # the directory points out of the data: the picture itself may be whole
        return
