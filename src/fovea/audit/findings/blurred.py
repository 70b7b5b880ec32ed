"""Pictures without a sharp edge."""

from statistics import median

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

# Of 4,000 photos of cats and dogs the least sharp has 0.99 and the middle one 2.4; blurred by 1.5 % of their side, 95 % of them
# fall below 0.72. In data that are soft by nature only what is far below the usual counts.
_BLURRED, _SHARE_OF_USUAL = 0.7, 0.45
_SMALLEST_PX = 32  # below it every edge is a pixel wide
_FLAT = 6.0  # colour spread below which there is no edge to judge


@FINDINGS.add(
    FindingInfo(
        order=65,
        level="doubt",
        one="1 picture is very blurred",
        many="{n} pictures are very blurred",
        meaning="Not even at the size that a model sees do they have a sharp edge.",
        fix="remove them, unless the model is to meet such pictures too",
    )
)
def blurred(seen: Seen) -> list[Fault]:
    """Pictures whose sharpest edges are soft."""
    judged = {
        row: fact.sharpness
        for row in seen.rows
        if min((fact := seen.fact(row)).width_px, fact.height_px) >= _SMALLEST_PX and fact.colour_spread >= _FLAT
    }
    limit = min(_BLURRED, _SHARE_OF_USUAL * median(judged.values())) if judged else 0.0
    return [
        Fault((row,), "is very blurred", {"path": seen.path(row), "sharpness": sharpness, "problem": "is very blurred"})
        for row, sharpness in judged.items()
        if sharpness < limit
    ]
