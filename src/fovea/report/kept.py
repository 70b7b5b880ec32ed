"""A report's content as JSON and back, pictures by their names alone: so that a page can be written again without training.

Any field of `ReportData` made of plain values, bytes, lists, mappings and dataclasses is kept without further work. An array called
`pixels` is not: it is had again from the `path` beside it.
"""

import base64
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from fovea.report.data import ReportData
from fovea.types import Pixels

FORMAT = 1
_PIXELS = "pixels"
# JSON knows no such numbers, and a loss that ran away is one
_NUMBERS = {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}


def to_plain(value: Any) -> Any:
    """Anything that a report holds, as JSON values."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.name != _PIXELS}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each) for key, each in value.items()}
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, (np.ndarray, np.generic)):
        return to_plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [to_plain(each) for each in value]
    return value


def report_json(data: ReportData) -> dict[str, Any]:
    """The content of a run's `report.json`."""
    return {"format": FORMAT, "report": to_plain(data)}


def picture_paths(plain: Any) -> list[str]:
    """The names of all pictures that a report shows, each once, in their order."""
    found: dict[str, None] = {}

    def look(kind: Any, value: Any) -> None:
        if is_dataclass(kind) and isinstance(value, Mapping):
            hints = typing.get_type_hints(kind)
            if _PIXELS in hints and "path" in value:
                found[str(value["path"])] = None
            for name, hint in hints.items():
                look(hint, value.get(name))
        elif isinstance(value, list):
            for each in value:
                look(_inner(kind), each)
        elif value is not None and _members(kind):
            for member in _members(kind):
                look(member, value)

    look(ReportData, plain)
    return list(found)


def read_report(plain: Any, picture: Callable[[str], Pixels | None]) -> ReportData:
    """A report's content from what `to_plain` gave.

    Args:
        plain: As read from JSON.
        picture: The pixels of a path, or None where they cannot be had.

    Raises:
        ValueError, TypeError, KeyError: It is none.
    """
    data = _read(ReportData, plain, picture)
    if not isinstance(data, ReportData):
        raise TypeError("no report")
    return data


def _read(kind: Any, value: Any, picture: Callable[[str], Pixels | None]) -> Any:
    if isinstance(value, Mapping) and set(value) == {"base64"}:
        return base64.b64decode(value["base64"], validate=True)
    if isinstance(value, Mapping) and set(value) == {"number"}:
        return _NUMBERS[value["number"]]
    if is_dataclass(kind) and isinstance(value, Mapping):
        hints = typing.get_type_hints(kind)
        known = {name: _read(hint, value[name], picture) for name, hint in hints.items() if name in value}
        if _PIXELS in hints:
            known[_PIXELS] = picture(str(value["path"]))
        return typing.cast(Any, kind)(**known)
    if isinstance(value, list):
        read = [_read(_inner(kind), each, picture) for each in value]
        return tuple(read) if typing.get_origin(kind) is tuple else read
    if isinstance(value, Mapping):
        for member in _members(kind):
            if is_dataclass(member):
                return _read(member, value, picture)
        return {key: _read(None, each, picture) for key, each in value.items()}
    return value


def _members(kind: Any) -> tuple[Any, ...]:
    """What a union may be."""
    return typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else ()


def _inner(kind: Any) -> Any:
    """What a sequence of this kind holds."""
    inside = typing.get_args(kind)
    return inside[0] if inside else None
