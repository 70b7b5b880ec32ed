"""The same picture in several versions, in one split or where there are none; those in two splits are leaks."""

from collections import Counter

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen
from fovea.audit.near import families


@FINDINGS.add(
    FindingInfo(
        order=55,
        level="doubt",
        one="1 picture stands there in several versions",
        many="{n} pictures stand there in several versions",
        meaning="They were resized, cropped, mirrored or compressed anew. Fovea keeps the versions on one side of the splits that it makes.",
        fix="keep the best version of each",
    )
)
def near_duplicates(seen: Seen) -> list[Fault]:
    """Each family of near duplicates. Versions may be meant (augmented beforehand), so a cleaned copy keeps them."""
    likest: dict[str, float] = {}
    mirrored: set[str] = set()
    for pair in seen.near:
        for content in (pair.first, pair.second):
            likest[content] = max(likest.get(content, 0.0), pair.similarity)
            if pair.mirrored:
                mirrored.add(content)
    faults = []
    for family in families(seen.near):
        in_split = Counter(seen.items[seen.rows_of[content][0]].split for content in family if content in seen.rows_of)
        if max(in_split.values(), default=0) < 2:
            continue
        rows = sorted(row for content in family for row in seen.rows_of.get(content, ()))
        paths = [seen.path(row) for row in rows]
        least = min(likest[content] for content in family)
        turned = any(content in mirrored for content in family)
        more = f" and {len(paths) - 2:,} more" if len(paths) > 2 else ""
        problem = f"is {min(least, 0.99):.0%} like {paths[1]}{', mirrored' if turned else ''}{more}"
        faults.append(Fault(tuple(rows), problem, {"paths": paths, "similarity": least, "mirrored": turned}))
    return sorted(faults, key=lambda fault: fault.rows)
