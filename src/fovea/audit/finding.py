"""What every kind of finding is: a function that looks at what was seen of the data, and gives the faults that it finds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from fovea.audit.near import Pair
from fovea.data.kinds import CLASSES, TargetKind
from fovea.errors import UnreadableImage
from fovea.registry import Registry
from fovea.types import Item, PictureFacts

Level = Literal["fault", "doubt", "note"]
LEVELS: dict[Level, str] = {"fault": "must be mended", "doubt": "should be looked at", "note": "good to know"}


@dataclass(frozen=True)
class Suspect:
    """A picture whose label is likely wrong.

    Args:
        row: Its number in the data.
        suggested: The class that it looks like.
        probability: Of that class, by judges that have not seen this picture.
        own_probability: Of the class that it is labelled as.
    """

    row: int
    suggested: str
    probability: float
    own_probability: float


@dataclass(frozen=True)
class Seen:
    """All that is known of the data once every picture has been looked at. Row i of everything is picture i.

    Args:
        items: Each with its split, or None where there is none.
        hashes: Content hashes; "" where a file could not be read.
        problems: Pictures that cannot be read, or not to their end.
        facts: Of the others, by content hash.
        ignored: Files that are no pictures.
        near: Contents that show the same picture.
        scenes: Contents that show the same place, in one list for each.
        suspects: Pictures whose label is likely wrong; None where nobody asked.
        kind: What the items' labels are.
    """

    items: Sequence[Item]
    hashes: Sequence[str]
    problems: Mapping[int, UnreadableImage]
    facts: Mapping[str, PictureFacts]
    ignored: Sequence[str] = ()
    near: Sequence[Pair] = ()
    scenes: Sequence[Sequence[str]] = ()
    suspects: Sequence[Suspect] | None = None
    kind: TargetKind = CLASSES

    @cached_property
    def rows(self) -> list[int]:
        """The pictures that can be read."""
        return [row for row, content in enumerate(self.hashes) if row not in self.problems and content in self.facts]

    @cached_property
    def rows_of(self) -> dict[str, list[int]]:
        """The pictures of each content, in the order of the data."""
        found: dict[str, list[int]] = defaultdict(list)
        for row in self.rows:
            found[self.hashes[row]].append(row)
        return found

    @cached_property
    def labels(self) -> Counter[str]:
        """Pictures that can be read by class, or by label where they may have several."""
        return Counter(name for row in self.rows for name in self.kind.classes(self.items[row].label))

    def fact(self, row: int) -> PictureFacts:
        return self.facts[self.hashes[row]]

    def path(self, row: int) -> str:
        return self.items[row].path


@dataclass(frozen=True)
class Fault:
    """One fault.

    Args:
        rows: The pictures that it is about, first the one to act on.
        problem: What is wrong, as the end of "PATH ...".
        json: What audit.json says of it: any JSON value.
        fix: What to do about it, where that is not the same for all faults of its kind.
        remove: Rows that a cleaned copy leaves out because of it.
    """

    rows: tuple[int, ...]
    problem: str
    json: object
    fix: str = ""
    remove: tuple[int, ...] = ()


@dataclass(frozen=True)
class FindingInfo:
    """What a kind of finding states of itself.

    Args:
        order: The gravest have the lowest.
        level: How grave it is.
        one, many: The headline for one fault, and with {n} for several.
        meaning: Why it matters, in a sentence or two.
        fix: What to do about all of them.
        cleaned: What a cleaned copy does about it; "" for nothing.
    """

    order: int
    level: Level
    one: str
    many: str
    meaning: str
    fix: str
    cleaned: str = ""


@dataclass(frozen=True)
class Finding:
    """All faults of one kind."""

    kind: str
    info: FindingInfo
    faults: Sequence[Fault] = field(default_factory=tuple)

    @property
    def headline(self) -> str:
        return self.info.one if len(self.faults) == 1 else self.info.many.format(n=f"{len(self.faults):,}")


# A finding is a function (seen: Seen) -> list[Fault]; its name is its key in audit.json.
FINDINGS: Registry[FindingInfo] = Registry("finding", "fovea.audit.findings")
Finder = Callable[[Seen], list[Fault]]
