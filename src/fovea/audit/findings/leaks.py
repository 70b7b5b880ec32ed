"""Pictures that stand on both sides of a split, as they are or in another version."""

from typing import NamedTuple

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

# Which picture leaves: the one that stands in the first of two splits. A test is never made smaller.
_RANK = {"train": 0, "validation": 1, "test": 2}


class _Leak(NamedTuple):
    """The other picture of a leak, the gravest sorting first: into test, equal, most alike."""

    split: int
    unlike: float
    row: int
    mirrored: bool


@FINDINGS.add(
    FindingInfo(
        order=15,
        level="fault",
        one="1 picture stands on both sides of a split",
        many="{n} pictures stand on both sides of a split",
        meaning="What was learned from is measured again, so that the figure flatters.",
        fix="remove the training picture; `fovea train` does so by itself (unless --keep-leaks)",
        cleaned="taken out of train, never out of test",
    )
)
def leaks(seen: Seen) -> list[Fault]:
    """Training pictures that stand in validation or test too, and validation pictures that stand in test; each with the gravest."""
    gravest: dict[int, _Leak] = {}

    def note(row: int, other: int, unlike: float, mirrored: bool) -> None:
        here, there = (_RANK.get(seen.items[i].split or "", -1) for i in (row, other))
        if 0 <= here < there:
            leak = _Leak(-there, unlike, other, mirrored)
            gravest[row] = min(leak, gravest.get(row, leak))

    for rows in seen.rows_of.values():
        first_of = {split: row for row in reversed(rows) if (split := seen.items[row].split)}
        for row in rows if len(first_of) > 1 else ():
            for other in first_of.values():
                note(row, other, 0.0, False)
    for pair in seen.near:
        for a in seen.rows_of.get(pair.first, ()):
            for b in seen.rows_of.get(pair.second, ()):
                note(a, b, 1 - pair.similarity + 1e-6, pair.mirrored)
                note(b, a, 1 - pair.similarity + 1e-6, pair.mirrored)
    return [_fault(seen, row, leak) for row, leak in sorted(gravest.items())]


def _fault(seen: Seen, row: int, leak: _Leak) -> Fault:
    item, other = seen.items[row], seen.items[leak.row]
    equal = leak.unlike == 0
    like = "is" if equal else f"is {1 - leak.unlike:.0%} like"
    problem = f"({item.split}) {like} {other.path} ({other.split}){', mirrored' if leak.mirrored else ''}"
    told = {
        "path": item.path,
        "other": other.path,
        "split": other.split,
        "from": item.split,
        "how": "equal" if equal else "near",
        "similarity": 1.0 if equal else round(1 - leak.unlike, 4),
        "mirrored": leak.mirrored,
    }
    return Fault((row, leak.row), problem, told, remove=(row,) if item.split == "train" else ())
