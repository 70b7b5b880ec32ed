"""The same scene is not the same picture: what a fixed camera took is alike, and shows something else each time.

Pictures alone cannot tell a small animal before a known background from a photo that was compressed anew. Their labels can:
versions of one picture nearly always carry one label, and pictures of one place carry different ones as often as any others.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

from fovea.audit.near import Pair, families

_FEWEST = 6  # contents: with fewer, one wrong label would weigh too much
_SHARE_OF_CHANCE = 0.5  # of the pairs that would carry different labels if likeness said nothing about them
_MOST = 0.5  # of all contents: then to be alike is what these pictures have in common (forms of one template, one studio)


def without_scenes(pairs: Sequence[Pair], labels: Mapping[str, str | None]) -> tuple[list[Pair], list[list[str]]]:
    """The pairs that show the same picture, and the families that only show the same place.

    Args:
        pairs: Near duplicates.
        labels: Of each content.
    """
    counts = Counter(labels.values())
    by_chance = 1 - sum(count**2 for count in counts.values()) / max(1, len(labels)) ** 2
    found = families(pairs)
    family_of = {content: number for number, family in enumerate(found) for content in family}
    num_pairs, num_unlike = Counter[int](), Counter[int]()
    for pair in pairs:
        number = family_of[pair.first]
        num_pairs[number] += 1
        num_unlike[number] += labels.get(pair.first) != labels.get(pair.second)
    scenes = {
        number
        for number, family in enumerate(found)
        if len(family) >= _FEWEST
        and (len(family) > _MOST * len(labels) or 0 < by_chance * _SHARE_OF_CHANCE <= num_unlike[number] / num_pairs[number])
    }
    return [pair for pair in pairs if family_of[pair.first] not in scenes], [found[number] for number in sorted(scenes)]
