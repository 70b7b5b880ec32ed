"""Segments of the pixel store: files of equal squares that one process at a time adds to, and any number reads."""

import errno
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fovea.errors import DiskFull, FoveaError, from_os_error
from fovea.types import Pixels

SEGMENT_BYTES = 64 << 20  # what leaves at once when room is needed


@dataclass
class Segment:
    """A segment that this process adds to: its file is open and locked.

    Args:
        id: In the index.
        file: Unbuffered.
        side_px: Of its squares.
        used: Squares that it holds.
        num_bytes: What it counts for in the store's bound.
    """

    id: int
    file: BinaryIO
    side_px: int
    used: int
    num_bytes: int

    @property
    def slot_bytes(self) -> int:
        return self.side_px * self.side_px * 3

    @property
    def is_full(self) -> bool:
        """Whether another square would make it larger than a segment is; one square always fits."""
        return self.used > 0 and (self.used + 1) * self.slot_bytes > SEGMENT_BYTES

    def append(self, pixels: Pixels) -> int:
        """Writes a square behind the others and gives its slot. Written, not mapped: a full disk is then an error and not a crash."""
        self.file.seek(self.used * self.slot_bytes)
        rest = memoryview(pixels.data).cast("B")
        while rest:  # a disk that fills up takes a part first, and says so at the next attempt
            rest = rest[self.file.write(rest) :]
        self.used += 1
        return self.used - 1


def map_segment(path: Path, side_px: int) -> Pixels | None:
    """All squares of a segment as they are on the disk, (N, S, S, 3), read-only; None where there is none yet."""
    count = path.stat().st_size // (side_px * side_px * 3)
    if not count:
        return None
    return np.memmap(path, np.uint8, "r", shape=(count, side_px, side_px, 3)).view(np.ndarray)


def reserve(handle: int, num_bytes: int) -> None:
    """Gives an open file a length of at least `num_bytes`, with the room on the disk taken where the file system can."""
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(handle, 0, num_bytes)
            return
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise
    if os.fstat(handle).st_size < num_bytes:
        os.ftruncate(handle, num_bytes)


def try_lock(file: BinaryIO) -> bool:
    """Takes a file's lock, which ends when it is closed or its process ends; False where another holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(SEGMENT_BYTES << 8)  # far behind what is ever written: a lock there keeps nobody from reading
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
    else:
        import fcntl

        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def no_room(error: OSError, folder: Path) -> FoveaError:
    """The error for a cache that cannot be written; a full disk is told with what to do about a cache."""
    told = from_os_error(error, folder)
    if not isinstance(told, DiskFull):
        return told
    return DiskFull(
        f"the disk is full: decoded pictures could not be kept in {str(folder)!r}",
        got=told.got,
        expected="free space on the disk that holds it",
        fix="free some space (`fovea cache --clear`), set a smaller bound in FOVEA_CACHE_MB, or name a folder on another disk in FOVEA_CACHE",
    )
