"""Decoded pictures on disk, at one size, ready to be mapped into memory: a picture is decoded once, not once an epoch.

A picture is found by the hash of its file's content and by the preprocessing that made it (which says the size), so that
renamed, copied or moved data cost nothing, and two sizes never meet. What lies in the folder:

    index.sqlite    which picture is where; what is not in it does not exist
    NAME.pixels     segments: squares of one size, one behind another, nothing else

The index is SQLite and not a journal of our own: its transactions are whole after a kill, and several processes write to
it without a line of ours. A picture is written to its segment first and to the index second, so a killed writer leaves at
most some bytes that nobody knows of, and the next writer goes on there. Nothing waits for the disk to be flushed: after
a power failure the index may name pixels that never arrived, which is why each picture has a checksum that is compared
when a process first looks at it; one that does not fit is decoded again.

Readers take no lock. A segment is only ever added to, and leaves as a whole when room is needed: its file is removed
from the folder, while a process that has it mapped goes on reading it. A writer holds its segment's file lock, so that
no other writes to it or removes it.
"""

import math
import os
import shutil
import sys
import threading
import time
import uuid
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

from fovea.errors import InputError, from_os_error
from fovea.files import cache_folder
from fovea.loading.databases import open_database, saying_what_to_do
from fovea.loading.margin import Margin
from fovea.loading.segments import SEGMENT_BYTES, Segment, map_segment, no_room, reserve, try_lock
from fovea.progress import say
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Pixels

_GROW_BYTES = 8 << 20  # room that is taken at once, and what a killed writer may have to decode again
_DEFAULT_MB = 20_000  # and never more than half of what the disk has free
_USED_S = 60.0  # how exactly it is noted when a segment was last used
_ASK = 500  # hashes a query, as in the embedding store

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rules (id INTEGER PRIMARY KEY, key TEXT UNIQUE NOT NULL, side_px INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL, rule INTEGER NOT NULL, num_bytes INTEGER NOT NULL, used_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS pictures (
    rule INTEGER NOT NULL, content BLOB NOT NULL, segment INTEGER NOT NULL, slot INTEGER NOT NULL, checksum INTEGER NOT NULL,
    PRIMARY KEY (rule, content)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_segment ON pictures (segment, slot);
"""


@dataclass(frozen=True)
class Places:
    """Where pictures are kept: `segment[i]` is -1 where picture i is not. 13 bytes a picture, however many there are."""

    segment: npt.NDArray[np.int32]
    slot: npt.NDArray[np.int32]
    checksum: npt.NDArray[np.uint32]
    checked: npt.NDArray[np.bool_]

    @classmethod
    def unknown(cls, count: int) -> "Places":
        """Places of so many pictures, none of which is known to be kept."""
        return cls(np.full(count, -1, np.int32), np.zeros(count, np.int32), np.zeros(count, np.uint32), np.zeros(count, np.bool_))

    def set(self, index: int, segment: int, slot: int, checksum: int, *, checked: bool = False) -> None:
        """The segment last: a reader in another thread sees all of it or nothing."""
        self.slot[index], self.checksum[index], self.checked[index] = slot, checksum, checked
        self.segment[index] = segment


class PixelStore:
    """Decoded pictures by content and preprocessing. Usable from several threads and processes at once.

    Args:
        folder: By default `pixels` in the cache folder.
        max_mb: How many megabytes it may fill; by default what the environment variable FOVEA_CACHE_MB says, else 20,000,
            but no more than half of what the disk has free. Segments that were not used for longest leave first. Those
            that this process uses stay: of data larger than the bound a part is kept, and the rest is decoded each time.

    Raises:
        OutputError: The folder or the index in it cannot be used.
        InputError: FOVEA_CACHE_MB is not a number.
    """

    def __init__(self, folder: Path | None = None, *, max_mb: float | None = None) -> None:
        self.folder = folder or cache_folder() / "pixels"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, self.folder) from error
        self.max_bytes = int((max_mb if max_mb is not None else _bound_mb(self.folder)) * 1e6)
        self._index = self.folder / "index.sqlite"
        self._db = open_database(self._index, _SCHEMA)
        self._lock = threading.RLock()
        self._maps: dict[int, Pixels] = {}
        self._in_use: set[int] = set()  # segments that somebody here has asked for, mapped or not
        self._writing: dict[int, Segment] = {}  # by rule
        self._pending: list[tuple[int, bytes, int, int, int]] = []
        self._pending_bytes = 0
        self._is_full = False

    def close(self) -> None:
        """Writes what is pending, and gives back room that was taken and not filled. Arrays that were read stay good."""
        with self._lock:
            self.flush()
            self._end_writing()
            self._maps.clear()
            self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def rule(self, preprocessing: Preprocessing | Margin) -> int:
        """The number that a preprocessing has in this store."""
        with self._lock, saying_what_to_do(self._index), self._db:
            self._db.execute("INSERT OR IGNORE INTO rules (key, side_px) VALUES (?, ?)", (preprocessing.key, preprocessing.size_px))
            return int(self._db.execute("SELECT id FROM rules WHERE key=?", (preprocessing.key,)).fetchone()[0])

    def find(self, rule: int, contents: Sequence[str]) -> Places:
        """Where the pictures of these content hashes are; "" is kept nowhere. Their segments count as used now."""
        places = Places.unknown(len(contents))
        for start in range(0, len(contents), _ASK):
            asked = {content for content in contents[start : start + _ASK] if content}
            query = f"SELECT content, segment, slot, checksum FROM pictures WHERE rule=? AND content IN ({','.join('?' * len(asked))})"
            with self._lock, saying_what_to_do(self._index):
                rows = self._db.execute(query, (rule, *map(bytes.fromhex, asked))).fetchall()
            found = {content.hex(): place for content, *place in rows}
            for index in range(start, min(start + _ASK, len(contents))):
                if place := found.get(contents[index]):
                    places.set(index, *place)
        self._note_used({int(segment) for segment in np.unique(places.segment)} - {-1})
        return places

    def read(self, places: Places, index: int) -> Pixels | None:
        """One picture, (S, S, 3), read-only, out of the mapped file; None where it is not kept, or no longer whole."""
        segment, slot = int(places.segment[index]), int(places.slot[index])
        if segment < 0:
            return None
        mapped = self._maps.get(segment)
        if mapped is None or slot >= len(mapped):
            mapped = self._map(segment)
        if mapped is not None and slot < len(mapped):
            pixels: Pixels = mapped[slot]
            if places.checked[index]:
                return pixels
            if zlib.crc32(pixels.data) == int(places.checksum[index]):
                places.checked[index] = True
                return pixels
        places.segment[index] = -1
        return None

    def put(self, rule: int, content: str, pixels: Pixels) -> tuple[int, int, int] | None:
        """Keeps a picture, (S, S, 3); gives its segment, slot and checksum, or None where the bound leaves no room.

        Raises:
            DiskFull: The disk has no room, though the bound has.
        """
        if self._is_full:
            return None
        pixels = np.ascontiguousarray(pixels)
        checksum = zlib.crc32(pixels.data)
        with self._lock, saying_what_to_do(self._index):
            segment = self._segment_with_room(rule, len(pixels))
            if segment is None:
                self._is_full = True
                say(
                    f"the cache of decoded pictures is full ({self.max_bytes / 1e6:,.0f} MB; FOVEA_CACHE_MB sets another bound): "
                    "further pictures are decoded each time"
                )
                return None
            try:
                slot = segment.append(pixels)
            except OSError as error:
                raise no_room(error, self.folder) from error
            self._in_use.add(segment.id)
            self._pending.append((rule, bytes.fromhex(content), segment.id, slot, checksum))
            self._pending_bytes += segment.slot_bytes
            if self._pending_bytes >= _GROW_BYTES:
                self.flush()
            return segment.id, slot, checksum

    def flush(self) -> None:
        """Lets other processes, and later ones, know of all that was put."""
        with self._lock, saying_what_to_do(self._index):
            if self._pending:
                with self._db:
                    self._db.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?)", self._pending)
                self._pending.clear()
                self._pending_bytes = 0

    def size(self) -> dict[str, int]:
        """`num_pictures` and `bytes` on disk."""
        with self._lock, saying_what_to_do(self._index):
            (num_pictures,) = self._db.execute("SELECT count(*) FROM pictures").fetchone()
            (num_bytes,) = self._db.execute("SELECT coalesce(sum(num_bytes), 0) FROM segments").fetchone()
        return {"num_pictures": num_pictures, "bytes": num_bytes + sum(file.stat().st_size for file in self.folder.glob("index.sqlite*"))}

    def clear(self) -> None:
        """Forgets everything but what another process writes to at this moment."""
        with self._lock, saying_what_to_do(self._index):
            self.flush()
            self._end_writing()
            for segment, name in self._db.execute("SELECT id, name FROM segments").fetchall():
                self._remove(segment, name)
            known = {name for (name,) in self._db.execute("SELECT name FROM segments")}
            for file in self.folder.glob("*.pixels"):  # of an index that was deleted
                if file.name not in known:
                    with suppress(OSError):
                        file.unlink()
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    # What follows is called with the lock held.

    def _segment_with_room(self, rule: int, side_px: int) -> Segment | None:
        """A segment with room for one more square: ours, one that an earlier writer left unfilled, or a new one."""
        segment = self._writing.pop(rule, None)
        if segment is not None and segment.is_full:
            self._end(segment)
            segment = None
        segment = segment or self._adopt(rule, side_px) or self._new(rule, side_px)
        self._writing[rule] = segment  # nobody may take it away to make room for itself
        if not self._has_room(segment):
            # an earlier writer's may have been used by nobody for so long that it is the one to leave
            self._end(self._writing.pop(rule))
            segment = self._writing[rule] = self._new(rule, side_px)
            if not self._has_room(segment):
                self._end(self._writing.pop(rule))
                return None
        return segment

    def _adopt(self, rule: int, side_px: int) -> Segment | None:
        for number, name in self._db.execute("SELECT id, name FROM segments WHERE rule=? ORDER BY used_s DESC", (rule,)).fetchall():
            try:
                file = open(self.folder / name, "r+b", buffering=0)  # noqa: SIM115, it stays open and locked
            except OSError:
                continue
            if try_lock(file):  # only now can nobody add to it, or take it away
                (used,) = self._db.execute("SELECT coalesce(max(slot) + 1, 0) FROM pictures WHERE segment=?", (number,)).fetchone()
                row = self._db.execute("SELECT num_bytes FROM segments WHERE id=?", (number,)).fetchone()
                segment = Segment(number, file, side_px, used, row[0] if row else 0)
                if row and not segment.is_full:
                    return segment
            file.close()
        return None

    def _new(self, rule: int, side_px: int) -> Segment:
        name = f"{uuid.uuid4().hex}.pixels"
        try:
            file = open(self.folder / name, "w+b", buffering=0)  # noqa: SIM115, it stays open and locked
        except OSError as error:
            raise no_room(error, self.folder) from error
        try_lock(file)  # nobody else knows its name yet
        with self._db:
            row = (name, rule, 0, time.time())
            number = self._db.execute("INSERT INTO segments (name, rule, num_bytes, used_s) VALUES (?, ?, ?, ?)", row).lastrowid
        return Segment(int(number or 0), file, side_px, 0, 0)

    def _has_room(self, segment: Segment) -> bool:
        """Takes room for one more square, within the bound and on the disk."""
        needed = (segment.used + 1) * segment.slot_bytes
        if needed <= segment.num_bytes:
            return True
        ahead = min(needed + _GROW_BYTES, max(needed, SEGMENT_BYTES)) // segment.slot_bytes * segment.slot_bytes
        wanted = next((size for size in (ahead, needed) if self._make_room(size - segment.num_bytes)), None)
        if wanted is None:
            return False
        try:
            reserve(segment.file.fileno(), wanted)
        except OSError as error:
            raise no_room(error, self.folder) from error
        segment.num_bytes = wanted
        self._note_size(segment)
        return True

    def _make_room(self, num_bytes: int) -> bool:
        """Whether `num_bytes` more are within the bound, after segments have left that nobody here uses."""
        (filled,) = self._db.execute("SELECT coalesce(sum(num_bytes), 0) FROM segments").fetchone()
        if filled + num_bytes > self.max_bytes:
            ours = self._in_use.union(segment.id for segment in self._writing.values())
            for segment, name, size in self._db.execute("SELECT id, name, num_bytes FROM segments ORDER BY used_s, id").fetchall():
                if segment not in ours and self._remove(segment, name):
                    filled -= size
                if filled + num_bytes <= self.max_bytes:
                    break
        return bool(filled + num_bytes <= self.max_bytes)

    def _remove(self, segment: int, name: str) -> bool:
        """Takes a segment away, unless somebody writes to it (or, on Windows, has it mapped). Its file goes first.

        Where a kill comes between, the index names a file that is not there, and whoever asks for it forgets it.
        """
        path = self.folder / name
        try:
            with open(path, "r+b", buffering=0) as file:
                if not try_lock(file):
                    return False
                if sys.platform != "win32":
                    path.unlink()
            if sys.platform == "win32":  # there an open file cannot be removed
                path.unlink()
        except FileNotFoundError:
            pass
        except PermissionError:
            return False
        except OSError as error:
            raise from_os_error(error, path) from error
        self._forget(segment)
        return True

    def _forget(self, segment: int) -> None:
        self._maps.pop(segment, None)
        with self._db:
            self._db.execute("DELETE FROM pictures WHERE segment=?", (segment,))
            self._db.execute("DELETE FROM segments WHERE id=?", (segment,))

    def _map(self, segment: int) -> Pixels | None:
        with self._lock, saying_what_to_do(self._index):
            query = "SELECT segments.name, rules.side_px FROM segments JOIN rules ON rules.id=segments.rule WHERE segments.id=?"
            row = self._db.execute(query, (segment,)).fetchone()
            try:
                mapped = map_segment(self.folder / row[0], row[1]) if row else None
            except FileNotFoundError:  # removed by hand, or by a process that was killed at that moment
                self._forget(segment)
                return None
            if mapped is not None:
                self._maps[segment] = mapped
            return mapped

    def _end_writing(self) -> None:
        for segment in self._writing.values():
            self._end(segment)
        self._writing.clear()

    def _end(self, segment: Segment) -> None:
        """Gives back the room that a segment did not fill, and its lock; nothing stays of one that holds nothing."""
        self.flush()
        if not segment.used:
            segment.file.close()
            (name,) = self._db.execute("SELECT name FROM segments WHERE id=?", (segment.id,)).fetchone() or ("",)
            self._remove(segment.id, name)
            return
        segment.num_bytes = segment.used * segment.slot_bytes
        with suppress(OSError):
            segment.file.truncate(segment.num_bytes)
        self._note_size(segment)
        segment.file.close()

    def _note_size(self, segment: Segment) -> None:
        with saying_what_to_do(self._index), self._db:
            self._db.execute("UPDATE segments SET num_bytes=? WHERE id=?", (segment.num_bytes, segment.id))

    def _note_used(self, segments: Iterable[int]) -> None:
        now = time.time()
        with self._lock, saying_what_to_do(self._index), self._db:
            self._in_use.update(segments)
            rows = [(now, segment, now - _USED_S) for segment in segments]
            self._db.executemany("UPDATE segments SET used_s=? WHERE id=? AND used_s<?", rows)


def _bound_mb(folder: Path) -> float:
    """What FOVEA_CACHE_MB says, else the default."""
    chosen = os.environ.get("FOVEA_CACHE_MB")
    if not chosen:
        filled = sum(file.stat().st_size for file in folder.glob("*.pixels"))
        return min(_DEFAULT_MB, (shutil.disk_usage(folder).free + filled) / 2e6)
    try:
        megabytes = float(chosen)
    except ValueError:
        megabytes = math.nan
    if not 0 <= megabytes < math.inf:
        raise InputError(
            f"the environment variable FOVEA_CACHE_MB cannot be {chosen!r}",
            got=repr(chosen),
            expected="how many megabytes of decoded pictures may be kept, 0 or more",
            fix=f"set it to a number, or unset it for {_DEFAULT_MB:,}",
        )
    return megabytes
