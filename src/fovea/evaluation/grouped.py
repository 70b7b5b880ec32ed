"""How many independent pictures a share of right answers rests on, where pictures of one group (a patient, a place) hang together."""

from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.metrics.intervals import student, wilson
from fovea.types import Ints

CAUTION = (
    "pictures of one group hang together, and these figures' intervals and tests take them for independent: they are surer than they may be"
)
_NORMAL = 1.96  # the normal quantile that Wilson's interval is made with


def independent(right: npt.NDArray[np.bool_], groups: Ints) -> float:
    """So many independent pictures have an interval as wide: at most N, and N where each picture is a group of its own.

    N over the design effect, by which the groups' ratio variance is larger than that of independent pictures (Rao and Scott 1992,
    "A simple method for the analysis of clustered binary data", doi:10.2307/2532311), and for few groups over the square by which Student's
    quantile is larger than the normal one. Where all answers are right, or none is, nothing shows how pictures hang together: those of one
    group count as one (Kish 1965, "Survey sampling", section 8.2).

    Args:
        right: (N,) whether each picture was answered rightly; N at least 1.
        groups: (N,) a number for each, the same for those of one group.
    """
    _, numbers, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n, num_groups, share = len(right), len(sizes), float(right.mean())
    if num_groups == n:
        return float(n)
    as_one = float((sizes.astype(np.float64) ** 2).sum() / n)
    if num_groups == 1:
        return n / as_one
    apart = np.bincount(numbers, weights=right) - sizes * share
    varied = 0 < share < 1
    wider = num_groups / (num_groups - 1) * float(np.square(apart).sum()) / (n * share * (1 - share)) if varied else as_one
    few = max(1.0, student(num_groups - 1) / _NORMAL) ** 2 if varied else 1.0
    return n / (max(1.0, wider) * few)


def by_groups(found: dict[str, Any], right: npt.NDArray[np.bool_], groups: Ints) -> dict[str, Any]:
    """A classifier's measures of one split, the accuracy's interval as wide as its groups make it, and what it counts under `counted_as`.

    Args:
        found: As the task measured them, all pictures for themselves.
        right, groups: As for `independent`.
    """
    if len(np.unique(groups)) == len(groups):
        return found
    counted = independent(right, groups)
    return found | {"accuracy_ci95": list(wilson(float(right.mean()) * counted, counted)), "counted_as": round(counted, 1)}


def caution(found: dict[str, Any] | None, split: str) -> list[str]:
    """What must be known of a split's intervals, as a note; none where each picture stands for itself."""
    if not found or "counted_as" not in found:
        return []
    return [
        f"some of the {found['n']:,} {split} pictures belong to one group: the interval of the accuracy counts them as {found['counted_as']:.0f} independent ones; "
        "intervals of the other figures take each for itself, and are narrower than they should be"
    ]
