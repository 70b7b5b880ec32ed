"""Where the seconds of a run went."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from fovea.errors import InputError

_UNITS_S = {"s": 1, "m": 60, "h": 3600}


def seconds_of(text: str, option: str) -> float:
    """The seconds of a span that a person wrote: "90s", "10m", "2h".

    Raises:
        InputError: It is none; `option` is what the message calls it.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    if not found or float(found[1]) <= 0:
        raise InputError(f"{option} is no time", got=repr(text), expected="a number with s, m or h", fix="for example 90s, 10m or 2h")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def in_words(seconds: float) -> str:
    """A span for people: 8 s, 90 s, 5 min, 2 h 5 min."""
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds >= 1 else "less than a second"
    if seconds == float("inf"):
        return "longer than could be measured"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Stopwatch:
    """Seconds on the clock by stage; a stage that is entered twice adds up."""

    def __init__(self) -> None:
        self._started_s = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Counts the seconds within it to `stage`, for example "audit_s"."""
        started_s = time.perf_counter()
        try:
            yield
        finally:
            self.add(stage, time.perf_counter() - started_s)

    def add(self, stage: str, seconds: float) -> None:
        self._stages[stage] = self._stages.get(stage, 0.0) + seconds

    def seconds(self) -> dict[str, float]:
        """All stages so far, and `total_s` since the watch was made."""
        return {"total_s": round(time.perf_counter() - self._started_s, 3)} | {
            name: round(value, 3) for name, value in self._stages.items()
        }
