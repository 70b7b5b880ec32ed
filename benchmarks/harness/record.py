"""RESULTS.md: one section a question, each with its command, commit, machine, date, n and spread."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path

from benchmarks.harness.figures import Answer
from benchmarks.harness.places import ROOT

RESULTS = ROOT / "benchmarks" / "RESULTS.md"
_HEADER = ("figure", "median or share", "spread", "n", "limit", "verdict")


def table(answer: Answer) -> str:
    """The figures as a Markdown table, and the grid as another."""
    tables = [_markdown([list(_HEADER), *(figure.cells() for figure in answer.figures)])]
    if answer.grid:
        tables.append(_markdown([list(answer.grid.header), *(list(row) for row in answer.grid.rows)]))
    return "\n\n".join(tables)


def _markdown(rows: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def section(name: str, asks: str, command: str, answer: Answer) -> str:
    """One section of RESULTS.md."""
    limited = any(figure.limit for figure in answer.figures)
    verdict = "" if not limited else "every limit holds" if answer.holds else "**a limit is missed**"
    head = [f"`{command}`", f"commit {commit()}", machine(), datetime.date.today().isoformat(), verdict]
    parts = [f"## {name}", asks, " · ".join(part for part in head if part)]
    if answer.command:
        parts.append(f"Measured: `{answer.command}`")
    parts.append(table(answer))
    notes = [f"- {note}" for note in answer.notes if note]
    if answer.versions:
        notes.append("- Versions: " + ", ".join(f"{package} {version}" for package, version in answer.versions.items()) + ".")
    parts.append("\n".join(notes))
    return "\n\n".join(part for part in parts if part) + "\n"


def replace_section(text: str, name: str, new: str) -> str:
    """RESULTS.md with the section `name` replaced, or added at its end; everything else as it was."""
    found = re.search(rf"^## {re.escape(name)}\n.*?(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if found is None:
        return text.rstrip("\n") + "\n\n" + new
    after = text[found.end() :]
    return text[: found.start()] + new + ("\n" + after if after else "")


def record(name: str, asks: str, command: str, answer: Answer, path: Path = RESULTS) -> None:
    """Writes the section, in place of an earlier one."""
    text = path.read_text() if path.exists() else "# Results\n"
    path.write_text(replace_section(text, name, section(name, asks, command, answer)))


def commit() -> str:
    """The commit that was measured, with "+ changes" where files differ from it (but for RESULTS.md itself)."""
    head = _git("rev-parse", "--short", "HEAD")
    if head is None:
        return "none yet"
    changed = [line for line in (_git("status", "--porcelain") or "").splitlines() if not line.endswith("benchmarks/RESULTS.md")]
    return head + (" + changes" if changed else "")


def machine() -> str:
    """The machine in words, without its name."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3
    return f"{cores} cores of {_processor()}, {memory_gib:.0f} GiB, {_system()}, Python {platform.python_version()}"


def _processor() -> str:
    """Its name, and which wide instructions it has: clouds call different processors alike."""
    try:
        told = Path("/proc/cpuinfo").read_text()
    except OSError:
        told = ""
    found = re.search(r"^model name\s*:\s*(.+)$", told, re.MULTILINE)
    name = found[1].strip() if found else platform.processor() or platform.machine()
    sets = [title for title, flag in (("AVX2", "avx2"), ("AVX-512", "avx512f"), ("BF16", "avx512_bf16")) if re.search(rf"\b{flag}\b", told)]
    return f"{name} ({', '.join(sets)})" if sets else name


def _system() -> str:
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({platform.system()} {platform.release().partition('-')[0]})"
    except (OSError, KeyError):
        return f"{platform.system()} {platform.release().partition('-')[0]}"


def _git(*words: str) -> str | None:
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.rstrip("\n")
    except (OSError, subprocess.CalledProcessError):
        return None
