"""Files that are no pictures."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=95,
        level="note",
        one="1 other file was passed over",
        many="{n} other files were passed over",
        meaning="Their names do not end as those of pictures do, or they stand outside the class folders.",
        fix="nothing, if they are no pictures; else give them the suffix of their format and a class folder",
        cleaned="left out",
    )
)
def ignored(seen: Seen) -> list[Fault]:
    """Names of files and folders that the source passed over."""
    return [Fault((), f"{path} was passed over", path) for path in seen.ignored]
