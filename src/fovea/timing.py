"""Where the seconds of a run went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


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
