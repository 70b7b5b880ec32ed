"""Files that are equal byte for byte."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=50,
        level="doubt",
        one="1 picture stands there more than once, byte for byte",
        many="{n} pictures stand there more than once, byte for byte",
        meaning="Copies count double in what is learned and measured. Fovea keeps them on one side of a split.",
        fix="keep one of each",
        cleaned="one of each is kept in each split",
    )
)
def duplicates(seen: Seen) -> list[Fault]:
    """Each content that several files have."""
    faults = []
    for rows in seen.rows_of.values():
        if len(rows) > 1:
            kept: set[str | None] = set()
            spare = []
            for row in rows:
                split = seen.items[row].split
                if split in kept:
                    spare.append(row)
                kept.add(split)
            paths = [seen.path(row) for row in rows]
            faults.append(Fault(tuple(rows), f"is equal to {_named(paths[1:])}", paths, remove=tuple(spare)))
    return faults


def _named(paths: list[str]) -> str:
    return ", ".join(paths[:3]) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")
