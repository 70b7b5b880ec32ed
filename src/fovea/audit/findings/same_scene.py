"""Places that return in many pictures, under different labels: a fixed camera, a studio, a scanner's frame."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_SHOWN = 8


@FINDINGS.add(
    FindingInfo(
        order=42,
        level="doubt",
        one="1 scene returns in many pictures, under different labels",
        many="{n} scenes return in many pictures, under different labels",
        meaning="They are alike but for a small part, as a fixed camera takes them, and count as different pictures. "
        "If a scene stands in train and in test, the figures hold for this scene, and not for a new place.",
        fix="keep each camera or place in one split: `--split-by` with what names it in the path, or a CSV with a column group",
    )
)
def same_scene(seen: Seen) -> list[Fault]:
    """Families of near duplicates whose labels differ as often as any: the largest first."""
    faults = []
    for family in seen.scenes:
        rows = sorted(row for content in family for row in seen.rows_of.get(content, ()))
        if rows:
            problem = f"and {len(rows) - 1:,} others show one scene"
            told = {"path": seen.path(rows[0]), "problem": problem, "n": len(rows), "examples": [seen.path(row) for row in rows[:_SHOWN]]}
            faults.append(Fault(tuple(rows), problem, told))
    return sorted(faults, key=lambda fault: (-len(fault.rows), fault.rows))
