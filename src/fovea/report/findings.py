"""What the audit found, as short lists of sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fovea.report.data import Json
from fovea.report.words import count, short

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


_KINDS = (
    (
        "leaks",
        "{n} in training and in another split",
        "The copy in training was left out, so that the model is not measured on what it has seen.",
    ),
    ("conflicts", "{n} with two different labels", "The same bytes stand in two classes. One of the labels is wrong."),
    ("unreadable", "{n} that could not be read", "They were left out of everything that follows, never replaced."),
    ("duplicates", "{n} there more than once", "Exact copies, byte for byte. They teach nothing new and count twice."),
    ("ignored", "{n} of other kinds", "Their names do not end as those of {noun}s do. They were left alone."),
)


def findings(audit: Json, *, noun: str) -> list[Finding]:
    """One finding for each kind of fault that there is, gravest first."""
    found = []
    for kind, headline, meaning in _KINDS:
        entries = _entries(audit.get(kind))
        if entries:
            total = max(len(entries), _whole(audit.get(f"num_{kind}")))  # a list in audit.json may itself be cut short
            n = count(total, "file" if kind in ("unreadable", "ignored") else noun)
            found.append(
                Finding(
                    headline=headline.format(n=n, noun=noun),
                    meaning=meaning.format(noun=noun),
                    faults=tuple(_fault(entry) for entry in entries[:_MOST]),
                    num_more=total - min(len(entries), _MOST),
                )
            )
    return found


def _entries(value: object) -> Sequence[object]:
    """The faults of one kind; a mere count is no list of faults."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def _fault(entry: object) -> Fault:
    """One entry of audit.json: a path, a list of equal ones, or an object with a `path` and what is known of it."""
    if isinstance(entry, Mapping):
        if "other" in entry:  # a leak: the training file, its copy, and where that stands
            return Fault(_joined([_with_note(entry.get("path"), "train"), _with_note(entry["other"], entry.get("split"))]))
        note = entry.get("label") or entry.get("split")
        path = entry.get("path", "")
        problem = str(entry.get("problem", "")).removeprefix(f"{path!r} ")  # messages name the file, and so does the list
        return Fault(_with_note(path, note), problem, str(entry.get("fix", "")))
    if isinstance(entry, Sequence) and not isinstance(entry, str):
        return Fault(_joined([_fault(part).where for part in entry]))
    return Fault(short(str(entry), _PATH))


def _with_note(path: object, note: object) -> str:
    return short(str(path), _PATH) + (f" ({short(str(note))})" if note else "")


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0


def _joined(paths: Sequence[str]) -> str:
    """A = b = c and 4 more."""
    return " = ".join(paths[:4]) + (f" and {len(paths) - 4:,} more" if len(paths) > 4 else "")
