"""A figure with its pedigree: the middle, how far it spread, how often it was measured, and the limit that it must hold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal


@dataclass(frozen=True)
class Limit:
    """What a figure may at most, or must at least, be."""

    value: float
    kind: Literal["at most", "at least"] = "at most"

    def holds(self, value: float) -> bool:
        """Whether `value` keeps it; what is not a number does not."""
        return value <= self.value if self.kind == "at most" else value >= self.value


@dataclass(frozen=True)
class Figure:
    """One number.

    Args:
        name: What it is, in words.
        value: The median, or the share.
        low, high: How far the measurements spread, or the 95 % interval of a share.
        n: Of how many.
        of: What was counted: "runs", "pictures".
        unit: As it is written: "s", "MiB", "%", "" for a plain ratio.
        limit: What it must hold; None where it is only told.
    """

    name: str
    value: float
    low: float
    high: float
    n: int
    of: str
    unit: str
    limit: Limit | None = None

    @property
    def holds(self) -> bool:
        return self.limit is None or self.limit.holds(self.value)

    def to_json(self) -> dict[str, object]:
        """Plain values, for `--json`."""
        limit = None if self.limit is None else {"kind": self.limit.kind, "value": self.limit.value}
        plain = {"name": self.name, "value": self.value, "low": self.low, "high": self.high, "n": self.n, "of": self.of, "unit": self.unit}
        return plain | {"limit": limit, "holds": self.holds}

    def cells(self) -> list[str]:
        """Name, value, spread, n, limit and verdict, as text."""
        spread = f"{self._text(self.low)} .. {self._text(self.high)}" if self.high > self.low else ""
        limit = "" if self.limit is None else f"{self.limit.kind} {self._text(self.limit.value)}"
        verdict = "" if self.limit is None else ("holds" if self.holds else "**missed**")
        return [self.name, self._text(self.value), spread, f"{self.n:,} {self.of}", limit, verdict]

    def _text(self, value: float) -> str:
        if self.unit == "%":
            return f"{value * 100:.1f} %"
        whole = value == round(value) and (abs(value) >= 10 or not self.unit)
        digits = 0 if whole or abs(value) >= 1000 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
        return f"{value:,.{digits}f} {self.unit}".rstrip()


def repeated(name: str, values: Sequence[float], unit: str, *, limit: Limit | None = None, of: str = "runs") -> Figure:
    """The median of several measurements, with the smallest and the largest."""
    return Figure(name, median(values), min(values), max(values), len(values), of, unit, limit)


def share(name: str, right: int, n: int, *, limit: Limit | None = None, of: str = "pictures") -> Figure:
    """`right` of `n`, with its 95 % Wilson interval."""
    from fovea.metrics.intervals import wilson

    low, high = wilson(right, n)
    return Figure(name, right / n, low, high, n, of, "%", limit)


def count(name: str, value: int, n: int, *, limit: Limit | None = None, of: str) -> Figure:
    """So many of `n`."""
    return Figure(name, value, value, value, n, of, "", limit)


@dataclass(frozen=True)
class Grid:
    """A table of its own kind, where each row has many figures: what stands in its cells says its spread itself."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]
    data: list[dict[str, object]]  # the rows as plain values, for `--json`


@dataclass(frozen=True)
class Answer:
    """What a question found out.

    Args:
        figures: In the order in which they are read.
        notes: What must be known beside them; "" lines are left out.
        grid: A second table, under the figures.
        command: The command under measurement, if there is one.
        versions: Of what was measured.
    """

    figures: list[Figure]
    notes: list[str] = field(default_factory=list)
    command: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    grid: Grid | None = None

    @property
    def holds(self) -> bool:
        """Whether every figure holds its limit."""
        return all(figure.holds for figure in self.figures)

    def to_json(self) -> dict[str, object]:
        """Plain values, for `--json`."""
        notes = [note for note in self.notes if note]
        plain: dict[str, object] = {"holds": self.holds, "figures": [figure.to_json() for figure in self.figures], "notes": notes}
        return plain | ({"rows": self.grid.data} if self.grid else {})


@dataclass(frozen=True)
class Options:
    """How a question is asked.

    Args:
        repeats: How often: pairs, rounds, runs or kills, as the question says.
        say: Takes one line of progress.
        peer_python: The Python that runs the peer; None takes or makes the one under .venv-peers.
    """

    repeats: int
    say: Callable[[str], None]
    peer_python: str | None = None
