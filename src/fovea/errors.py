"""Every error that Fovea raises on purpose.

    FoveaError            exit code 1: it was asked for rightly and could not be done
      DiskFull            no room left where a file had to be written
      TrainingFailed      learning stopped, for example on a loss that is not a number
      ParityError         an exported model answers differently from the one that was trained
      InputError          exit code 2: what was passed cannot be used
        UnreadableImage   one picture that cannot be decoded
        DataError         the data as a whole cannot be used (no classes, one class, ...)
        OutputError       the place to write to cannot be used
        WeightsError      weights that are missing, broken, or of another architecture
        BundleError       a bundle that is missing, broken, or of a newer format
        MissingExtra      an optional package that is not installed
        UnknownName       a name that no registry knows
        DuplicateName     two entries claim one name

An error's first line stands alone: it says what is wrong, and with which file. The lines below it give what was
found, what was expected, and how to mend it.
"""

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class FoveaError(Exception):
    """Base class. The parts are required, so that no message can leave one out."""

    exit_code = 1

    def __init__(self, problem: str, *, got: object, expected: object, fix: str) -> None:
        self.problem, self.got, self.expected, self.fix = problem, str(got), str(expected), fix
        super().__init__(f"{problem}\n  got:      {got}\n  expected: {expected}\n  fix:      {fix}")

    def to_json(self) -> dict[str, str]:
        """The parts, as the service and `--json` print them."""
        return {"problem": self.problem, "got": self.got, "expected": self.expected, "fix": self.fix}


class DiskFull(FoveaError):
    pass


class TrainingFailed(FoveaError):
    pass


class ParityError(FoveaError):
    pass


class InputError(FoveaError, ValueError):
    exit_code = 2


class UnreadableImage(InputError):
    pass


class DataError(InputError):
    pass


class OutputError(InputError):
    pass


class WeightsError(InputError):
    pass


class BundleError(InputError):
    pass


class MissingExtra(InputError, ImportError):
    pass


class UnknownName(InputError, LookupError):
    pass


class DuplicateName(InputError):
    pass


_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def from_os_error(error: OSError, path: str | Path) -> FoveaError:
    """The Fovea error that says what the operating system's `error` means for someone who was writing `path`.

    No option moves the cache: for what lies in it, the fix names the variable FOVEA_CACHE.
    """
    reason = error.strerror or str(error)
    if _in_cache(path):
        elsewhere = "name a folder that you may write in the environment variable FOVEA_CACHE"
    else:
        elsewhere = f"choose another place{' on another disk' * (error.errno in _FULL)} with --out"
    if error.errno in _FULL:
        return DiskFull(
            f"the disk is full: {str(path)!r} could not be written",
            got=reason,
            expected="free space on the disk that holds it",
            fix=f"free some space (`fovea cache --clear` empties Fovea's own cache), or {elsewhere}",
        )
    if error.errno in _FORBIDDEN:
        return OutputError(
            f"{str(path)!r} cannot be written: {reason.lower()}",
            got=reason,
            expected="a folder in which you may write",
            fix=f"{elsewhere}, or change the permissions of this one",
        )
    return OutputError(
        f"{str(path)!r} cannot be written: {reason.lower()}",
        got=reason,
        expected="a folder that exists or can be made",
        fix=elsewhere,
    )


def _in_cache(path: str | Path) -> bool:
    chosen = os.environ.get("FOVEA_CACHE")
    return chosen is not None and chosen != "" and Path(os.path.abspath(path)).is_relative_to(Path(chosen).expanduser().absolute())


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turns an operating system's error while writing `path` into one that says what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FoveaError):
            raise
        raise from_os_error(error, path) from error


def missing_extra(package: str, extra: str, purpose: str) -> MissingExtra:
    """The error for an optional package that `purpose` needs: it gives the install line.

    The line names the package itself: on the package index, the name "fovea" belongs to a project of somebody else.
    """
    return MissingExtra(
        f"{purpose} needs the package {package!r}, which is not installed",
        got=f"no package {package!r}",
        expected=f"the optional package {package!r} (one of Fovea's extra {extra!r})",
        fix=f"pip install {package}",
    )


def expected_of(problem: Mapping[str, Any], metadata: Iterable[object] = ()) -> str:
    """What a value may be, in plain words, from one of the problems that pydantic names (`ValidationError.errors()`).

    Args:
        problem: Of them one.
        metadata: Of the field that was given the value: with it, both ends of a range are named.
    """
    kind, details = str(problem.get("type", "")), dict(problem.get("ctx") or {})
    if kind == "literal_error":
        return "one of " + re.sub(r"'([^']*)'", r"\1", str(details.get("expected", ""))).replace(" or ", ", ")
    if kind in _KINDS:
        return _KINDS[kind]
    bounds = {name: value for each in metadata for name in _BOUNDS if (value := getattr(each, name, None)) is not None} or details
    said = " and ".join(f"{words} {bounds[name]:,}" for name, words in _BOUNDS.items() if isinstance(bounds.get(name), int | float))
    if kind in _RANGES:
        return f"a number, {said}" if said else "a number that is finite"
    return "another value: " + str(problem.get("msg", "")).removeprefix("Input should be ").lower()


_BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_RANGES = {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
_KINDS = {
    "int_type": "a whole number", "int_parsing": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "float_parsing": "a number",
    "string_type": "a text", "bool_type": "true or false", "bool_parsing": "true or false",
    "list_type": "a list", "tuple_type": "a list", "dict_type": "names with values", "model_type": "names with values",
    "model_attributes_type": "names with values", "dataclass_type": "names with values", "missing": "a value, and there is none",
    "extra_forbidden": "no such name",
}  # fmt: skip


def told_of(error: ValueError) -> str:
    """What is wrong with what was read from a file, in a line: which of its entries, what it holds and what it may be."""
    if not hasattr(error, "errors"):
        return str(error).partition("\n")[0]
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"])) or "the whole"
    got = "nothing" if first["type"] == "missing" else repr(first.get("input"))
    return f"{where} is {got if len(got) <= 80 else got[:80] + ' ...'}, and may be {expected_of(first)}"


_PACKAGE_OF = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn"}  # whose modules have other names


def missing_module(module: str, *, got: str) -> MissingExtra:
    """The error for a module that could not be imported.

    Only a package that Fovea itself asks for is named in the install line: of another, the name does not say whose it is.
    """
    from importlib import metadata  # slow to import, for what is seldom needed

    package = _PACKAGE_OF.get(module, module.replace("_", "-"))
    try:
        ours = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in metadata.requires("fovea") or ()}
    except metadata.PackageNotFoundError:
        ours = set()
    is_ours = package.lower() in ours
    return MissingExtra(
        f"this command needs the {'package' if is_ours else 'module'} {(package if is_ours else module)!r}, which is not installed",
        got=got,
        expected=f"an environment in which Python can `import {module}`",
        fix=f"pip install {package}" if is_ours else f"install the package that brings the module {module!r}",
    )
