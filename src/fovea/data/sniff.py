"""What a file is, by its first bytes: its name may lie, its content does not."""

import os

PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif", ".ico",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2",
})  # fmt: skip
HEAD_BYTES = 64  # as many as `sniff` looks at

_STARTS = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),  # BigTIFF
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "jpeg2000"),
    (b"\xff\x4f\xff\x51\xff", "jpeg2000"),
)
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}  # lengths of the header that follows the file header
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"}


def sniff(head: bytes) -> str | None:
    """The format of a picture file, from its first bytes.

    Args:
        head: At least the first `HEAD_BYTES` of the file, or all of it.

    Returns:
        "jpeg", "png", "gif", "bmp", "tiff", "webp", "avif", "heif", "ico", "ppm" or "jpeg2000"; None for anything else.
    """
    for start, name in _STARTS:
        if head.startswith(start):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = {head[i : i + 4] for i in (8, *range(16, min(int.from_bytes(head[:4], "big"), HEAD_BYTES), 4))}
        if brands & {b"avif", b"avis"}:
            return "avif"
        return "heif" if brands & _HEIF_BRANDS else None
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "bmp"
    if head[:4] == b"\0\0\1\0" and head[4:6] != b"\0\0" and head[9:10] == b"\0":
        return "ico"
    if len(head) > 2 and head[:1] == b"P" and head[1:2] in b"123456" and head[2:3] in b" \t\r\n":
        return "ppm"
    return None


def has_picture_suffix(path: str) -> bool | None:
    """Whether a file's suffix is a picture's (in any case); None where it has no suffix, so that its bytes must say."""
    suffix = os.path.splitext(path.rstrip())[1].lower()
    return suffix in PICTURE_SUFFIXES if suffix not in ("", ".") else None


_AGAIN = "copy or download it again, or remove it"
_OTHERS = (
    (b"%PDF", "a PDF document", "export its pages as JPEG or PNG"),
    (b"8BPS", "a Photoshop document", "export it as JPEG or PNG"),
    (b"PK\x03\x04", "a zip archive", "unpack it, or pass it to Fovea on its own"),
    (b"\x1f\x8b", "a gzip archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"7z\xbc\xaf", "a 7-zip archive", "unpack it"),
    (b"OggS", "a sound or video", "take single frames as JPEG or PNG"),
    (b"\x1aE\xdf\xa3", "a video", "take single frames as JPEG or PNG"),
    (b"RIFF", "a sound or video", "take single frames as JPEG or PNG"),
    (b"ID3", "a sound", "remove it"),
    (b"version https://git-lfs", "a placeholder of Git LFS, not the picture itself", "fetch the pictures with `git lfs pull`"),
)


def what_else(data: bytes) -> tuple[str, str, str]:
    """What a file that is no picture seems to be.

    Returns:
        What is wrong with it (to follow the file's name), what was found, and the fix that suits.
    """
    if not data:
        return "is empty", "0 bytes", _AGAIN
    head = data[:1024]
    if not head.strip(b"\0"):
        return "holds no picture, only zero bytes", f"{len(data)} bytes, the first {len(head)} of them zero", _AGAIN
    for start, name, fix in _OTHERS:
        if head.startswith(start):
            return f"is {name}", name, fix
    if head[4:8] == b"ftyp":
        return "is a video", f"an MP4 or QuickTime file of brand {head[8:12]!r}", "take single frames as JPEG or PNG"
    text = head.lower().lstrip(b"\xef\xbb\xbf \t\r\n")
    if b"<svg" in text:
        return "is a drawing in SVG, not a picture of pixels", "SVG text", "export it as PNG"
    if text.startswith((b"<!doctype html", b"<html")) or b"<html" in text:
        return (
            "is a web page, not a picture",
            "HTML text",
            "download the picture itself: the server answered with a page, often of a log-in or an error; or remove the file",
        )
    if _is_text(head):
        shown = head[:40].decode("utf-8", "replace")
        return "is text, not a picture", f"text that starts with {shown!r}", "replace it with the picture, or remove it"
    return (
        "is not a picture that can be read",
        f"{len(data)} bytes that start with {data[:8].hex(' ')}",
        "save it as JPEG or PNG, or remove it",
    )


def _is_text(head: bytes) -> bool:
    try:
        head[: len(head) - 3 if len(head) == 1024 else None].decode()
    except UnicodeDecodeError:
        return False
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)
