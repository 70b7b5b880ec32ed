"""The embedding store: vectors on disk, keyed by what they depend on, so that nothing is computed twice.

SQLite in WAL mode: it is in Python's own library, a killed process leaves it whole, several processes read and write it
at once, and one file can be looked into with any tool. (LMDB is faster to read, but maps a size fixed beforehand and
is one more compiled dependency; 4,000 vectors are read here in a twentieth of a second, which nobody waits for.)
"""

import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fovea.errors import DiskFull, OutputError, from_os_error
from fovea.files import cache_folder
from fovea.types import Floats, PictureFacts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (
    id INTEGER PRIMARY KEY, weights TEXT NOT NULL, preprocessing TEXT NOT NULL, backbone TEXT NOT NULL,
    UNIQUE (weights, preprocessing));
CREATE TABLE IF NOT EXISTS vectors (
    space INTEGER NOT NULL, content BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (space, content)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS pictures (content BLOB PRIMARY KEY, facts TEXT NOT NULL) WITHOUT ROWID;
"""
_BUSY_S = 60.0  # how long to wait for another process that is writing
_ASK = 500  # hashes a query: SQLite allows 32,766 variables, and short queries let other processes in between


@dataclass(frozen=True)
class Space:
    """What a vector depends on beside the picture: which weights, and which preprocessing."""

    weights_hash: str
    preprocessing_key: str
    backbone: str  # for people who look into the file; the weights' hash already tells networks apart


class EmbeddingStore:
    """Vectors and facts by the content hash of the file. Usable from several threads and processes at once.

    Args:
        path: The database file; by default in the cache folder.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "embeddings.sqlite"
        self._lock = threading.Lock()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise from_os_error(error, self.path.parent) from error
        with self._saying_what_to_do():
            self._db = sqlite3.connect(self.path, timeout=_BUSY_S, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_SCHEMA)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "EmbeddingStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def get(self, space: Space, contents: Sequence[str]) -> dict[str, Floats]:
        """The vectors that are known, by content hash; each (D,)."""
        found: dict[str, Floats] = {}
        row = self._one("SELECT id FROM spaces WHERE weights=? AND preprocessing=?", (space.weights_hash, space.preprocessing_key))
        if row is None:
            return found
        for asked in _runs(contents):
            marks = ",".join("?" * len(asked))
            query = f"SELECT content, vector FROM vectors WHERE space=? AND content IN ({marks})"
            for content, vector in self._all(query, (row[0], *map(bytes.fromhex, asked))):
                found[content.hex()] = np.frombuffer(vector, np.float32)
        return found

    def put(self, space: Space, vectors: Mapping[str, Floats], facts: Mapping[str, PictureFacts]) -> None:
        """Keeps vectors and facts, in one transaction: after a kill all of them are there, or none."""
        with self._lock, self._saying_what_to_do(), self._db:
            self._db.execute(
                "INSERT OR IGNORE INTO spaces (weights, preprocessing, backbone) VALUES (?, ?, ?)",
                (space.weights_hash, space.preprocessing_key, space.backbone),
            )
            (space_id,) = self._db.execute(
                "SELECT id FROM spaces WHERE weights=? AND preprocessing=?", (space.weights_hash, space.preprocessing_key)
            ).fetchone()
            rows = [(space_id, bytes.fromhex(c), np.ascontiguousarray(v, np.float32).tobytes()) for c, v in vectors.items()]
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?, ?)", rows)
            self._put_facts(facts)

    def get_facts(self, contents: Sequence[str]) -> dict[str, PictureFacts]:
        """The facts that are known, by content hash."""
        found: dict[str, PictureFacts] = {}
        for asked in _runs(contents):
            query = f"SELECT content, facts FROM pictures WHERE content IN ({','.join('?' * len(asked))})"
            for content, facts in self._all(query, tuple(map(bytes.fromhex, asked))):
                found[content.hex()] = PictureFacts(**json.loads(facts))
        return found

    def put_facts(self, facts: Mapping[str, PictureFacts]) -> None:
        """Keeps facts alone, where no backbone ran."""
        with self._lock, self._saying_what_to_do(), self._db:
            self._put_facts(facts)

    def size(self) -> dict[str, int]:
        """`num_vectors`, `num_pictures` and `bytes` on disk."""
        (num_vectors,) = self._one("SELECT count(*) FROM vectors", ()) or (0,)
        (num_pictures,) = self._one("SELECT count(*) FROM pictures", ()) or (0,)
        files = [self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")]
        return {"num_vectors": num_vectors, "num_pictures": num_pictures, "bytes": sum(f.stat().st_size for f in files if f.exists())}

    def clear(self) -> None:
        """Forgets everything; other processes that have the store open go on with an empty one."""
        with self._lock, self._saying_what_to_do():
            with self._db:
                for table in ("vectors", "spaces", "pictures"):
                    self._db.execute(f"DELETE FROM {table}")
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _put_facts(self, facts: Mapping[str, PictureFacts]) -> None:
        rows = [(bytes.fromhex(content), json.dumps(asdict(fact))) for content, fact in facts.items()]
        self._db.executemany("INSERT OR REPLACE INTO pictures VALUES (?, ?)", rows)

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[int, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, self._saying_what_to_do():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _saying_what_to_do(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            if "full" in text:
                raise DiskFull(
                    f"the disk is full: Fovea's cache {str(self.path)!r} could not be written",
                    got=text,
                    expected="free space on the disk that holds it",
                    fix="free some space, or name a folder on another disk in the environment variable FOVEA_CACHE",
                ) from error
            raise OutputError(
                f"Fovea's cache {str(self.path)!r} cannot be used: {text}",
                got=text,
                expected="an SQLite file that Fovea wrote, in a folder in which you may write",
                fix="delete that file (only time is lost), or name another folder in the environment variable FOVEA_CACHE",
            ) from error


def _runs(contents: Iterable[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(contents))
    return (unique[start : start + _ASK] for start in range(0, len(unique), _ASK))
