"""Where the files are: a folder, or an archive read in place. What they mean, the sources say."""

import errno
import os
import stat
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path

from fovea.data.sniff import HEAD_BYTES, has_picture_suffix, sniff
from fovea.errors import DataError, UnreadableImage

MAX_FILE_BYTES = 1 << 30  # no picture file is larger: what is, is refused before it is read
_LITTER = {"__MACOSX", "Thumbs.db", "thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "@eaDir"}  # what systems leave behind


class Tree(ABC):
    """A tree of files, each known by its path within the tree, with "/" between the parts.

    Hidden files and what operating systems leave behind are not in it. Reading is safe in many threads at once.

    Args:
        location: What the user typed, for messages.
        table: The path of the CSV that the user named instead of a folder, or None.
    """

    is_archive = False

    def __init__(self, location: str, *, table: str | None = None) -> None:
        self.location, self.table = location, table

    @property
    @abstractmethod
    def paths(self) -> Collection[str]:
        """All files, sorted."""

    @property
    @abstractmethod
    def folders(self) -> Collection[str]:
        """All folders below the top, empty ones too, sorted."""

    @abstractmethod
    def has(self, path: str) -> bool:
        """Whether there is something of that name, readable or not."""

    @abstractmethod
    def size(self, path: str) -> int:
        """Bytes of a file.

        Raises:
            UnreadableImage: It is not there.
        """

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The bytes of a file.

        Raises:
            UnreadableImage: It is missing, forbidden, no regular file, broken, or too large.
        """

    def head(self, path: str) -> bytes:
        """The first bytes of a file, enough to tell what it is."""
        return self.read(path)[:HEAD_BYTES]

    def close(self) -> None:
        """Lets go of open files."""
        return


class FolderTree(Tree):
    """A folder on disk. Links to folders are followed, but never in a circle; it is listed at the first question.

    Args:
        root: The folder.
        only: Of its files these alone; None takes all.
    """

    def __init__(
        self, root: str | Path, *, location: str | None = None, table: str | None = None, only: Collection[str] | None = None
    ) -> None:
        super().__init__(location or str(root), table=table)
        self.root = os.fspath(root)
        self._listed: tuple[list[str], list[str]] | None = None if only is None else (sorted(only), [])

    @property
    def paths(self) -> Collection[str]:
        return self._list()[0]

    @property
    def folders(self) -> Collection[str]:
        return self._list()[1]

    def has(self, path: str) -> bool:
        return os.path.lexists(os.path.join(self.root, path))

    def size(self, path: str) -> int:
        try:
            return os.stat(os.path.join(self.root, path)).st_size
        except (OSError, ValueError) as error:
            raise self._unreadable(path, error) from error

    def read(self, path: str) -> bytes:
        return self._read(path, None)

    def head(self, path: str) -> bytes:
        return self._read(path, HEAD_BYTES)

    def _read(self, path: str, num_bytes: int | None) -> bytes:
        try:
            # without O_NONBLOCK, opening a pipe would wait for ever
            handle = os.open(os.path.join(self.root, path), os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with open(handle, "rb", buffering=0) as file:
                state = os.fstat(handle)
                if not stat.S_ISREG(state.st_mode):
                    raise IsADirectoryError(errno.EISDIR, "not a file")
                if num_bytes is not None:
                    return file.read(num_bytes)
                if state.st_size > MAX_FILE_BYTES:
                    raise too_large(path, state.st_size)
                return file.readall()
        except (OSError, ValueError) as error:  # ValueError: a NUL in a name
            if isinstance(error, UnreadableImage):
                raise
            raise self._unreadable(path, error) from error

    def _unreadable(self, path: str, error: OSError | ValueError) -> UnreadableImage:
        full, number = os.path.join(self.root, path), getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
        if number == errno.ENOENT and os.path.islink(full):
            return unreadable(
                path, "is a link that leads nowhere", f"a link to {os.readlink(full)!r}", "restore what it points to, or remove it"
            )
        if number in (errno.ENOENT, errno.ENOTDIR):
            return unreadable(path, "does not exist", f"no such file in {self.root!r}", "correct its name, or restore the file")
        if number in (errno.EACCES, errno.EPERM):
            return unreadable(path, "may not be read", reason, "change its permissions (on Linux and macOS: chmod u+r), or remove it")
        if number == errno.EISDIR:
            return unreadable(path, "is not a file", "a folder or a device", "name a picture file")
        return unreadable(path, "cannot be read", reason, "check its name and the disk, or remove it")

    def _list(self) -> tuple[list[str], list[str]]:
        if self._listed is None:
            self._listed = self._walk()
        return self._listed

    def _walk(self) -> tuple[list[str], list[str]]:
        """Lists files and folders without a look at each file: the folder's own entries say what is what."""
        files: list[str] = []
        folders: list[str] = []
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            prefix, above = waiting.pop()
            folder = os.path.join(self.root, prefix) if prefix else self.root
            try:
                state = os.stat(folder)
                if (identity := (state.st_dev, state.st_ino)) in above:
                    continue  # a link to a folder that we stand in
                with os.scandir(folder) as entries:
                    for entry in entries:
                        if is_litter(entry.name):
                            continue
                        path = prefix + entry.name
                        if _is_folder(entry):
                            folders.append(path)
                            waiting.append((path + "/", above | {identity}))
                        elif entry.is_symlink() or entry.is_file():  # pipes and devices are no files
                            files.append(path)
            except OSError as error:
                raise DataError(
                    f"the folder {folder!r} cannot be read: {(error.strerror or str(error)).lower()}",
                    got=error.strerror or error,
                    expected="folders that may be listed",
                    fix="change its permissions (on Linux and macOS: chmod u+rx), or move it out of the data",
                ) from error
        files.sort()
        folders.sort()
        return files, folders


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in a circle, or into a forbidden folder: it stays a file, and reading it says what is wrong
        return False


def is_litter(name: str) -> bool:
    """Whether one part of a path is hidden, or a thing that an operating system left behind."""
    return name.startswith(".") or name in _LITTER


def list_pictures(tree: Tree) -> tuple[list[str], list[str]]:
    """All files of a tree in two lists, each sorted: pictures (by suffix; without a suffix by their first bytes), and the others."""
    pictures: list[str] = []
    others: list[str] = []
    for path in tree.paths:
        by_suffix = has_picture_suffix(path)
        (pictures if (by_suffix if by_suffix is not None else _looks_like_one(tree, path)) else others).append(path)
    return pictures, others


def _looks_like_one(tree: Tree, path: str) -> bool:
    try:
        return sniff(tree.head(path)) is not None
    except UnreadableImage:
        return False


def unreadable(path: str, problem: str, got: str, fix: str) -> UnreadableImage:
    """The error that names a file whose bytes cannot be had."""
    return UnreadableImage(f"{path!r} {problem}", got=got, expected="a picture file that may be read", fix=fix)


def too_large(path: str, num_bytes: int) -> UnreadableImage:
    """The error for a file that no picture fills."""
    return UnreadableImage(
        f"{path!r} is too large for a picture file",
        got=f"{num_bytes:,} bytes",
        expected=f"at most {MAX_FILE_BYTES:,} bytes",
        fix="make it smaller, or remove it",
    )
