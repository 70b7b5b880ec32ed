"""Files that cannot be read, or not to their end."""

from fovea.audit.finding import FINDINGS, Fault, FindingInfo, Seen


@FINDINGS.add(
    FindingInfo(
        order=10,
        level="fault",
        one="1 file cannot be read",
        many="{n} files cannot be read",
        meaning="Every picture was decoded to its end. Training leaves these out and never puts another in their place.",
        fix="copy or download them again from where they came, or remove them",
        cleaned="left out",
    )
)
def unreadable(seen: Seen) -> list[Fault]:
    """Broken, missing and forbidden files, each with its own way to mend it."""
    faults = []
    for row in sorted(seen.problems):
        path, error = seen.path(row), seen.problems[row]
        said = error.problem.removeprefix(repr(path)).strip()
        faults.append(Fault((row,), said, {"path": path, "problem": error.problem, "fix": error.fix}, fix=error.fix, remove=(row,)))
    return faults
