"""The page of an audit: what was found, with thumbnails, and what to do about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fovea.audit import Audit, Fault, Finding
from fovea.files import write_atomic
from fovea.report import words
from fovea.report.page import _environment
from fovea.report.pictures import Embedded, embed
from fovea.types import SPLITS, Pixels

# What one page shows at most, so that it stays readable, and under 5 MB: audit.json holds it all.
_MOST_SHOWN = {"fault": 48, "doubt": 48, "note": 12}
_MOST_TEXTS = 100
_MOST_A_FAULT = 8  # pictures of one fault
_MOST_BYTES = 3_600_000  # of pictures, as they stand in the page
_CLASSES = 24
_LEVELS = {"fault": "To mend", "doubt": "To look at", "note": "Good to know"}


@dataclass(frozen=True)
class _Shown:
    """A picture on the page: `image` is None where it cannot be shown."""

    path: str
    label: str | None
    split: str | None
    image: Embedded | None


@dataclass(frozen=True)
class _Entry:
    """One fault on the page."""

    problem: str
    fix: str
    pictures: tuple[_Shown, ...]
    num_more: int


@dataclass(frozen=True)
class _Section:
    """One kind of finding on the page."""

    finding: Finding
    kind_of_level: str
    entries: tuple[_Entry, ...]
    num_more: int

    @property
    def advice(self) -> str:
        """What to do."""
        return words.sentence(self.finding.info.fix)

    @property
    def with_pictures(self) -> bool:
        return any(picture.image for entry in self.entries for picture in entry.pictures)

    @property
    def of_several(self) -> bool:
        """Whether every fault is about several pictures, so that they stand in columns as wide as two."""
        return all(len(entry.pictures) > 1 for entry in self.entries)


def write_audit_page(
    path: str | Path,
    audit: Audit,
    *,
    title: str,
    command: str,
    place: Callable[[int], tuple[str, str | None, str | None]],
    picture: Callable[[int], Pixels | None],
    version: str,
) -> Path:
    """Writes the page as one HTML file that needs nothing else: no network, no script, under 5 MB.

    Args:
        path: Where the file shall stand.
        audit: What was found.
        title: What the data are called.
        command: The command that does it again.
        place: Path, label and split of a row of the data.
        picture: The pixels of a row, of any size; None where they cannot be had.
        version: Of Fovea.

    Raises:
        DiskFull, OutputError: The file could not be written; what stood there before still stands.
    """
    left = _MOST_BYTES
    known: dict[int, Embedded | None] = {}

    def shown(row: int, with_image: bool) -> _Shown:
        nonlocal left
        if with_image and row not in known and left > 0:
            pixels = picture(row)
            known[row] = image = embed(pixels) if pixels is not None else None
            left -= len(image.uri) if image else 0
        return _Shown(*place(row), known.get(row) if with_image else None)

    sections = [_section(finding, shown) for finding in audit.findings.values() if finding.faults]
    counts = _class_table(audit.class_counts)
    html = _environment().get_template("audit.html").render(
        title=title,
        answer=_answer(audit),
        audit=audit,
        num_readable=audit.num_items - audit.num_unreadable,
        sections=sections,
        todo=[section for section in sections if section.finding.info.level != "note"],
        splits=[split for split in (*SPLITS, "all") if split in audit.class_counts],
        classes=counts[:_CLASSES],
        num_classes=len(counts),
        largest=max((sum(row[1].values()) for row in counts), default=1),
        command=command,
        version=version,
    )  # fmt: skip
    return write_atomic(path, html)


def _section(finding: Finding, shown: Callable[[int, bool], _Shown]) -> _Section:
    with_images = finding.kind != "unreadable" and any(fault.rows for fault in finding.faults)
    most = _MOST_SHOWN[finding.info.level] if with_images else _MOST_TEXTS
    entries = tuple(_entry(fault, shown, with_images) for fault in finding.faults[:most])
    return _Section(finding, _LEVELS[finding.info.level], entries, len(finding.faults) - len(entries))


def _entry(fault: Fault, shown: Callable[[int, bool], _Shown], with_images: bool) -> _Entry:
    pictures = tuple(shown(row, with_images) for row in fault.rows[:_MOST_A_FAULT])
    return _Entry(fault.problem, fault.fix, pictures, len(fault.rows) - len(pictures))


def _answer(audit: Audit) -> str:
    """What was found, in one sentence."""
    grave = [finding for finding in audit.findings.values() if finding.faults and finding.info.level == "fault"]
    doubts = [finding for finding in audit.findings.values() if finding.faults and finding.info.level == "doubt"]
    told = [finding.headline for finding in grave or doubts]
    if not told:
        return f"Nothing wrong was found in {words.count(audit.num_items, 'picture')}."
    listed = told[0] if len(told) == 1 else f"{', '.join(told[:-1])}, and {told[-1]}"
    return f"{listed[0].upper()}{listed[1:]}."


def _class_table(class_counts: Mapping[str, Mapping[str, int]]) -> Sequence[tuple[str, dict[str, int]]]:
    """Classes with their pictures in each split, the smallest first: those that need pictures."""
    names = sorted({name for counts in class_counts.values() for name in counts})
    rows = [(name, {split: counts.get(name, 0) for split, counts in class_counts.items()}) for name in names]
    return sorted(rows, key=lambda row: sum(row[1].values())) if len(rows) > _CLASSES else rows
