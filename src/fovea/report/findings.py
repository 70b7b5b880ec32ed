"""What the audit found, as short lists of sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fovea.report.data import Json
from fovea.report.words import sentence, short

_MOST = 20  # of each kind on the page; audit.json holds them all
_PATH = 120


@dataclass(frozen=True)
class Fault:
    """One fault: where, and (of a file that could not be read) what is wrong and how to mend it."""

    where: str
    problem: str = ""
    fix: str = ""


@dataclass(frozen=True)
class Finding:
    """All faults of one kind: `faults` are the first, `num_more` are left to audit.json."""

    headline: str
    meaning: str
    faults: tuple[Fault, ...]
    num_more: int


def findings(audit: Json) -> list[Finding]:
    """One finding for each kind of fault that there is, gravest first, in the audit's own words."""
    found = []
    for told in audit.get("findings") or ():
        entries = _entries(audit.get(told["kind"]))
        found.append(
            Finding(
                headline=f"{told['headline']}.",
                meaning=f"{told['meaning']} {sentence(told['fix'])}",
                faults=tuple(_fault(entry) for entry in entries[:_MOST]),
                num_more=max(told["num"] - _MOST, 0),
            )
        )
    return found


def _entries(value: object) -> Sequence[object]:
    """The faults of one kind; a mere count is no list of faults."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _fault(entry: object) -> Fault:
    """One entry of audit.json: a path, a list of equal ones, or an object that names its paths and what is known of them."""
    if isinstance(entry, Mapping):
        if "other" in entry:  # a leak: the training file, the other version of it, and where that stands
            return Fault(_joined([_with_note(entry.get("path"), "train"), _with_note(entry["other"], entry.get("split"))]))
        problem, fix = str(entry.get("problem", "")), str(entry.get("fix", ""))
        if "paths" in entry:
            notes = entry.get("labels") or [entry.get("group")] * len(entry["paths"])
            return Fault(_joined([_with_note(path, note) for path, note in zip(entry["paths"], notes, strict=False)]), problem, fix)
        path = entry.get("path") or entry.get("what") or entry.get("label") or ""
        note = entry.get("label") or entry.get("split") if "path" in entry else None
        return Fault(_with_note(path, note), problem.removeprefix(f"{path!r} ").removeprefix(f"{path} "), fix)  # the list names it
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        return Fault(_joined([_fault(part).where for part in entry]))
    return Fault(short(str(entry), _PATH))


def _with_note(path: object, note: object) -> str:
    return short(str(path), _PATH) + (f" ({short(str(note))})" if note else "")


def _joined(paths: Sequence[str]) -> str:
    """A = b = c and 4 more."""
    return " = ".join(paths[:4]) + (f" and {len(paths) - 4:,} more" if len(paths) > 4 else "")
