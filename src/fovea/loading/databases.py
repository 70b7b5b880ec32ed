"""SQLite files in the cache folder: opened in one way, and their errors told in plain words."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fovea.errors import DiskFull, OutputError, from_os_error

_BUSY_S = 60.0  # how long to wait for another process that is writing


def open_database(path: Path, schema: str) -> sqlite3.Connection:
    """Opens or makes a database for several threads (the caller locks) and processes.

    Write-ahead log: readers and a writer do not wait for each other, and a kill leaves whole transactions.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        told = from_os_error(error, path.parent)
        fix = "name a folder in which you may write in the environment variable FOVEA_CACHE"
        raise type(told)(told.problem, got=told.got, expected=told.expected, fix=fix) from error
    with saying_what_to_do(path):
        database = sqlite3.connect(path, timeout=_BUSY_S, check_same_thread=False)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        database.executescript(schema)
    return database


@contextmanager
def saying_what_to_do(path: Path) -> Iterator[None]:
    """Turns SQLite's errors into ours."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            raise DiskFull(
                f"the disk is full: Fovea's cache {str(path)!r} could not be written",
                got=text,
                expected="free space on the disk that holds it",
                fix="free some space, or name a folder on another disk in the environment variable FOVEA_CACHE",
            ) from error
        raise OutputError(
            f"Fovea's cache {str(path)!r} cannot be used: {text}",
            got=text,
            expected="an SQLite file that Fovea wrote, in a folder in which you may write",
            fix="delete that file (only time is lost), or name another folder in the environment variable FOVEA_CACHE",
        ) from error
