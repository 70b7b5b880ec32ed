"""What kind of target a source has for each picture: one class, any number of labels, or numbers.

An item's `label` is the target as text, spelt in one way, so that tables, hashes and messages need not know its kind. What
differs between kinds is asked of `Source.kind`; what a model makes of it is the task's business (`fovea.tasks`).
"""

import math
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from fovea.errors import DataError
from fovea.files import printable
from fovea.types import Item

# Between the labels, or the numbers, of one picture. Not a blank and not a comma: names have both ("tench, Tinca tinca").
SEPARATOR = ";"
_NUM_BINS = 5  # of numbers, each with as many pictures: a split of 20 still has some of each


class TargetKind(ABC):
    """One kind of target. A subclass is final.

    Args (of the class):
        name: What a task names to say that it learns from this kind (`TaskInfo.kind`).
        one, many: What one of its names is called.
        exclusive: Whether each picture is of exactly one of its classes.
        graded: Whether two targets that differ may yet mean nearly the same.
    """

    name: str
    one: str
    many: str
    exclusive = False
    graded = False

    @abstractmethod
    def spelt(self, label: str) -> str:
        """A target's text, the same for targets that mean the same."""

    @abstractmethod
    def names(self, labels: Iterable[str]) -> tuple[str, ...]:
        """What a model's outputs will be called, sorted: of the targets of all pictures."""

    @abstractmethod
    def classes(self, label: str | None) -> tuple[str, ...]:
        """The classes that a picture with this target is an example of; none where the kind has no classes."""

    def order(self, label: str) -> tuple[object, ...]:
        """What targets are sorted by where they are shown."""
        return (label,)

    def count(self, names: Sequence[str]) -> str:
        """How many there are, in words: "2 classes"."""
        return f"{len(names)} {self.one if len(names) == 1 else self.many}"

    @abstractmethod
    def strata(self, labels: Sequence[str | None]) -> list[tuple[str, ...]]:
        """For each picture what should be spread evenly over splits and folds: its classes, or in which part of the range it lies."""

    @abstractmethod
    def check(self, items: Iterable[Item], *, location: str = "the data") -> None:
        """Whether anything can be learned from these items.

        Raises:
            DataError: It cannot; the message says why.
        """


class Classes(TargetKind):
    """Each picture belongs to exactly one class."""

    name, one, many = "classes", "class", "classes"
    exclusive = True

    def spelt(self, label: str) -> str:
        return class_name(label)

    def names(self, labels: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted(set(labels)))

    def classes(self, label: str | None) -> tuple[str, ...]:
        return () if label is None else (label,)

    def strata(self, labels: Sequence[str | None]) -> list[tuple[str, ...]]:
        return [(label or "",) for label in labels]

    def check(self, items: Iterable[Item], *, location: str = "the data") -> None:
        check_classes(items, location=location)


class Labels(TargetKind):
    """Any number of labels is true of a picture, also none; the text is their names in order, with ";" between them."""

    name, one, many = "labels", "label", "labels"

    def spelt(self, label: str) -> str:
        return SEPARATOR.join(sorted({class_name(part.strip()) for part in label.split(SEPARATOR)} - {""}))

    def names(self, labels: Iterable[str]) -> tuple[str, ...]:
        return tuple(sorted({name for label in labels for name in split_labels(label)}))

    def classes(self, label: str | None) -> tuple[str, ...]:
        return split_labels(label or "")

    def strata(self, labels: Sequence[str | None]) -> list[tuple[str, ...]]:
        return [split_labels(label or "") or ("",) for label in labels]

    def check(self, items: Iterable[Item], *, location: str = "the data") -> None:
        known = [item for item in items if item.label is not None]
        _check_some(len(known), location)
        counts = Counter(name for item in known for name in split_labels(item.label or ""))
        if not counts:
            raise DataError(
                f"{location!r} has no label on any picture",
                got=f"{len(known):,} pictures, all without labels",
                expected=f"names in the column 'labels', with {SEPARATOR!r} between several",
                fix="fill the column in",
            )
        learned = {name for item in known if item.split in (None, "train") for name in split_labels(item.label or "")}
        if missing := sorted(set(counts) - learned):
            raise DataError(
                f"{location!r} has no training pictures with the label {_named(missing)}",
                got=f"{missing[0]!r} in validation or test, and not in train",
                expected="every label of validation and test also in train",
                fix="add pictures with it to train, or remove it from the other splits; check how it is spelt in each",
            )
        if single := sorted(name for name, count in counts.items() if count == 1):
            raise DataError(
                f"{location!r} holds only one picture with the label {_named(single)}",
                got=f"1 picture with {single[0]!r} that can be read",
                expected="at least two pictures with each label: one to learn from, one to check with",
                fix="add pictures with it, or remove the label",
            )
        if constant := sorted(name for name, count in counts.items() if count == len(known)):
            raise DataError(
                f"every picture of {location!r} has the label {_named(constant)}",
                got=f"{len(known):,} pictures, all of them with {constant[0]!r}",
                expected="pictures with it and pictures without it",
                fix="add pictures without it, or remove the label",
            )


class Numbers(TargetKind):
    """Each picture has one or more numbers; the text is the numbers in the order of their names, with ";" between them.

    Args:
        number_names: What the numbers are called, sorted.
    """

    name, one, many = "numbers", "number", "numbers"
    graded = True

    def __init__(self, number_names: Sequence[str] = ("target",)) -> None:
        self.number_names = tuple(number_names)

    def spelt(self, label: str) -> str:
        return SEPARATOR.join(spelt_number(value) for value in read_numbers(label))

    def names(self, labels: Iterable[str]) -> tuple[str, ...]:
        return self.number_names

    def classes(self, label: str | None) -> tuple[str, ...]:
        return ()

    def order(self, label: str) -> tuple[object, ...]:
        return read_numbers(label)

    def count(self, names: Sequence[str]) -> str:
        return f"{super().count(names)} ({', '.join(names)})"

    def strata(self, labels: Sequence[str | None]) -> list[tuple[str, ...]]:
        """Fifths of the first number's range, each with as many pictures, called by their ends."""
        if not labels:
            return []
        values = np.array([read_numbers(label)[0] if label else 0.0 for label in labels])
        bounds = np.unique(np.quantile(values, np.linspace(0, 1, _NUM_BINS + 1)[1:-1], method="lower"))
        places = np.searchsorted(bounds, values, side="left")
        ends = {place: (values[places == place].min(), values[places == place].max()) for place in np.unique(places)}
        span = float(np.ptp(values))
        decimals = max(0, 2 - math.floor(math.log10(span))) if span else 0  # so many that the ends of two parts differ
        return [(f"{ends[place][0]:.{decimals}f} to {ends[place][1]:.{decimals}f}",) for place in places]

    def check(self, items: Iterable[Item], *, location: str = "the data") -> None:
        known = [item for item in items if item.label is not None]
        _check_some(len(known), location)
        learned = [read_numbers(item.label or "") for item in known if item.split in (None, "train")]
        if not learned:
            raise DataError(
                f"{location!r} has no training pictures",
                got="pictures of other splits only",
                expected="pictures to learn from",
                fix="put most rows into the split train",
            )
        for name, values in zip(self.number_names, zip(*learned, strict=True), strict=True):
            if len(set(values)) == 1:
                raise DataError(
                    f"all training pictures of {location!r} have the same {name!r}",
                    got=f"{spelt_number(values[0])} on {len(values):,} picture{'s' if len(values) > 1 else ''}",
                    expected="numbers that differ: there is nothing to learn otherwise",
                    fix="add pictures with other numbers, or remove the column",
                )


CLASSES = Classes()


def class_name(label: str) -> str:
    """A class's name as bundles, tables and messages can hold it, the same for data from any system.

    macOS may write one accent as two characters where others write one; bytes that are not UTF-8 cannot be written as text.
    """
    return unicodedata.normalize("NFC", printable(label))


def check_classes(items: Iterable[Item], *, location: str = "the data") -> None:
    """Whether a classifier can be learned from these items at all; items without a label are not looked at.

    Raises:
        DataError: There is no picture, only one class, a class with one picture, or a class that stands in validation
            or test but not in train.
    """
    counts: Counter[str] = Counter()
    inner: set[str] = set()  # folders within class folders: looked at only where there is one class
    learned: set[str] = set()
    only_measured: dict[str, str] = {}
    for item in items:
        if item.label is None:
            continue
        counts[item.label] += 1
        if len(counts) == 1:
            inner.update(item.path.partition(f"{item.label}/")[2].split("/")[:-1][:1])
        if item.split in ("validation", "test"):
            only_measured.setdefault(item.label, item.split)
        else:
            learned.add(item.label)
    if not counts:
        raise DataError(
            f"{location!r} holds no pictures",
            got="0 pictures that can be read",
            expected="a folder of class folders, each with pictures",
            fix="check the path; pictures are found by their suffix (.jpg, .png, ...)",
        )
    if len(counts) == 1:
        (name,) = counts
        raise DataError(
            f"{location!r} holds one class only: {name!r}",
            got=f"{counts[name]} pictures, all of {name!r}",
            expected="at least two classes",
            fix=f"if the classes are {_named(sorted(inner))}, pass the folder {name!r} that holds them"
            if len(inner) > 1
            else "add a folder with pictures of something else, if need be of 'other'",
        )
    if missing := sorted(set(only_measured) - learned):
        raise DataError(
            f"{location!r} has no training pictures of {_named(missing)}",
            got=f"{missing[0]!r} in {only_measured[missing[0]]}, and not in train",
            expected="every class of validation and test also in train",
            fix="add pictures of it to train, or remove it from the other splits; check how the class is spelt in each",
        )
    if single := sorted(name for name, count in counts.items() if count == 1):
        raise DataError(
            f"{location!r} holds only one picture of {_named(single)}",
            got=f"1 picture of {single[0]!r} that can be read",
            expected="at least two pictures of each class: one to learn from, one to check with",
            fix="add pictures of it, or remove the class",
        )


def _named(names: Sequence[str], *, most: int = 5) -> str:
    more = f" and {len(names) - most} more classes" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def split_labels(label: str) -> tuple[str, ...]:
    """The names in a text of labels: "red;round" gives ("red", "round"), and "" gives ()."""
    return tuple(label.split(SEPARATOR)) if label else ()


def read_numbers(label: str) -> tuple[float, ...]:
    """The numbers in a text: "3.5;-2" gives (3.5, -2.0).

    Raises:
        ValueError: A part is no number.
    """
    return tuple(float(part) for part in label.split(SEPARATOR))


def spelt_number(value: float) -> str:
    """A number as text that reads back as the same number, without a ".0" behind it."""
    return repr(value).removesuffix(".0")


def _check_some(number: int, location: str) -> None:
    if number < 2:
        raise DataError(
            f"{location!r} holds {'no pictures' if not number else 'one picture only'}",
            got=f"{number} pictures that can be read",
            expected="at least two pictures with their targets",
            fix="check the paths in the table",
        )
