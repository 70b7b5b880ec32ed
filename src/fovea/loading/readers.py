"""One picture's bytes, when they are wanted, under a name for messages: from a file, or from a source."""

import stat
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from fovea.data import Source
from fovea.errors import UnreadableImage
from fovea.types import Item


class Reader(ABC):
    """Gives one picture's bytes; `path` is what messages and tables call it."""

    path: str

    @abstractmethod
    def read(self) -> bytes:
        """The whole file.

        Raises:
            UnreadableImage: It is not there, or may not be read.
        """


class FileReader(Reader):
    def __init__(self, path: str, file: Path) -> None:
        self.path, self._file = path, file

    def check(self) -> None:
        """Whether the file is there, without reading it; raises as `read` does."""
        with self._unreadable():
            if not stat.S_ISREG(self._file.stat().st_mode):  # reading a pipe would wait for ever
                raise OSError("it is not an ordinary file")

    def read(self) -> bytes:
        self.check()
        with self._unreadable():
            return self._file.read_bytes()

    @contextmanager
    def _unreadable(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            reason = (getattr(error, "strerror", None) or str(error)).lower()
            raise UnreadableImage(
                f"{self.path!r} cannot be read: {reason}",
                got=reason,
                expected="a picture file that you may read",
                fix="check its name and its permissions",
            ) from error


class SourceReader(Reader):
    def __init__(self, source: Source, item: Item) -> None:
        self.path, self._source, self._item = item.path, source, item

    def read(self) -> bytes:
        return self._source.read(self._item)


def source_readers(source: Source, items: Sequence[Item]) -> list[Reader]:
    """A reader for each item."""
    return [SourceReader(source, item) for item in items]
