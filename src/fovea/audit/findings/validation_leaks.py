"""Validation pictures that test holds too."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen
from fovea.audit.findings._sides import on_both_sides


@FINDINGS.add(
    FindingInfo(
        order=18,
        level="doubt",
        one="1 validation picture stands in test too",
        many="{n} validation pictures stand in test too",
        meaning="Settings are chosen with what is measured at the end. That flatters less than learning from it, but it does.",
        fix="remove the validation picture",
    )
)
def validation_leaks(seen: Seen) -> list[Fault]:
    """Leakage from validation into test."""
    return on_both_sides(seen, of="validation", into=("test",))
