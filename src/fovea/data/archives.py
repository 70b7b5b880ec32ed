"""Zip and tar archives as trees, read in place.

Nothing is ever unpacked by name: members are read by offset into memory, so that a crafted archive can write nowhere.
Members that point out of the archive (`..`, absolute paths, links) are refused all the same: such an archive is broken or hostile.
"""

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from fovea.data.sniff import has_picture_suffix
from fovea.data.trees import MAX_FILE_BYTES, Tree, is_litter, too_large, unreadable
from fovea.errors import DataError, UnreadableImage, from_os_error

MIN_UNPACKED_BYTES = 1 << 30  # a compressed tar may always unpack to this much,
MAX_RATIO = 100  # and otherwise to this many times its own size: pictures hardly compress, bombs do by 1,000
_CHUNK_BYTES = 1 << 20
_COMPRESSED: dict[bytes, Callable[[str], gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]] = {
    b"\x1f\x8b": gzip.GzipFile,
    b"BZh": bz2.BZ2File,
    b"\xfd7zXZ\0": lzma.LZMAFile,
}
_METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2}
_REMAKE = "make the archive anew from the folder itself"

Member = TypeVar("Member", bound=tuple[int, ...])


class _Archive(Tree, Generic[Member]):
    """What both kinds share: an open file, and where in it each member lies. A single folder around everything is taken off."""

    is_archive = True

    def __init__(self, location: str, file: BinaryIO, members: dict[str, Member]) -> None:
        super().__init__(location)
        self._file, self._lock = file, threading.Lock()
        wrapper = _wrapper(members)
        self._members = {path.removeprefix(wrapper): members[path] for path in sorted(members)}
        self._folders = sorted({path[:i] for path in self._members for i, character in enumerate(path) if character == "/"})

    @property
    def paths(self) -> Collection[str]:
        return self._members.keys()

    @property
    def folders(self) -> Collection[str]:
        return self._folders

    def has(self, path: str) -> bool:
        return path in self._members

    def close(self) -> None:
        self._file.close()

    def _member(self, path: str) -> Member:
        if path not in self._members:
            raise unreadable(path, "does not exist", f"no such member in {self.location!r}", "correct its name, or add it to the archive")
        return self._members[path]

    def _bytes(self, offset: int, count: int) -> bytes:
        """`count` bytes from `offset`, without moving a position that threads or forked processes share, where the system can."""
        if hasattr(os, "pread"):
            parts, handle = [], self._file.fileno()
            while count and (part := os.pread(handle, min(count, _CHUNK_BYTES << 6), offset)):
                parts.append(part)
                offset, count = offset + len(part), count - len(part)
            return b"".join(parts)
        with self._lock:
            self._file.seek(offset)
            return self._file.read(count)


class ZipTree(_Archive[tuple[int, int, int, int, int]]):
    """A zip archive; a member is (offset, packed bytes, unpacked bytes, method, CRC-32)."""

    def __init__(self, path: str | Path, *, location: str | None = None) -> None:
        location = location or str(path)
        file = open(path, "rb")  # noqa: SIM115, the tree keeps it open
        try:
            super().__init__(location, file, _list_zip(file, location))
        except BaseException:
            file.close()
            raise

    def size(self, path: str) -> int:
        return self._member(path)[2]

    def read(self, path: str) -> bytes:
        offset, packed, unpacked, method, crc = self._member(path)
        if unpacked > MAX_FILE_BYTES:
            raise too_large(path, unpacked)
        header = self._bytes(offset, 30)  # the local header; its name and extra field may differ in length from the directory's
        start = offset + 30 + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = self._bytes(start, min(packed, 2 * MAX_FILE_BYTES))
        try:
            if method == zipfile.ZIP_DEFLATED:
                data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, unpacked + 1)  # never more than was stated
            elif method == zipfile.ZIP_BZIP2:
                data = bz2.BZ2Decompressor().decompress(data, unpacked + 1)
        except (zlib.error, OSError) as error:
            raise self._broken(path, str(error)) from error
        if header[:4] != b"PK\3\4" or len(data) != unpacked or zlib.crc32(data) != crc:
            raise self._broken(path, "its checksum or length is not the one that the archive states")
        return data

    def _broken(self, path: str, reason: str) -> UnreadableImage:
        return unreadable(path, f"is broken within {self.location!r}", reason, _REMAKE)


class TarTree(_Archive[tuple[int, int]]):
    """A tar archive; a member is (offset, bytes). A compressed one is unpacked once into an unnamed temporary file."""

    def __init__(self, path: str | Path, *, location: str | None = None) -> None:
        location = location or str(path)
        file = _open_tar(os.fspath(path), location)
        try:
            super().__init__(location, file, _list_tar(file, location))
        except BaseException:
            file.close()
            raise

    def size(self, path: str) -> int:
        return self._member(path)[1]

    def read(self, path: str) -> bytes:
        offset, size = self._member(path)
        if size > MAX_FILE_BYTES:
            raise too_large(path, size)
        return self._bytes(offset, size)


def open_archive(path: str | Path, *, location: str) -> Tree | None:
    """The tree of a zip or tar archive, or None where the file is neither.

    Raises:
        DataError: It is one, and broken, encrypted, or with members that point elsewhere.
    """
    with open(path, "rb") as file:
        head = file.read(512)
        name = os.fspath(path).lower()
        if zipfile.is_zipfile(file) or name.endswith(".zip") or head.startswith(b"PK\3\4"):
            return ZipTree(path, location=location)
    compressed = head.startswith(tuple(_COMPRESSED))
    if compressed or head[257:262] == b"ustar" or name.endswith((".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")):
        return TarTree(path, location=location)
    return None


def _list_zip(file: BinaryIO, location: str) -> dict[str, tuple[int, int, int, int, int]]:
    members: dict[str, tuple[int, int, int, int, int]] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
        raise _bad(location, "is not a whole zip archive", error) from error
    for info in infos:
        name = info.orig_filename.replace("\\", "/") if info.create_system == 0 else info.orig_filename  # 0: made on Windows
        path = _inner_path(name, location)
        if stat.S_ISLNK(info.external_attr >> 16):
            raise _refused(location, name, "is a link")
        if path is None or info.is_dir() or name.endswith("/"):
            continue
        if info.flag_bits & 1:
            raise DataError(
                f"{location!r} is encrypted, first seen at its member {name!r}",
                got="an archive with a password",
                expected="a zip without a password",
                fix="unpack it with its password and pass the folder, or make the archive anew without one",
            )
        if info.compress_type not in _METHODS:
            raise DataError(
                f"{location!r} holds {name!r} in a compression that Fovea does not read",
                got=f"zip method {info.compress_type}",
                expected="stored, deflate or bzip2",
                fix="unpack it and pass the folder, or make the archive anew with a usual zip program",
            )
        members[path] = (info.header_offset, info.compress_size, info.file_size, info.compress_type, info.CRC)
    return members


def _open_tar(path: str, location: str) -> BinaryIO:
    """The tar itself, open at its start: the file, or an unnamed temporary file with what it unpacks to."""
    file = open(path, "rb")  # noqa: SIM115
    head = file.read(8)
    opener = next((opener for start, opener in _COMPRESSED.items() if head.startswith(start)), None)
    if opener is None:
        file.seek(0)
        return file
    file.close()
    limit = max(MIN_UNPACKED_BYTES, MAX_RATIO * os.path.getsize(path))
    unpacked = tempfile.TemporaryFile()  # noqa: SIM115
    try:
        with opener(path) as packed:
            size = 0
            while True:
                try:
                    part = packed.read(_CHUNK_BYTES)
                except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                    raise _bad(location, "is not a whole compressed archive", error) from error
                if not part:
                    break
                size += len(part)
                if size > limit:
                    raise DataError(
                        f"{location!r} unpacks to far more than it should",
                        got=f"more than {limit:,} bytes from {os.path.getsize(path):,}",
                        expected=f"at most {MAX_RATIO} times its own size, or {MIN_UNPACKED_BYTES:,} bytes",
                        fix="if you trust it, unpack it and pass the folder",
                    )
                unpacked.write(part)
            unpacked.seek(0)
    except OSError as error:
        unpacked.close()
        if isinstance(error, DataError):
            raise
        raise from_os_error(error, tempfile.gettempdir()) from error
    except BaseException:
        unpacked.close()
        raise
    return unpacked


def _list_tar(file: BinaryIO, location: str) -> dict[str, tuple[int, int]]:
    members: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as archive:
            while (info := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would keep them all, at 1 KB each
                path = _inner_path(info.name, location)
                if info.issym() or info.islnk():
                    raise _refused(location, info.name, "is a link")
                if not (info.isreg() or info.isdir()) or info.issparse():
                    raise _refused(location, info.name, "is neither a plain file nor a folder")
                if path is not None and info.isreg():
                    members[path] = (info.offset_data, info.size)
            file.seek(archive.offset)
            rest = file.read(512)
    except (tarfile.TarError, ValueError, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise _bad(location, "is not a whole tar archive", error) from error
    if rest.strip(b"\0") or 0 < len(rest) < 512:  # tarfile takes a broken header for the end
        raise _bad(location, "is not a whole tar archive", "a broken header after the last good member")
    return members


def _inner_path(name: str, location: str) -> str | None:
    """A member's name as a path of the tree; None for what is hidden or litter.

    Raises:
        DataError: The name points out of the archive.
    """
    if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[\\/]", name):
        raise _refused(location, name, "has an absolute path")
    if "\0" in name or ".." in re.split(r"[/\\]", name):
        raise _refused(location, name, "points out of the archive")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    return None if not parts or any(map(is_litter, parts)) else "/".join(parts)


def _wrapper(members: Collection[str]) -> str:
    """The single folder, with its "/", that all of an archive's content lies in; "" where there is none.

    It counts as a wrapper where it holds folders or a table of its own, and no picture or table lies beside it.
    """
    tops = {path.partition("/")[0] for path in members if "/" in path}
    beside = any(has_picture_suffix(path) or path.lower().endswith(".csv") for path in members if "/" not in path)
    if len(tops) != 1 or beside:
        return ""
    top = tops.pop() + "/"
    holds = any(path.count("/") > 1 or path.lower().endswith(".csv") for path in members if path.startswith(top))
    return top if holds else ""


def _refused(location: str, name: str, why: str) -> DataError:
    return DataError(
        f"{location!r} holds a member that is not allowed: {name!r} {why}",
        got=repr(name),
        expected="plain files and folders, with paths inside the archive",
        fix=_REMAKE + ", without links" if "link" in why else _REMAKE,
    )


def _bad(location: str, problem: str, reason: object) -> DataError:
    return DataError(
        f"{location!r} {problem}",
        got=str(reason) or type(reason).__name__,
        expected="a zip, tar, tar.gz, tar.bz2 or tar.xz that opens",
        fix="copy or download it again, or pass the unpacked folder",
    )
