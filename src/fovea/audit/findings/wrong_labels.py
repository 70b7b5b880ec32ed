"""Pictures that look like another class than their label says."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=35,
        level="doubt",
        one="1 label is likely wrong",
        many="{n} labels are likely wrong",
        meaning="Models that never saw them, and their nearest neighbours, take them for another class. Some are right and only unusual.",
        fix="look at each, and move it to its class, or remove it if it shows none",
    )
)
def wrong_labels(seen: Seen) -> list[Fault]:
    """Likely wrong labels, the surest first; empty where nobody looked for them. A cleaned copy keeps them: a person has to say."""
    faults = []
    for suspect in sorted(seen.suspects or (), key=lambda s: (s.own_probability, s.row)):
        item = seen.items[suspect.row]
        problem = f"is labelled {item.label}, and looks like {suspect.suggested} ({min(suspect.probability, 0.99):.0%} sure)"
        told = {
            "path": item.path,
            "label": item.label,
            "suggested": suspect.suggested,
            "probability": round(suspect.probability, 4),
            "probability_of_label": round(suspect.own_probability, 4),
            "split": item.split,
            "problem": problem,
            "fix": f"move it to {suspect.suggested}, or remove it if it shows neither",
        }
        faults.append(Fault((suspect.row,), problem, told))
    return faults
