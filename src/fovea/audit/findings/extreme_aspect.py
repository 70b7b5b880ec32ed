"""Pictures that are far longer than wide, or wider than long."""

from statistics import median

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_LONGEST = 3.0  # a panorama; stretched to a square, its content is no longer seen as it is


@FINDINGS.add(
    FindingInfo(
        order=75,
        level="note",
        one="1 picture is very long or very wide",
        many="{n} pictures are very long or very wide",
        meaning="A model sees squares: what is stretched or cropped to one looks like nothing else in the data.",
        fix="crop them to what they show, or remove banners and panoramas",
    )
)
def extreme_aspect(seen: Seen) -> list[Fault]:
    """Pictures of which one side is more than three times the other, and more than twice what is usual in these data."""
    ratios = {row: max(f.width_px / f.height_px, f.height_px / f.width_px) for row in seen.rows if (f := seen.fact(row))}
    limit = max(_LONGEST, 2 * median(ratios.values())) if ratios else _LONGEST
    faults = []
    for row, ratio in ratios.items():
        if ratio > limit:
            fact = seen.fact(row)
            problem = f"has {fact.width_px} x {fact.height_px} px: one side is {ratio:.1f} times the other"
            faults.append(Fault((row,), problem, {"path": seen.path(row), "ratio": round(ratio, 2), "problem": problem}))
    return faults
