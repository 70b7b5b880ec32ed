"""Training pictures that validation or test hold too."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen
from fovea.audit.findings._sides import on_both_sides


@FINDINGS.add(
    FindingInfo(
        order=15,
        level="fault",
        one="1 training picture stands in validation or test too",
        many="{n} training pictures stand in validation or test too",
        meaning="Where such a picture is learned from, it is measured again, and the figure flatters. Versions that were resized, cropped, mirrored or "
        "compressed anew count too.",
        fix="remove the training picture; `fovea train` leaves it out by itself (unless --keep-leaks)",
        cleaned="taken out of train, never out of test",
    )
)
def leaks(seen: Seen) -> list[Fault]:
    """Leakage from train into validation and test."""
    return on_both_sides(seen, of="train", into=("validation", "test"))
