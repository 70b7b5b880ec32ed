"""Pictures that are stored lying or upside down, with a note that says how to turn them."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen

_TURN = {
    2: "mirrored",
    3: "upside down",
    4: "upside down and mirrored",
    5: "lying and mirrored",
    6: "lying",
    7: "lying and mirrored",
    8: "lying",
}


@FINDINGS.add(
    FindingInfo(
        order=85,
        level="note",
        one="1 picture is turned by its EXIF note only",
        many="{n} pictures are turned by their EXIF notes only",
        meaning="Fovea turns them the right way up. Tools that do not read the note see them lying.",
        fix="nothing for Fovea; save them upright if other tools use them",
    )
)
def rotated(seen: Seen) -> list[Fault]:
    """Pictures whose EXIF orientation is another than 1."""
    faults = []
    for row in seen.rows:
        orientation = seen.fact(row).orientation
        if orientation != 1:
            problem = f"is stored {_TURN.get(orientation, 'turned')} (EXIF orientation {orientation})"
            faults.append(Fault((row,), problem, {"path": seen.path(row), "orientation": orientation, "problem": problem}))
    return faults
