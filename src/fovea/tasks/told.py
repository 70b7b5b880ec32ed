"""What a task says of its own figures, in plain values: the report, the card and the command line show them without knowing the task."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "caution", "bad"]
NOTHING = "Nothing was learned, as far as can be told."  # what leads where a model is not shown to be better than guessing
_FEW = 30  # pictures, below which an interval from drawing them anew (bootstrap) is itself too narrow
_WIDE = 0.05  # of a share: an interval wider than this leaves the percent unknown


@dataclass(frozen=True)
class Table:
    """A table of figures, ready to read.

    Args:
        caption: What it shows, one sentence.
        header: Names of the columns; the first column names the rows.
        rows: As many texts each.
        question, explanation: A term of the table, and what it means; both "" where none needs explaining.
    """

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    question: str = ""
    explanation: str = ""


@dataclass(frozen=True)
class Scatter:
    """Numbers that were said against numbers that are true.

    Args:
        name: What they measure.
        points: (true, predicted) of each picture.
        half_width: Of the interval around each answer, or None.
    """

    name: str
    points: Sequence[tuple[float, float]]
    half_width: float | None = None


@dataclass(frozen=True)
class Wrong:
    """One answer that is far from the truth.

    Args:
        row: Its place among the answers.
        true, predicted: In words.
        note: How far off or how sure, in words, or "".
        probability: What the model gave to `predicted`, 0 to 1; 0 where the task has no such thing.
    """

    row: int
    true: str
    predicted: str
    note: str = ""
    probability: float = 0.0


@dataclass(frozen=True)
class Told:
    """What one split's figures say.

    Args:
        sentence: The answer to "how good is it?", with its interval and with what knowing nothing would come to.
        caution: What must be known with it, or "".
        tone: How the caution is meant.
        tables: The figures.
        advice: What to do next: a headline and what to do, each in sentences.
        limits: What limits the model, or how well its figures are known, each a sentence.
    """

    sentence: str
    caution: str = ""
    tone: Tone = "plain"
    tables: Sequence[Table] = ()
    advice: Sequence[tuple[str, str]] = ()
    limits: Sequence[str] = ()

    def to_text(self) -> list[str]:
        """The same as lines of text."""
        lines = [self.sentence, *([self.caution] if self.caution else []), *self.limits]
        for table in self.tables:
            cells = [[str(cell) for cell in row] for row in (table.header, *table.rows)]
            wide = [max(len(row[column]) for row in cells) for column in range(len(table.header))]
            lines += [
                "",
                *(
                    "  ".join(cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, wide, strict=True)))
                    for row in cells
                ),
            ]
        return lines


def figure(value: float | None) -> str:
    """A number with three significant digits, without powers of ten: 0.812, 12.3, 4,120; a dash where there is none."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    if abs(rounded) >= 100:
        return f"{rounded:,.0f}"
    return f"{rounded:.9f}".rstrip("0").rstrip(".") if abs(rounded) >= 1e-9 else f"{rounded:g}"


def beside(value: float, apart: float | None) -> str:
    """A number with as many digits as matter where numbers lie `apart`: 2,000.47 beside 0.09; three significant ones where that is unknown."""
    if not apart or not math.isfinite(apart):
        return figure(value)
    decimals = min(max(1 - math.floor(math.log10(apart)), 0), 9)
    return f"{value:,.{decimals}f}"


def few_in_all(n: int, split: str) -> str:
    """What must be known with figures of so few pictures that their intervals say too little, or ""."""
    if n >= _FEW:
        return ""
    only = f"There is only 1 {split} picture" if n == 1 else f"There are only {n:,} {split} pictures"
    return f"{only}: too few to know how good it is, and the intervals may be narrower than they should be."


def known_to(low: float, high: float, n: int, split: str) -> list[str]:
    """How well a share is known, where that is not well; none where it is."""
    return [f"Its figure is only known to {percent(high - low)}: {_so_many(n, split)} cannot tell more."] if high - low > _WIDE else []


def _so_many(n: int, split: str) -> str:
    return f"{n:,} {split} picture{'s' if n != 1 else ''}"


def percent(share: float | None) -> str:
    """A share in percent: 81.2 %; a dash where there is none."""
    return "–" if share is None else f"{100 * share:.1f}\u00a0%"
