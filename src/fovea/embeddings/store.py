"""The embedding store: vectors and facts of pictures on disk, keyed by what they depend on, so that nothing is computed twice.

SQLite in WAL mode: it is in Python's own library, a killed process leaves it whole, several processes read and write it
at once, and one file can be looked into with any tool. (LMDB is faster to read, but maps a size fixed beforehand and
is one more compiled dependency; 4,000 vectors are read here in a twentieth of a second, which nobody waits for.)
"""

import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.data.facts import FACTS_VERSION, NUM_HASHES, THUMBNAIL_PX, facts_scale
from fovea.files import cache_folder
from fovea.loading.databases import open_database, saying_what_to_do
from fovea.types import Floats, PictureFacts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS spaces (
    id INTEGER PRIMARY KEY, weights TEXT NOT NULL, preprocessing TEXT NOT NULL, backbone TEXT NOT NULL,
    UNIQUE (weights, preprocessing));
CREATE TABLE IF NOT EXISTS vectors (
    space INTEGER NOT NULL, content BLOB NOT NULL, vector BLOB NOT NULL, PRIMARY KEY (space, content)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (
    content BLOB NOT NULL, scale INTEGER NOT NULL, version INTEGER NOT NULL, facts TEXT NOT NULL, hashes BLOB NOT NULL,
    PRIMARY KEY (content, scale)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS thumbnails (
    content BLOB NOT NULL, scale INTEGER NOT NULL, pixels BLOB NOT NULL, PRIMARY KEY (content, scale));
CREATE TABLE IF NOT EXISTS answers (key BLOB PRIMARY KEY, answer TEXT NOT NULL) WITHOUT ROWID;
DROP TABLE IF EXISTS pictures; -- the facts of an earlier version, which knew less
"""
_TABLES = ("vectors", "spaces", "facts", "thumbnails", "answers")
_IN_TEXT = [field.name for field in fields(PictureFacts) if field.name not in ("hashes", "thumbnail")]
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
        self._db = open_database(self.path, _SCHEMA)

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
            query = f"SELECT content, vector FROM vectors WHERE space=? AND content IN ({_marks(asked)})"
            for content, vector in self._all(query, (row[0], *map(bytes.fromhex, asked))):
                found[content.hex()] = np.frombuffer(vector, np.float32)
        return found

    def put(self, space: Space, vectors: Mapping[str, Floats], facts: Mapping[str, PictureFacts]) -> None:
        """Keeps vectors and facts, in one transaction: after a kill all of them are there, or none."""
        with self._lock, saying_what_to_do(self.path), self._db:
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

    def spaces(self, contents: Sequence[str]) -> list[tuple[Space, int]]:
        """The spaces in which any of these contents have a vector, with how many have one, the most first."""
        counts: Counter[int] = Counter()
        unique = list(dict.fromkeys(contents))
        for asked in _runs(unique):
            query = f"SELECT space, count(*) FROM vectors, spaces WHERE space = id AND content IN ({_marks(asked)}) GROUP BY space"
            counts.update(dict(self._all(query, tuple(map(bytes.fromhex, asked)))))
        known = {row[0]: Space(*row[1:]) for row in self._all("SELECT id, weights, preprocessing, backbone FROM spaces", ())}
        return [(known[space], count) for space, count in sorted(counts.items(), key=lambda pair: (-pair[1], -pair[0])) if space in known]

    def get_facts(self, contents: Sequence[str], *, min_side_px: int | None) -> dict[str, PictureFacts]:
        """The facts that are known, by content hash, without their thumbnails.

        Args:
            contents: Content hashes.
            min_side_px: As for `decode`: what was measured on a picture that was shrunk otherwise is not given, so that no
                result depends on who looked at the data before.
        """
        found: dict[str, PictureFacts] = {}
        for asked in _runs(contents):
            query = f"SELECT content, facts, hashes FROM facts WHERE version=? AND content IN ({_marks(asked)})"
            for content, text, hashes in self._all(query, (FACTS_VERSION, *map(bytes.fromhex, asked))):
                fact = _fact(text, hashes)
                if fact and fact.scale == facts_scale(fact.format, min(fact.width_px, fact.height_px), min_side_px):
                    found[content.hex()] = fact
        return found

    def put_facts(self, facts: Mapping[str, PictureFacts]) -> None:
        """Keeps facts alone, where no backbone ran."""
        with self._lock, saying_what_to_do(self.path), self._db:
            self._put_facts(facts)

    def get_thumbnails(self, facts: Mapping[str, PictureFacts]) -> dict[str, npt.NDArray[np.uint8]]:
        """The thumbnails (64, 64) that belong to these facts, as far as they are known."""
        found: dict[str, npt.NDArray[np.uint8]] = {}
        for asked in _runs(facts):
            query = f"SELECT content, scale, pixels FROM thumbnails WHERE content IN ({_marks(asked)})"
            for content, scale, pixels in self._all(query, tuple(map(bytes.fromhex, asked))):
                if facts[content.hex()].scale == scale and len(pixels) == THUMBNAIL_PX**2:
                    found[content.hex()] = np.frombuffer(pixels, np.uint8).reshape(THUMBNAIL_PX, THUMBNAIL_PX)
        return found

    def get_answer(self, key: str) -> Any:
        """What was kept under this key (the hash of all that it depends on), or None."""
        rows = self._all("SELECT answer FROM answers WHERE key=?", (bytes.fromhex(key),))
        try:
            return json.loads(rows[0][0]) if rows else None
        except ValueError:
            return None

    def put_answer(self, key: str, answer: object) -> None:
        """Keeps a JSON value under a key."""
        with self._lock, saying_what_to_do(self.path), self._db:
            self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (bytes.fromhex(key), json.dumps(answer)))

    def size(self) -> dict[str, int]:
        """`num_vectors`, `num_pictures` and `bytes` on disk."""
        (num_vectors,) = self._one("SELECT count(*) FROM vectors", ()) or (0,)
        (num_pictures,) = self._one("SELECT count(DISTINCT content) FROM facts", ()) or (0,)
        files = [self.path, Path(f"{self.path}-wal"), Path(f"{self.path}-shm")]
        return {"num_vectors": num_vectors, "num_pictures": num_pictures, "bytes": sum(f.stat().st_size for f in files if f.exists())}

    def clear(self) -> None:
        """Forgets everything; other processes that have the store open go on with an empty one."""
        with self._lock, saying_what_to_do(self.path):
            with self._db:
                for table in _TABLES:
                    self._db.execute(f"DELETE FROM {table}")
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _put_facts(self, facts: Mapping[str, PictureFacts]) -> None:
        rows, pixels = [], []
        for content, fact in facts.items():
            text = json.dumps({name: getattr(fact, name) for name in _IN_TEXT})
            rows.append((bytes.fromhex(content), fact.scale, FACTS_VERSION, text, fact.hashes))
            if fact.thumbnail is not None:
                pixels.append((bytes.fromhex(content), fact.scale, fact.thumbnail.tobytes()))
        self._db.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)
        self._db.executemany("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?)", pixels)

    def _one(self, query: str, values: tuple[object, ...]) -> tuple[int, ...] | None:
        rows = self._all(query, values)
        return rows[0] if rows else None

    def _all(self, query: str, values: tuple[object, ...]) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, saying_what_to_do(self.path):
            return self._db.execute(query, values).fetchall()


def _runs(contents: Iterable[str]) -> Iterator[list[str]]:
    unique = list(dict.fromkeys(contents))
    return (unique[start : start + _ASK] for start in range(0, len(unique), _ASK))


def _marks(asked: Sequence[str]) -> str:
    return ",".join("?" * len(asked))


def _fact(text: str, hashes: bytes) -> PictureFacts | None:
    """Facts as they were written; None where something else wrote them, so that they are measured anew."""
    try:
        values = json.loads(text)
        return PictureFacts(**{**values, "border": tuple(values["border"])}, hashes=hashes) if len(hashes) == 8 * NUM_HASHES else None
    except (ValueError, TypeError, KeyError):
        return None
