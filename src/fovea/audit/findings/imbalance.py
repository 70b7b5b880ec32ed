"""Classes with far fewer pictures than others, or with very few."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_RATIO = 3.0  # below it the figures of accuracy and of each class still tell the same story
_FEW = 20  # readable pictures of a class: 5 or 6 are left to choose with and to measure with


@FINDINGS.add(
    FindingInfo(
        order=40,
        level="doubt",
        one="1 class has few pictures",
        many="{n} classes have few pictures",
        meaning="A model can be right most of the time by never naming a rare class: accuracy hides it.",
        fix="add pictures of these classes, and read the figure of each class and not only the accuracy",
    )
)
def imbalance(seen: Seen) -> list[Fault]:
    """Classes with less than a third of the pictures of the largest, and classes with fewer than 20."""
    if len(seen.labels) < 2:
        return []
    largest, most = seen.labels.most_common(1)[0]
    faults = []
    for label, count in sorted(seen.labels.items(), key=lambda pair: (pair[1], pair[0])):
        if count * _RATIO < most or count < _FEW:
            rarer = f", {most / count:.1f} times fewer than {largest}" if count * _RATIO < most else ""
            problem = f"has {count:,} picture{'s' if count != 1 else ''}{rarer}"
            fix = f"add about {max(int(most / _RATIO), _FEW) - count:,} pictures of it"
            told = {"label": label, "n": count, "largest": largest, "n_of_largest": most, "problem": f"{label} {problem}", "fix": fix}
            faults.append(Fault((), f"{label} {problem}", told, fix=fix))
    return faults
