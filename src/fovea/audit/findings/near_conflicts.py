"""The same picture in two versions that carry different labels."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=25,
        level="fault",
        one="1 picture stands there in two versions with different labels",
        many="{n} pictures stand there in two versions with different labels",
        meaning="They were resized, cropped or compressed anew, but show the same. One of the labels is wrong.",
        fix="look at both, and correct or remove the one with the wrong label",
    )
)
def near_conflicts(seen: Seen) -> list[Fault]:
    """Near duplicates under different labels. A cleaned copy keeps them: which of the two is right, a person has to say."""
    faults: list[Fault] = []
    if seen.kind.graded:  # two pictures of one thing may well have numbers that differ a little
        return faults
    for pair in seen.near:
        for a in seen.rows_of.get(pair.first, ()):
            for b in seen.rows_of.get(pair.second, ()):
                labels = [seen.items[row].label for row in (a, b)]
                if labels[0] != labels[1]:
                    paths = [seen.path(a), seen.path(b)]
                    problem = f"is {labels[0]}, and {min(pair.similarity, 0.99):.0%} like {paths[1]}, which is {labels[1]}"
                    told = {"paths": paths, "labels": labels, "similarity": pair.similarity, "mirrored": pair.mirrored}
                    faults.append(Fault((a, b), problem, told))
    return faults
