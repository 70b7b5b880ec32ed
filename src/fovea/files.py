"""Files and folders: atomic writes, content hashes, and where the cache is. Nothing here knows what a picture is."""

import csv
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from fovea.errors import OutputError, from_os_error, writing

_PART = ".part"


def is_unfinished(name: str) -> bool:
    """Whether a file of this name is what a killed `write_atomic` left behind."""
    return name.startswith(".") and name.endswith(_PART)


def write_atomic(path: str | Path, content: bytes | str | Callable[[BinaryIO], None]) -> Path:
    """Writes a whole file or nothing: a temporary file beside it, flushed to the disk, then renamed.

    Args:
        path: Where the file shall stand; its folder is made.
        content: Bytes, text (UTF-8), or a function that writes to an open binary file.

    Raises:
        DiskFull, OutputError: The file could not be written; what stood there before still stands.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=_PART, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                if callable(content):
                    content(file)
                else:
                    file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes private files; a result is an ordinary one
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return path


def write_json(path: str | Path, value: object) -> Path:
    """Writes JSON that every parser takes."""
    return write_atomic(path, json_text(value, indent=2) + "\n")


def json_text(value: object, *, indent: int | None = None) -> str:
    """JSON in UTF-8 without NaN. Bytes of a file name that are not UTF-8 are spelt as `printable` spells them."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return re.sub("[\ud800-\udfff]+", lambda match: json.dumps(printable(match[0]))[1:-1], text)


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Writes a CSV table with a header (RFC 4180 quoting, "\\n" between lines)."""

    class _Utf8:
        def __init__(self, file: BinaryIO) -> None:
            self.file = file

        def write(self, text: str) -> int:
            return self.file.write(printable(text).encode())

    def fill(file: BinaryIO) -> None:
        writer = csv.writer(_Utf8(file), lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

    return write_atomic(path, fill)


def printable(text: str) -> str:
    """`text` with bytes that are not UTF-8 (kept by Python as lone surrogates) spelt as \\xNN, so that it can be written."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte, as JSON can spell it
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


def hash_bytes(*parts: bytes | str) -> str:
    """BLAKE2b of the parts, each with its length, as 40 hex digits: the key of everything that is cached."""
    digest = hashlib.blake2b(digest_size=20)
    for part in parts:
        raw = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def hash_json(value: Any) -> str:
    """The hash of a JSON value, the same for the same content whatever the order of its keys."""
    return hash_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")))


def sha256_file(path: str | Path) -> str:
    """The SHA-256 of a file, as 64 hex digits: what hubs and passports quote."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """Where Fovea keeps what it can compute again: `FOVEA_CACHE`, else the platform's cache folder."""
    if chosen := os.environ.get("FOVEA_CACHE"):
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_cache_dir("fovea", appauthor=False))


def check_outside(path: str | Path, data: str | Path) -> None:
    """Whether what is written lies elsewhere than the data: within them it would be taken for a part of them the next time.

    Args:
        path: The file or folder to write.
        data: The folder of the data; anything else, such as an archive, has no inside.

    Raises:
        OutputError: `path` lies within it, or is it.
    """
    home = os.path.expanduser(data)
    if os.path.isdir(home) and Path(os.path.realpath(path)).is_relative_to(os.path.realpath(home)):
        raise OutputError(
            f"{str(path)!r} lies within the data {str(data)!r}",
            got="a folder within the originals, where it would become a part of them",
            expected="a folder elsewhere",
            fix="choose a folder beside the data",
        )


def check_new_file(path: str | Path, *, overwrite: bool) -> Path:
    """Whether a file may be written there, before any work is done for it: what stands there may be somebody's only copy.

    Raises:
        OutputError: A file stands there and `overwrite` is off, or a folder does.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(
            f"{str(path)!r} is a folder, and a file is to be written there",
            got="a folder",
            expected="the name of a file",
            fix="give --out the name of a new file, for example within that folder",
        )
    if os.path.lexists(path) and not overwrite:  # a link that leads nowhere, too
        raise OutputError(
            f"{str(path)!r} exists already, and is left as it is",
            got="a file of that name",
            expected="a new name",
            fix="choose another name with --out, or add --overwrite to replace the file",
        )
    return path


def ready_folder(path: str | Path) -> Path:
    """Makes a folder and proves that it can be written, before any work is done for it.

    Raises:
        OutputError: It is a file, or cannot be made or written.
        DiskFull: There is no room for even a small file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise OutputError(
            f"{str(path)!r} is a file, and a folder is to be written there",
            got="a file",
            expected="a new name, or a folder",
            fix="choose another name with --out, or move the file away",
        )
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path) as probe:
            probe.write(b"\0" * 4096)
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        raise from_os_error(error, path) from error
    return path


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current
