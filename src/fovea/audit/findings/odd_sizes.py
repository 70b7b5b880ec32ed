"""Pictures that are far smaller or larger than most."""

from statistics import median

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_FACTOR = 3.0  # from the usual side, either way
_MOST = 0.05  # of the data: what more have is not odd
_TINY_PX = 32


@FINDINGS.add(
    FindingInfo(
        order=70,
        level="note",
        one="1 picture has an odd size",
        many="{n} pictures have odd sizes",
        meaning="They are three times smaller or larger than most: often thumbnails, icons or scans that came in by mistake.",
        fix="look whether they belong to the data",
    )
)
def odd_sizes(seen: Seen) -> list[Fault]:
    """Pictures whose side (the root of their area) is a third, or three times, of the usual one; and tiny ones among larger."""
    sides = {row: (seen.fact(row).width_px * seen.fact(row).height_px) ** 0.5 for row in seen.rows}
    if not sides:
        return []
    usual = median(sides.values())
    odd = [row for row, side in sides.items() if side * _FACTOR < usual or side > usual * _FACTOR or side < _TINY_PX <= usual / 2]
    faults = []
    for row in odd if len(odd) <= max(1, _MOST * len(sides)) else ():
        fact = seen.fact(row)
        problem = f"has {fact.width_px} x {fact.height_px} px, where about {usual:.0f} px a side are usual"
        faults.append(
            Fault((row,), problem, {"path": seen.path(row), "width_px": fact.width_px, "height_px": fact.height_px, "problem": problem})
        )
    return faults
