"""Pictures that show next to nothing."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_SPREAD = 6.0  # of 255, root mean square; the flattest of 4,000 photos of cats and dogs has 12


@FINDINGS.add(
    FindingInfo(
        order=60,
        level="doubt",
        one="1 picture is almost one colour",
        many="{n} pictures are almost one colour",
        meaning="A lens cap, an empty page, a picture that failed to load: it teaches that an empty picture is of its class.",
        fix="look at them, and remove those that show nothing",
    )
)
def one_colour(seen: Seen) -> list[Fault]:
    """Pictures whose colours hardly differ."""
    return [
        Fault(
            (row,), "is almost one colour", {"path": seen.path(row), "colour_spread": fact.colour_spread, "problem": "is almost one colour"}
        )
        for row in seen.rows
        if (fact := seen.fact(row)).colour_spread < _SPREAD
    ]
