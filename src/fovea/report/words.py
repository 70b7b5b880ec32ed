"""Numbers and names as a person reads them, and as HTML may hold them."""

import math
import re
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup, escape

from fovea.files import printable

NBSP = "\u00a0"  # between a number and its unit, so that a line never breaks there

# What HTML forbids or a reader cannot see: controls, marks that turn the direction of the text around, and halves of
# UTF-16 pairs other than those with which Python keeps undecodable bytes (files.printable spells these).
_HIDDEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udc7f\udd00-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LONGEST = 2_000  # characters of one text on the page: names come from outside, the page must stay small


def clean(text: str, *, longest: int = _LONGEST, keep: str = "") -> str:
    """`text` so that every character shows: controls and undecodable bytes spelt out, the middle of a long one left out.

    Args:
        text: Anything, also names with lone surrogates.
        longest: Characters to keep at most.
        keep: Characters to let through although they are controls, for example the line breaks of a command.
    """

    def spell(match: re.Match[str]) -> str:
        char = match.group()
        return char if char in keep else _SHORT.get(char) or (f"\\x{ord(char):02x}" if ord(char) < 0x100 else f"\\u{ord(char):04x}")

    half = longest // 2
    if len(text) > longest:
        text = f"{text[:half]} … {text[-half:]}"
    return printable(_HIDDEN.sub(spell, text))


def short(text: str, longest: int = 80) -> str:
    """A name or path that fits a caption."""
    return clean(text, longest=longest)


def sentence(text: str) -> str:
    """A clause as a sentence: a capital first, a full stop last."""
    return f"{text[:1].upper()}{text[1:]}."


def quoted(name: str) -> str:
    """A class name inside a sentence."""
    return f"“{short(name, 60)}”"


def code_spans(text: str) -> Markup:
    """Escapes `text` and shows what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(clean(text)))))


def command(text: str) -> Markup:
    """A command line that a narrow page breaks between its words, not at their hyphens."""
    parts = re.split(r"([ \n]+)", clean(text, keep="\n"))
    return Markup("").join(part if part.isspace() else Markup("<span>{}</span>").format(part) for part in parts if part)


def listed(names: list[str], *, most: int = 3) -> str:
    """“a”, “b” and 4 more."""
    shown = [quoted(name) for name in names[:most]]
    if len(names) > most:
        shown.append(f"{len(names) - most:,} more")
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


def count(number: int, noun: str) -> str:
    """1 picture, 1,000 pictures."""
    plural = noun if number == 1 else noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,}{NBSP}{plural}"


def share(fraction: float) -> str:
    """A fraction in percent without the sign: 98.5. Never 100 or 0 by rounding: 0.9999 gives 99.99."""
    if not math.isfinite(fraction):
        return "unknown"
    if fraction in (0.0, 1.0):
        return f"{fraction * 100:.0f}"
    for digits in (1, 2, 3):
        text = f"{fraction * 100:.{digits}f}"
        if 0 < float(text) < 100:
            return text
    return "more than 99.9" if fraction > 0.5 else "less than 0.1"


def percent(fraction: float) -> str:
    """A fraction in percent: 98.5 %."""
    return f"{share(fraction)}{NBSP}%"


def between(lo: float, hi: float) -> str:
    """97.5 and 99.1 %: the end of a sentence that begins with "between"."""
    return f"{share(lo)} and {percent(hi)}"


def duration(seconds: float) -> str:
    """A time span: 85 ms, 14.2 s, 3 min 20 s, 2 h 5 min."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f}{NBSP}ms"
    if seconds < 99.95:
        return f"{seconds:.1f}{NBSP}s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}{NBSP}min {whole % 60}{NBSP}s"
    return f"{whole // 3600:,}{NBSP}h {whole % 3600 // 60}{NBSP}min"


def figure(value: float | None) -> str:
    """A plain number with four significant digits: 0.0412, 12.5, 0.00001; a dash where there is none."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return "not a number"
    # Python turns to powers of ten below 0.0001, which many readers do not know.
    return f"{value:.9f}".rstrip("0") if 1e-6 <= abs(value) < 1e-4 else f"{value:.4g}"


def number(row: Mapping[str, Any], key: str) -> float | None:
    """The number under `key` of a row read from CSV or JSON (it may be infinite); None where it is missing or no number."""
    try:
        value = float(row[key])
    except (KeyError, TypeError, ValueError):
        return None
    return None if math.isnan(value) else value
