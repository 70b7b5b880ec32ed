"""The audit: everything that was found wrong or doubtful in the data, kind by kind."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

from fovea.audit.finding import FINDINGS, Finder, Finding, Seen
from fovea.types import SPLITS, Item, Split

_MOST_IGNORED = 1_000  # names of files that are no pictures; beyond it they are counted


@dataclass(frozen=True)
class Audit:
    """What was found. The faults of each kind are in the order of the data, or the gravest first.

    Args:
        num_items: Pictures that the data names.
        findings: By kind, the gravest kind first; also those that found nothing.
        class_counts: Readable pictures by split ("all" where there are none) and class.
        formats: Readable pictures by file format and kind of colour.
        sides_px: Smallest and largest width and height, [[min, max], [min, max]], or None where nothing was read.
        notes: What was not looked for, and why.
    """

    num_items: int
    findings: dict[str, Finding]
    class_counts: dict[str, dict[str, int]]
    formats: dict[str, int]
    sides_px: list[list[int]] | None
    notes: tuple[str, ...] = ()

    @property
    def num_unreadable(self) -> int:
        return len(self.findings["unreadable"].faults)

    @cached_property
    def removed(self) -> dict[int, str]:
        """The rows that a cleaned copy leaves out, each with the kind of its gravest fault."""
        found: dict[int, str] = {}
        for kind, finding in self.findings.items():
            for fault in finding.faults:
                for row in fault.remove:
                    found.setdefault(row, kind)
        return found

    def to_json(self) -> dict[str, Any]:
        """The content of audit.json: for each kind its faults, and `findings`, which says what the kinds mean."""
        kinds = {kind: [fault.json for fault in finding.faults] for kind, finding in self.findings.items()}
        told = [
            {
                "kind": kind,
                "level": finding.info.level,
                "num": len(finding.faults),
                "headline": finding.headline,
                "meaning": finding.info.meaning,
                "fix": finding.info.fix,
            }
            for kind, finding in self.findings.items()
            if finding.faults
        ]
        return {
            "num_items": self.num_items,
            "num_readable": self.num_items - self.num_unreadable,
            **kinds,
            "ignored": kinds["ignored"][:_MOST_IGNORED],
            "num_ignored": len(kinds["ignored"]),
            "class_counts": self.class_counts,
            "formats": self.formats,
            "sides_px": self.sides_px,
            "findings": told,
            "notes": list(self.notes),
        }


def examine(seen: Seen, *, notes: Sequence[str] = ()) -> Audit:
    """Asks every kind of finding."""
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for row in seen.rows:
        item = seen.items[row]
        counts.setdefault(item.split or "all", Counter()).update(seen.kind.classes(item.label))
    facts = [seen.fact(row) for row in seen.rows]
    sides = [[fact.width_px for fact in facts], [fact.height_px for fact in facts]]
    return Audit(
        num_items=len(seen.items),
        findings={
            entry.name: Finding(entry.name, entry.info, tuple(cast(Finder, entry.build)(seen)))
            for entry in sorted(FINDINGS, key=lambda entry: (entry.info.order, entry.name))
        },
        class_counts={split: dict(sorted(found.items())) for split, found in counts.items() if found},
        formats=dict(Counter(f"{fact.format} {fact.mode}" for fact in facts).most_common()),
        sides_px=[[min(side), max(side)] for side in sides] if facts else None,
        notes=tuple(notes),
    )


def with_splits(items: Sequence[Item], splits: Sequence[Split]) -> list[Item]:
    """The items, each with its split."""
    return [replace(item, split=split) for item, split in zip(items, splits, strict=True)]
