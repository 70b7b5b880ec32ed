"""Pictures that stand in two splits, as they are or in another version."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from fovea.audit.finding import Fault, Seen
from fovea.audit.near import Pair, families
from fovea.types import Split

_RANK = {"train": 0, "validation": 1, "test": 2}


class _Other(NamedTuple):
    """The picture on the other side, the gravest sorting first: in test, equal, most alike."""

    rank: int
    unlike: float
    row: int
    mirrored: bool


def on_both_sides(seen: Seen, *, of: Split, into: Sequence[Split]) -> list[Fault]:
    """Each picture of one split that stands in any of the others too, with the gravest of those there."""
    gravest: dict[int, _Other] = {}

    def note(row: int, other: int, unlike: float, mirrored: bool) -> None:
        there = seen.items[other].split
        if there is not None and there in into and seen.items[row].split == of:
            found = _Other(-_RANK[there], unlike, other, mirrored)
            gravest[row] = min(found, gravest.get(row, found))

    for rows in seen.rows_of.values():
        first_of = {seen.items[row].split: row for row in reversed(rows)}
        for row in rows if len(first_of) > 1 else ():
            for other in first_of.values():
                note(row, other, 0.0, False)
    for pair in _pairs(seen):
        for a in seen.rows_of.get(pair.first, ()):
            for b in seen.rows_of.get(pair.second, ()):
                note(a, b, 1 - pair.similarity + 1e-6, pair.mirrored)  # never quite equal: that the bytes decide
                note(b, a, 1 - pair.similarity + 1e-6, pair.mirrored)
    return [_fault(seen, row, other, removed=of == "train") for row, other in sorted(gravest.items())]


def _pairs(seen: Seen) -> Iterator[Pair]:
    """All near duplicates, and of each family its first picture in each split with all others that it was not compared with.

    A family's members need not all have been compared (of a film's frames each is with a few): what is alike to the same is
    the same. Such a pair is as alike as the least alike of its family; its members stand as the steps between them turn them.
    """
    yield from seen.near
    near: dict[str, list[Pair]] = defaultdict(list)
    for pair in seen.near:
        near[pair.first].append(pair)
        near[pair.second].append(pair)
    for family in families(seen.near):
        first_of: dict[str | None, str] = {}
        for content in family:
            for row in seen.rows_of.get(content, ()):
                first_of.setdefault(seen.items[row].split, content)
        if len(family) > 2 and len(first_of) > 1:
            least = min(pair.similarity for content in family for pair in near[content])
            for first in dict.fromkeys(first_of.values()):
                compared = {content for pair in near[first] for content in (pair.first, pair.second)}
                for content, mirrored in _turned(first, near).items():
                    if content not in compared:
                        yield Pair(first, content, least, mirrored)


def _turned(first: str, near: Mapping[str, Sequence[Pair]]) -> dict[str, bool]:
    """Every member of a family, and whether it is a mirror image of one of them, by the fewest steps."""
    turned = {first: False}
    steps = deque([first])
    while steps:
        content = steps.popleft()
        for pair in near[content]:
            other = pair.second if pair.first == content else pair.first
            if other not in turned:
                turned[other] = turned[content] != pair.mirrored
                steps.append(other)
    return turned


def _fault(seen: Seen, row: int, found: _Other, *, removed: bool) -> Fault:
    item, other = seen.items[row], seen.items[found.row]
    equal = found.unlike == 0
    like = "is equal to" if equal else f"is {min(1 - found.unlike, 0.99):.0%} like"
    labels = f", and is labelled {item.label} here and {other.label} there" if item.label != other.label else ""
    problem = f"{like} {other.path} ({other.split}){', mirrored' if found.mirrored else ''}{labels}"
    told = {
        "path": item.path,
        "other": other.path,
        "split": other.split,
        "how": "equal" if equal else "near",
        "similarity": 1.0 if equal else round(1 - found.unlike, 4),
        "mirrored": found.mirrored,
    }
    return Fault((row, found.row), problem, told, remove=(row,) if removed else ())
