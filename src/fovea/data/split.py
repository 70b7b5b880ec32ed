"""Which pictures teach, which steer, and which are kept for the one honest measurement at the end.

From 200 pictures on, a picture's side follows from a hash of its content (or its group's name) alone: adding pictures moves
no old one, and no seed can be tried until the test split is a lucky one. The price is that shares fall where they may.
They are corrected only where they miss by more than 3 points or a class is missing from a split, by moving as few pictures
as that takes, those whose hash is nearest to the boundary. Such a correction can move an old picture when others are added:
without groups, shares need one in 49 % of data sets of 200 pictures, 19 % of 500, 5 % of 1,000, 0.3 % of 2,000 and none of
3,000 (4,000 simulated draws of each size). So can a new version of an old picture, since both must stand on one side.

Below 200, chance is too coarse, and pictures are dealt out exactly, class by class, in an order drawn by the seed.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fovea.errors import InputError
from fovea.files import hash_bytes
from fovea.types import SPLITS, Item, Split

SHARES = {"train": 0.70, "validation": 0.15, "test": 0.15}
TOLERANCE = 0.03
SMALL = 200  # below this many pictures, splits are stratified exactly


class _Unit(NamedTuple):
    """Pictures that stay together: of one group, or of the same content."""

    members: list[int]
    labels: tuple[tuple[str, int], ...]  # class name (or another stratum) and number of pictures
    key: str


def assign_splits(
    items: Sequence[Item],
    content_hashes: Sequence[str],
    *,
    seed: int,
    together: Sequence[Sequence[int]] = (),
    strata: Sequence[Sequence[str]] | None = None,
) -> list[Split]:
    """The split of each item: 70 / 15 / 15 % train / validation / test, whatever the order of the items.

    Items that the data itself puts into splits stay there. Where it names train but no validation, 15/85 of train becomes
    validation; where it names no test, there is none. Groups and exact duplicates are never divided (save between splits
    that the data itself names), even where a large group makes the shares impossible. Each class has a picture in each
    split, where it has at least three that may be divided; that comes before the shares.

    Args:
        items: Readable pictures.
        content_hashes: Of each item's file.
        seed: Deals out data of fewer than 200 pictures; larger data do not depend on it.
        together: Places in `items` of pictures that are never divided either, for example near duplicates.
        strata: What is spread evenly in place of classes, for each item one or several names (`TargetKind.strata`).

    Raises:
        InputError: The two lists differ in length.
    """
    _check_hashes(items, content_hashes)
    strata = _one_each(items) if strata is None else strata
    splits: list[Split] = [item.split or "train" for item in items]
    given = {item.split for item in items} - {None}
    if given and ("validation" in given or "train" not in given):
        return splits
    names = SPLITS if not given else ("train", "validation")
    shares = np.array([SHARES[name] for name in names])
    pool = [index for index, item in enumerate(items) if item.split in (None, "train")]
    place = {index: number for number, index in enumerate(pool)}
    linked = [[place[index] for index in links if index in place] for links in together]
    units = _units([items[i] for i in pool], [content_hashes[i] for i in pool], linked, [strata[i] for i in pool])
    plan = _Plan(units, names, shares / shares.sum())
    if len(pool) < SMALL:
        plan.deal(seed)
    else:
        plan.cut([_position(unit.key) for unit in plan.units])
    for unit, side in zip(plan.units, plan.sides, strict=True):
        for member in unit.members:
            splits[pool[member]] = names[side]
    return splits


def assign_folds(
    items: Sequence[Item],
    content_hashes: Sequence[str],
    *,
    num_folds: int,
    seed: int,
    together: Sequence[Sequence[int]] = (),
    strata: Sequence[Sequence[str]] | None = None,
) -> list[int]:
    """The fold of each item, 0 to num_folds - 1, for cross-validation: stratified by class, groups and equal files undivided.

    Where no pictures belong together, the counts of each class differ by at most 1 between folds. The order of the items
    changes nothing.

    Args:
        items: Readable pictures.
        content_hashes: Of each item's file.
        num_folds: How many.
        seed: Another seed deals them out otherwise.
        together: Places in `items` of pictures that are never divided either, for example near duplicates.
        strata: As in `assign_splits`.

    Raises:
        InputError: There are fewer than two folds, or more folds than pictures that may be divided.
    """
    _check_hashes(items, content_hashes)
    strata = _one_each(items) if strata is None else strata
    units = _units(items, content_hashes, together, strata)
    if not 2 <= num_folds <= len(units):
        raise InputError(
            f"{len(items):,} pictures cannot be dealt out to {num_folds:,} folds",
            got=f"{num_folds:,} folds and {len(units):,} groups of pictures that belong together",
            expected=f"2 to {len(units):,} folds" if len(units) > 1 else "at least two pictures that do not belong together",
            fix="ask for 5 folds, or fewer where there are few pictures",
        )
    totals = Counter(name for names in strata for name in names)
    in_fold: list[Counter[str]] = [Counter() for _ in range(num_folds)]
    sizes, folds = [0] * num_folds, [0] * len(items)
    for unit in sorted(units, key=lambda unit: (-len(unit.members), unit.labels[0][0], _position(str(seed), unit.key))):
        # to where its classes are rarest; of several such folds to the smallest
        side = min(range(num_folds), key=lambda s: (sum(n * in_fold[s][label] / totals[label] for label, n in unit.labels), sizes[s], s))
        in_fold[side].update(dict(unit.labels))
        sizes[side] += len(unit.members)
        for member in unit.members:
            folds[member] = side
    return folds


def number_groups(items: Sequence[Item], content_hashes: Sequence[str], *, together: Sequence[Sequence[int]] = ()) -> list[int]:
    """A number for each item, the same for those that are never divided: of one group, of equal content, or in `together`.

    Args:
        items: Readable pictures.
        content_hashes: Of each item's file.
        together: Places in `items`, as in `assign_splits`.
    """
    _check_hashes(items, content_hashes)
    numbers = [0] * len(items)
    for number, unit in enumerate(_units(items, content_hashes, together, _one_each(items))):
        for member in unit.members:
            numbers[member] = number
    return numbers


def group_by_path(items: Sequence[Item], pattern: str) -> list[Item]:
    r"""The items, each with the group that a regular expression finds in its path; where it finds none, with no group.

    A group is a patient, a camera, a burst: pictures that look alike for another reason than their class, and that must not
    stand on both sides of a split. Groups that the data itself names are replaced.

    Args:
        items: Pictures.
        pattern: Its first capturing group is the name of the group: r"patient(\d+)".

    Raises:
        InputError: It is no regular expression, has no capturing group, or fits no path.
    """
    fix = r"put parentheses around what names the group, as in --split-by 'patient(\d+)'"
    try:
        found = re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"--split-by {pattern!r} is no regular expression: {error}", got=str(error), expected="a regular expression", fix=fix
        ) from error
    if found.groups < 1:
        raise InputError(
            f"--split-by {pattern!r} does not say which part of a path names the group",
            got="no capturing group",
            expected="one pair of parentheses at least",
            fix=fix,
        )
    groups = [match[1] or None if (match := found.search(item.path)) else None for item in items]
    if items and not any(groups):
        raise InputError(
            f"--split-by {pattern!r} fits none of the {len(items):,} paths",
            got=f"paths such as {items[0].path!r}",
            expected="a group in some of them",
            fix="correct the expression: it is searched for anywhere in the path, and upper and lower case differ",
        )
    return [replace(item, group=group) for item, group in zip(items, groups, strict=True)]


def _check_hashes(items: Sequence[Item], content_hashes: Sequence[str]) -> None:
    if len(items) != len(content_hashes):
        raise InputError(
            "every item needs its content hash",
            got=f"{len(items)} items and {len(content_hashes)} hashes",
            expected="as many",
            fix="pass one hash for each item",
        )


def _one_each(items: Sequence[Item]) -> list[tuple[str, ...]]:
    """Each item's class as its only stratum."""
    return [(item.label or "",) for item in items]


def _units(
    items: Sequence[Item], content_hashes: Sequence[str], together: Sequence[Sequence[int]], strata: Sequence[Sequence[str]]
) -> list[_Unit]:
    """What must stay together: everything that is linked by a group, by equal content or by `together`, through any number of steps."""
    parent = list(range(len(items)))
    first: dict[tuple[str, str], int] = {}

    def root(index: int) -> int:
        while parent[index] != index:
            parent[index] = index = parent[parent[index]]
        return index

    for index, (item, content) in enumerate(zip(items, content_hashes, strict=True)):
        for key in (("content", content), *((("group", item.group),) if item.group is not None else ())):
            if (other := first.setdefault(key, index)) != index:
                parent[root(index)] = root(other)
    for links in together:
        for index in links[1:]:
            parent[root(index)] = root(links[0])
    families: dict[int, list[int]] = {}
    for index in range(len(items)):
        families.setdefault(root(index), []).append(index)
    units = []
    for members in families.values():
        counts = Counter(name for i in members for name in strata[i])
        groups = [group for i in members if (group := items[i].group) is not None]
        key = "group " + min(groups) if groups else "content " + min(content_hashes[i] for i in members)
        units.append(_Unit(members, tuple(sorted(counts.items())), key))
    return sorted(units, key=lambda unit: unit.key)


def _position(*key: str) -> float:
    """Where a unit stands between 0 and 1, evenly and for ever: the first 52 bits of its key's hash."""
    return float(int(hash_bytes("split", *key)[:13], 16) / 16**13)


class _Plan:
    """Units on their sides. A side is a number: the place of its split in `names`."""

    def __init__(self, units: list[_Unit], names: Sequence[Split], shares: npt.NDArray[np.float64]) -> None:
        self.units, self.shares = units, shares
        self.weights = [len(unit.members) for unit in units]
        self.sides = [0] * len(units)
        self.positions = np.zeros(len(units))
        self.bounds = [0.0, *np.cumsum(shares)[:-1], 1.0]  # side s holds the positions from bounds[s] to bounds[s + 1]
        self.in_class: Counter[str] = Counter()  # units
        self.counts: dict[str, list[int]] = {}  # pictures of each class on each side
        for unit in units:
            for label, _ in unit.labels:
                self.in_class[label] += 1
                self.counts.setdefault(label, [0] * len(shares))
        self.needed = {label: self._needs(label) for label in self.in_class}
        self.totals = np.zeros(len(shares))

    def cut(self, positions: Sequence[float]) -> None:
        """Every unit to the side that its position falls on; then the smallest correction."""
        self.positions = np.array(positions)
        self._fill(np.searchsorted(self.bounds[1:-1], self.positions, side="right").tolist())
        self._cover()
        self._balance()

    def deal(self, seed: int) -> None:
        """Every class dealt out by its quotas, in an order drawn by `seed`; large groups first, since they fit in fewest places."""
        self.positions = np.array([_position(str(seed), unit.key) for unit in self.units])
        left = self._quotas()
        sides = [0] * len(self.units)
        for index in sorted(range(len(self.units)), key=lambda i: (-self.weights[i], self.positions[i])):
            labels = self.units[index].labels
            fit = [
                (sum(min(n, left[label][s]) for label, n in labels), sum(left[label][s] for label, _ in labels))
                for s in range(len(self.shares))
            ]
            sides[index] = side = fit.index(max(fit))
            for label, n in labels:
                left[label][side] -= n
        self._fill(sides)
        self._cover()
        # single pictures of one class each have met their quotas exactly
        if max((n for unit in self.units for n in (len(unit.members), len(unit.labels))), default=1) > 1:
            self._balance()

    def _needs(self, label: str) -> frozenset[int]:
        """The sides on which a class must stand: all; for a class of two units train and one other, for one of one train."""
        count, num_sides = self.in_class[label], len(self.shares)
        if count >= num_sides:
            return frozenset(range(num_sides))
        # which other: in turn where data are few, so that neither side stays empty; else by the name, which no new class changes
        turn = int(_position(label) < 0.5) if len(self.units) >= SMALL else self._pairs_of_units().index(label) if count == 2 else 0
        return frozenset((0, 2 - turn % 2)[:count])

    def _pairs_of_units(self) -> list[str]:
        return sorted(name for name, units in self.in_class.items() if units == 2)

    def _fill(self, sides: list[int]) -> None:
        self.sides = sides
        for unit, weight, side in zip(self.units, self.weights, sides, strict=True):
            self.totals[side] += weight
            for label, n in unit.labels:
                self.counts[label][side] += n

    def _move(self, index: int, side: int) -> None:
        old, self.sides[index] = self.sides[index], side
        self.totals[old] -= self.weights[index]
        self.totals[side] += self.weights[index]
        for label, n in self.units[index].labels:
            self.counts[label][old] -= n
            self.counts[label][side] += n

    def _may_leave(self, index: int) -> bool:
        """Whether every class still has a picture on each side that it needs when this unit leaves its own."""
        side = self.sides[index]
        return all(self.counts[label][side] > n or side not in self.needed[label] for label, n in self.units[index].labels)

    def _distances(self, side: int) -> npt.NDArray[np.float64]:
        """How far each unit's position is from those of `side`."""
        distances: npt.NDArray[np.float64] = np.maximum(self.bounds[side] - self.positions, self.positions - self.bounds[side + 1])
        return distances

    def _cover(self) -> None:
        """Gives each class a picture on each side that it needs, the one whose position is nearest."""
        missing = {label for label, counts in self.counts.items() if any(counts[side] == 0 for side in self.needed[label])}
        if not missing:
            return
        holders: dict[str, list[int]] = {label: [] for label in missing}
        for index, unit in enumerate(self.units):
            for label, _ in unit.labels:
                if label in missing:
                    holders[label].append(index)
        for side in range(len(self.shares)):
            distances = self._distances(side)
            for label in sorted(missing):
                if side in self.needed[label] and self.counts[label][side] == 0:
                    movable = [index for index in holders[label] if self._may_leave(index)]
                    if movable:
                        self._move(min(movable, key=lambda index: distances[index]), side)

    def _balance(self) -> None:
        """Moves the units nearest to a boundary until every share is within the tolerance, or nothing that may move helps."""
        goal, slack = self.shares * self.totals.sum(), TOLERANCE * self.totals.sum()
        while (excess := self._excess(goal, slack)) > 0 and any(self._shift(pair, goal, slack, excess) for pair in self._pairs(goal)):
            pass

    def _excess(self, goal: npt.NDArray[np.float64], slack: float) -> float:
        """Pictures by which shares miss their tolerance, summed over sides."""
        return float(np.maximum(np.abs(self.totals - goal) - slack - 1e-9, 0).sum())

    def _pairs(self, goal: npt.NDArray[np.float64]) -> Iterator[tuple[int, int]]:
        """Sides with too much and sides with too little, the worst first."""
        off = self.totals - goal
        order = np.argsort(-off, kind="stable").tolist()
        return ((a, b) for a in order for b in reversed(order) if off[a] > 0 > off[b])

    def _shift(self, pair: tuple[int, int], goal: npt.NDArray[np.float64], slack: float, excess: float) -> bool:
        """Moves units from one side to another, nearest first, as long as each improves the shares; whether any did."""
        source, target = pair
        distances, moved = self._distances(target), False
        for index in np.argsort(distances, kind="stable").tolist():
            if self.sides[index] != source or not self._may_leave(index):
                continue
            self._move(index, target)
            if (now := self._excess(goal, slack)) < excess - 1e-9:
                excess, moved = now, True
                if excess == 0:
                    break
            else:
                self._move(index, source)
        return moved

    def _quotas(self) -> dict[str, list[int]]:
        """Pictures of each class due to each side: every share of a class rounded down or up, and so is every side's total.

        Largest remainders, class by class; where many classes would round the same way and add up, some round the other
        way. At least one on each side that the class needs.
        """
        sides = range(len(self.shares))
        totals = {label: sum(n for unit in self.units for name, n in unit.labels if name == label) for label in sorted(self.counts)}
        exact = {label: [total * share for share in self.shares] for label, total in totals.items()}
        quotas: dict[str, list[int]] = {}
        raised: set[tuple[str, int]] = set()
        for label, total in totals.items():
            low = [max(int(exact[label][s] + 1e-9), int(s in self.needed[label])) for s in sides]
            low[0] = min(low[0], total - sum(low[1:]))  # of very few pictures train gives up its share
            by_remainder = sorted(sides, key=lambda s: low[s] - exact[label][s])
            for side in by_remainder[: total - sum(low)]:
                low[side] += 1
                raised.add((label, side))
            quotas[label] = low
        goal = self.shares * sum(totals.values())
        while True:
            off = np.array([sum(quotas[label][s] for label in quotas) for s in sides]) - goal
            swaps = [
                (exact[label][a] - exact[label][b] - quotas[label][a] + quotas[label][b], label, a, b)
                for label, a in raised
                for b in sides
                if (label, b) not in raised
                and exact[label][b] > quotas[label][b]
                and abs(off[a] - 1) + abs(off[b] + 1) < abs(off[a]) + abs(off[b]) - 1e-9
            ]
            if not swaps:
                return quotas
            _, label, a, b = min(swaps)
            quotas[label][a] -= 1
            quotas[label][b] += 1
            raised.symmetric_difference_update({(label, a), (label, b)})
