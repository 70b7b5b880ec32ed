"""A bundle's files: a folder, or the same as one `.fovea` zip. Read and written here, and nowhere else."""

import io
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fovea.errors import BundleError, writing
from fovea.files import write_atomic
from fovea.types import Floats

REQUIRED = ("bundle.json", "model.onnx", "golden.npz")
OPTIONAL = ("refusal.npz", "neighbours.npz", "head.npz")
WEIGHTS = "model.safetensors"  # also optional, to go on training and to explain with gradients; large, and read by whoever needs it
MAX_BYTES = 4 << 30  # what a bundle's files, or its golden arrays, may unpack to: twice what an ONNX file can hold
# what `zipfile` raises of archives that are broken, or packed in a way that it does not know
_BROKEN = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, ValueError, KeyError, NotImplementedError)


def read_files(path: Path) -> dict[str, bytes]:
    """The files of a bundle by name: the required ones, and of the optional ones those that it has.

    Raises:
        BundleError: There is nothing there, it is something else, or a file is missing.
    """
    if not path.exists():
        raise BundleError(
            f"no bundle at {str(path)!r}: there is no such path",
            got="nothing",
            expected="a bundle folder (it holds bundle.json) or a .fovea file",
            fix="check the name; `fovea train` writes a bundle to RUN/bundle",
        )
    if path.is_dir():
        if not (path / "bundle.json").exists() and (path / "bundle" / "bundle.json").exists():
            path = path / "bundle"  # a run was named: its bundle is meant
        names = {name for name in (*REQUIRED, *OPTIONAL) if (path / name).is_file()}
        _check_complete(path, names)
        try:
            return {name: (path / name).read_bytes() for name in names}
        except OSError as error:
            raise BundleError(
                f"the bundle {str(path)!r} cannot be read: {error.strerror}",
                got=error.strerror,
                expected="files that you may read",
                fix="change their permissions",
            ) from error
    with _opened(path) as archive:
        names = {name for name in archive.namelist() if name in (*REQUIRED, *OPTIONAL)}
        _check_complete(path, names)
        _check_members(archive, names, str(path))
        return {name: _read(archive, name) for name in names}


def unpack_weights(path: Path, to: Path) -> bool:
    """Writes the weights of a `.fovea` file to a file of their own; False where it brings none.

    Raises:
        BundleError: It cannot be read.
    """
    with _opened(path) as archive:
        if WEIGHTS not in archive.namelist():
            return False
        _check_members(archive, [WEIGHTS], str(path))
        content = _read(archive, WEIGHTS)
    write_atomic(to, content)
    return True


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """A `.fovea` file; whatever is wrong with it becomes a BundleError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _BROKEN as error:
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"{str(path)!r} is not a bundle",
            got=str(error),
            expected="a bundle folder or a .fovea file",
            fix="name RUN/bundle, or make the .fovea file again",
        ) from error


def write_files(path: Path, files: dict[str, bytes]) -> Path:
    """Writes a bundle: a folder, or one zip where the name ends in `.fovea`. `bundle.json` comes last: it makes it one."""
    if path.suffix == ".fovea":

        def fill(file: BinaryIO) -> None:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, content in files.items():
                    archive.writestr(name, content)

        return write_atomic(path, fill)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        for name in ("bundle.json", *OPTIONAL, WEIGHTS):  # from here to the last line it is no bundle
            (path / name).unlink(missing_ok=True)
    for name in sorted(files, key=lambda name: name == "bundle.json"):
        write_atomic(path / name, files[name])
    return path


def pack_arrays(arrays: Mapping[str, Any], *, compressed: bool = True) -> bytes:
    """Arrays as the bytes of an `.npz`; numbers without a pattern are hardly smaller compressed, and take a while."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def unpack_arrays(content: bytes, *, path: Path, name: str = "golden.npz") -> dict[str, Floats]:
    """The arrays of an `.npz`; nothing in it is executed."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as loaded:
            _check_members(loaded.zip, loaded.zip.namelist(), f"{name} of {path}")
            return {key: loaded[key] for key in loaded.files}
    except (
        *_BROKEN,
        TypeError,
        MemoryError,
    ) as error:  # TypeError: one array, and no archive of them; MemoryError: one that states too much
        if isinstance(error, BundleError):
            raise
        raise BundleError(
            f"{name} of the bundle {str(path)!r} is broken",
            got=str(error),
            expected="the arrays that were written with it",
            fix="copy the bundle again, or train again",
        ) from error


def _read(archive: zipfile.ZipFile, name: str) -> bytes:
    """A member, and never more of it than it states."""
    with archive.open(name) as file:
        return file.read(archive.getinfo(name).file_size)


def _check_members(archive: zipfile.ZipFile, names: Iterable[str], what: str) -> None:
    """Whether these members may be read at all: their headers tell, before anything is unpacked."""
    infos = [archive.getinfo(name) for name in names]
    if locked := [info.filename for info in infos if info.flag_bits & 1]:
        raise BundleError(
            f"{what!r} is encrypted, first seen at {locked[0]!r}",
            got="a zip with a password",
            expected="a bundle without a password",
            fix="unpack it with its password and name the folder, or make the .fovea file again without one",
        )
    if (size := sum(info.file_size for info in infos)) > MAX_BYTES:
        raise BundleError(
            f"{what!r} states that it unpacks to more than a bundle can hold",
            got=f"{size:,} bytes",
            expected=f"at most {MAX_BYTES:,} bytes",
            fix="get it again from whom you trust: a small file that states so much is often an attack",
        )


def _check_complete(path: Path, names: set[str]) -> None:
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise BundleError(
            f"{str(path)!r} is not a whole bundle: {' and '.join(missing)} missing",
            got=", ".join(sorted(names)) or "none of a bundle's files",
            expected=", ".join(REQUIRED),
            fix="name the folder that holds bundle.json (RUN/bundle), or make the bundle again",
        )
