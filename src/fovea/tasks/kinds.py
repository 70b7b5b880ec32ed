"""Whether data have the kind of target that a task takes."""

from collections.abc import Sequence

from fovea.data import Source
from fovea.errors import DataError
from fovea.tasks.task import TASKS


def check_kind(task: str, class_names: Sequence[str], source: Source) -> None:
    """Whether a trained task can be measured on these data.

    Args:
        task: Its name.
        class_names: What its answers are called.
        source: The data.

    Raises:
        DataError: Their targets are of another kind, or numbers of other names.
    """
    info, kind = TASKS[task].info, source.kind
    if info.kind not in ("", kind.name):
        raise DataError(
            f"the model learned from {info.kind}, and {source.location!r} has {kind.name}",
            got=kind.name,
            expected=f"{info.targets}",
            fix="give a CSV with the columns that the model was trained from",
        )
    if kind.graded and tuple(source.class_names) != tuple(class_names):
        raise DataError(
            f"{source.location!r} has other numbers than the model gives",
            got=", ".join(source.class_names),
            expected=", ".join(class_names),
            fix="call the columns " + ", ".join(f"target:{name}" for name in class_names),
        )
