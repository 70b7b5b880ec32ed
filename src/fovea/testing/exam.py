"""What the exams share."""


class ExamFailed(AssertionError):
    """A fact that an entry states of itself is not true; the message says which."""


def require(true: bool, entry: str, fact: str) -> None:
    """Raises `ExamFailed` where a fact does not hold.

    Args:
        true: Whether it does.
        entry: Whose fact, for example "backbone resnet18".
        fact: What was stated and what was found.
    """
    if not true:
        raise ExamFailed(f"{entry}: {fact}")
