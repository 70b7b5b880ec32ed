"""The audit: files that cannot be read, equal files, equal files under two labels, and equal files on both sides of a split."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fovea.errors import UnreadableImage
from fovea.types import SPLITS, Item, PictureFacts, Split

_MOST_IGNORED = 1_000  # names of files that are no pictures; beyond it they are counted


@dataclass(frozen=True)
class Problem:
    """A picture that is left out, and how to mend it."""

    path: str
    problem: str
    fix: str


@dataclass(frozen=True)
class Audit:
    """What was found. Every list is in the order of the data.

    Args:
        num_items: Pictures that the data names.
        unreadable: Left out of everything.
        duplicates: Paths of byte-equal files, a list for each content.
        conflicts: Those among them that carry more than one label.
        leaks: Training pictures that stand in validation or test too: (training path, other path, other split).
        ignored: Files that are no pictures by their name.
        class_counts: Readable pictures by split and class.
        formats: Readable pictures by file format and kind of colour.
        sides_px: Smallest and largest width and height, [[min, max], [min, max]], or None where nothing was read.
    """

    num_items: int
    unreadable: tuple[Problem, ...]
    duplicates: tuple[tuple[str, ...], ...]
    conflicts: tuple[tuple[tuple[str, str | None], ...], ...]
    leaks: tuple[tuple[str, str, str], ...]
    ignored: tuple[str, ...]
    num_ignored: int
    class_counts: dict[str, dict[str, int]]
    formats: dict[str, int]
    sides_px: list[list[int]] | None

    def to_json(self) -> dict[str, Any]:
        return {
            "num_items": self.num_items,
            "num_readable": self.num_items - len(self.unreadable),
            "unreadable": [{"path": p.path, "problem": p.problem, "fix": p.fix} for p in self.unreadable],
            "duplicates": [list(paths) for paths in self.duplicates],
            "conflicts": [[{"path": path, "label": label} for path, label in equal] for equal in self.conflicts],
            "leaks": [{"path": path, "other": other, "split": split} for path, other, split in self.leaks],
            "ignored": list(self.ignored),
            "num_ignored": self.num_ignored,
            "class_counts": self.class_counts,
            "formats": self.formats,
            "sides_px": self.sides_px,
        }


def examine(
    items: Sequence[Item],
    hashes: Sequence[str],
    problems: Mapping[int, UnreadableImage],
    facts: Mapping[str, PictureFacts],
    *,
    ignored: Sequence[str] = (),
) -> Audit:
    """The audit of items whose splits are known (or all None), from content hashes and a full decode of each."""
    unreadable = tuple(Problem(items[i].path, problems[i].problem, problems[i].fix) for i in sorted(problems))
    equal: dict[str, list[int]] = defaultdict(list)
    for index, content in enumerate(hashes):
        if content and index not in problems:
            equal[content].append(index)
    several = [indexes for indexes in equal.values() if len(indexes) > 1]
    conflicts = [indexes for indexes in several if len({items[i].label for i in indexes}) > 1]
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for index, item in enumerate(items):
        if index not in problems and item.label is not None:
            counts.setdefault(item.split or "all", Counter())[item.label] += 1
    read = [facts[content] for content in hashes if content in facts]
    sides = [[f.width_px for f in read], [f.height_px for f in read]]
    return Audit(
        num_items=len(items),
        unreadable=unreadable,
        duplicates=tuple(tuple(items[i].path for i in indexes) for indexes in several),
        conflicts=tuple(tuple((items[i].path, items[i].label) for i in indexes) for indexes in conflicts),
        leaks=tuple((items[i].path, items[j].path, items[j].split or "all") for i, j in leaks_of(items, hashes)),
        ignored=tuple(ignored[:_MOST_IGNORED]),
        num_ignored=len(ignored),
        class_counts={split: dict(sorted(found.items())) for split, found in counts.items() if found},
        formats=dict(Counter(f"{fact.format} {fact.mode}" for fact in read).most_common()),
        sides_px=[[min(side), max(side)] for side in sides] if read else None,
    )


def leaks_of(items: Sequence[Item], hashes: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs (training item, validation or test item) of byte-equal files.

    Such training items are taken out of training, never out of a test: the figure would flatter.
    """
    outside: dict[str, int] = {}
    for index, (item, content) in enumerate(zip(items, hashes, strict=True)):
        if content and item.split in ("validation", "test"):
            outside.setdefault(content, index)
    return [(i, outside[content]) for i, content in enumerate(hashes) if items[i].split == "train" and content in outside]


def with_splits(items: Sequence[Item], splits: Sequence[Split]) -> list[Item]:
    """The items, each with its split."""
    return [replace(item, split=split) for item, split in zip(items, splits, strict=True)]
