"""Equal files that carry different labels."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=20,
        level="fault",
        one="1 picture has two different labels",
        many="{n} pictures have two different labels",
        meaning="The same bytes stand in two classes. One of the labels is wrong, and nothing right can be learned from both.",
        fix="keep the copy with the right label, and remove the other",
        cleaned="all copies are left out",
    )
)
def conflicts(seen: Seen) -> list[Fault]:
    """Each content that stands under several labels."""
    faults = []
    for rows in seen.rows_of.values():
        labels = {seen.items[row].label for row in rows}
        if len(labels) > 1:
            told = [{"path": seen.path(row), "label": seen.items[row].label} for row in rows]
            first, others = told[0], [entry for entry in told if entry["label"] != told[0]["label"]]
            problem = f"is {first['label']}, and equal to {others[0]['path']}, which is {others[0]['label']}"
            faults.append(Fault(tuple(rows), problem, told, remove=tuple(rows)))
    return faults
