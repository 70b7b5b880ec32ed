"""Limits that a setting states of itself, and the check that every operation makes of its settings when it is built."""

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, TypeVar

from fovea.errors import InputError

T = TypeVar("T")

_KEY = "fovea.limits"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one setting may be: a number (or a range of two) from `low` to `high`, or one of `choices`."""

    low: float = -math.inf
    high: float = math.inf
    unit: str = ""
    whole: bool = False
    choices: tuple[object, ...] = ()

    def __str__(self) -> str:
        if self.choices:
            return "one of " + ", ".join(map(repr, self.choices))
        kind = "whole number" if self.whole else "number"
        bounds = f"from {self.low:g} to {self.high:g}" if self.high < math.inf else f"of at least {self.low:g}"
        return f"a {kind} {bounds} {self.unit}".rstrip()


def limited(default: T | Any = MISSING, *, low: float, high: float = math.inf, unit: str = "", whole: bool = False) -> T:
    """A dataclass field that holds a number, or a range where its name ends in `_range`, within limits.

    Args:
        default: Its default; none makes the setting one that must be given.
        low, high: The limits, both allowed.
        unit: What it counts, for messages: "of a turn".
        whole: Whether it must be a whole number.
    """
    found: T = field(default=default, metadata={_KEY: Limits(low, high, unit, whole)})
    return found


def one_of(default: T, *choices: T) -> T:
    """A dataclass field that holds one of a few values."""
    found: T = field(default=default, metadata={_KEY: Limits(choices=choices)})
    return found


def limits_of(settings: Any) -> dict[str, Limits]:
    """The limits of a dataclass (or of one of its instances), by the names of its fields."""
    return {entry.name: entry.metadata[_KEY] for entry in fields(settings) if _KEY in entry.metadata}


def check_settings(settings: Any, *, name: str) -> None:
    """Checks every limited field of a dataclass.

    Args:
        settings: The dataclass's instance.
        name: What it is called in messages.

    Raises:
        InputError: A number lies outside its limits, a range is reversed or is no range, a choice is none.
    """
    for key, limits in limits_of(settings).items():
        value = getattr(settings, key)
        if key.endswith("_range"):
            _check_range(value, limits, key, name)
        elif limits.choices:
            if value not in limits.choices:
                raise _error(f"{name}: {key} is none of its choices", value, str(limits), f"set {key} to {limits.choices[0]!r}")
        elif not _fits(value, limits):
            raise _error(f"{name}: {key} cannot be {value!r}", value, str(limits), _advice(key, value, limits))


def is_number(value: object) -> bool:
    """Whether it is a finite number (True and False are none)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _check_range(value: object, limits: Limits, key: str, name: str) -> None:
    expected = f"(low, high), each {limits}"
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2 or not all(map(is_number, value)):
        raise _error(f"{name}: {key} is not a range", value, expected, f"give two numbers: {key}=(low, high)")
    low, high = value
    if low > high:
        raise _error(f"{name}: {key} is reversed", value, f"{expected}, the smaller one first", f"{key}=({high!r}, {low!r})")
    if not (_fits(low, limits) and _fits(high, limits)):
        wrong = low if not _fits(low, limits) else high
        raise _error(f"{name}: {key} cannot reach {wrong!r}", value, expected, _advice(key, wrong, limits))


def _fits(value: object, limits: Limits) -> bool:
    if not is_number(value) or not isinstance(value, (int, float)):
        return False
    return limits.low <= value <= limits.high and (not limits.whole or value == int(value))


def _advice(key: str, value: object, limits: Limits) -> str:
    if not isinstance(value, (int, float)) or not is_number(value):
        return f"give {limits}"
    nearest = min(max(value, limits.low), limits.high)
    return f"the nearest value that {key} allows is {round(nearest) if limits.whole else nearest:g}"


def _error(problem: str, got: object, expected: str, fix: str) -> InputError:
    return InputError(problem, got=repr(got), expected=expected, fix=fix)
