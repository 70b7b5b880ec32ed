"""Pictures of the pairs of classes that are confused most, side by side: what the matrix counts, to look at."""

from collections import defaultdict
from dataclasses import dataclass

from fovea.report.data import Mistake, ReportData
from fovea.report.measured import Measured, Pair, confused_pairs
from fovea.report.pictures import Embedded, embed

MOST_PAIRS, MOST_EACH = 6, 4


@dataclass(frozen=True)
class Group:
    """One pair with some of its pictures, (image, path) each."""

    pair: Pair
    pictures: tuple[tuple[Embedded, str], ...]


def confused_groups(data: ReportData, result: Measured) -> list[Group]:
    """The pairs confused most often that there are pictures of, commonest first."""
    of: dict[tuple[str, str], list[Mistake]] = defaultdict(list)
    for mistake in data.confused:
        of[mistake.true, mistake.predicted].append(mistake)
    groups = []
    for pair in confused_pairs(result, most=MOST_PAIRS):
        pictures = tuple((embed(m.pixels), m.path) for m in of[pair.true, pair.predicted][:MOST_EACH] if m.pixels is not None)
        if pictures:
            groups.append(Group(pair, pictures))
    return groups
