"""Groups (patients, cameras, bursts) that the data's own splits divide."""

from collections import defaultdict

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_SHOWN = 8  # rows of a group that are named


@FINDINGS.add(
    FindingInfo(
        order=30,
        level="fault",
        one="1 group stands on both sides of a split",
        many="{n} groups stand on both sides of a split",
        meaning="A model can know a patient, a camera or a burst by heart, and then looks better than it is with new ones.",
        fix="give the data without their splits, and Fovea keeps each group on one side",
    )
)
def split_groups(seen: Seen) -> list[Fault]:
    """Each group that has pictures in several splits."""
    groups: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for row in seen.rows:
        item = seen.items[row]
        if item.group is not None and item.split is not None:
            groups[item.group][item.split].append(row)
    faults = []
    for name, by_split in sorted(groups.items()):
        if len(by_split) > 1:
            counts = {split: len(rows) for split, rows in sorted(by_split.items())}
            told = ", ".join(f"{count:,} in {split}" for split, count in counts.items())
            shown = [rows[place] for place in range(_SHOWN) for rows in by_split.values() if place < len(rows)][:_SHOWN]
            faults.append(
                Fault(
                    tuple(shown),
                    f"is of group {name!r}, which has {told}",
                    {"group": name, "splits": counts, "paths": [seen.path(r) for r in shown]},
                )
            )
    return faults
