"""Grey pictures among pictures in colour."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_COLOURLESS = 8  # of 255: what is left of colour when a grey picture went through JPEG
_MOST = 0.2  # of the data: where more are grey, that is their kind


@FINDINGS.add(
    FindingInfo(
        order=80,
        level="note",
        one="1 picture is grey, among pictures in colour",
        many="{n} pictures are grey, among pictures in colour",
        meaning="If they are mostly of one class, a model may learn that grey means that class.",
        fix="nothing, if they are spread over the classes; else take them in colour",
    )
)
def grey(seen: Seen) -> list[Fault]:
    """Pictures without colour, where most have some."""
    found = [row for row in seen.rows if seen.fact(row).colourfulness <= _COLOURLESS]
    if not found or len(found) > _MOST * len(seen.rows):
        return []
    return [Fault((row,), "is grey", {"path": seen.path(row), "problem": "is grey", "label": seen.items[row].label}) for row in found]
