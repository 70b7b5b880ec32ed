"""The survey: every picture looked at once, what cannot be used left out, and each of the rest put into its split."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fovea.audit.audit import Audit, examine, with_splits
from fovea.audit.finding import Seen
from fovea.audit.known import near_pairs
from fovea.audit.near import Pair, families
from fovea.audit.scenes import without_scenes
from fovea.data import Source, assign_splits, group_by_path, number_groups
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import DataError, UnreadableImage
from fovea.files import hash_json
from fovea.loading.scan import scan
from fovea.loading.stored import Inputs
from fovea.timing import Stopwatch
from fovea.training.strategy import Strategy
from fovea.types import SPLITS, Ints, Item, PictureFacts, Split


@dataclass(frozen=True)
class Survey:
    """What a training works with. Row i of everything is picture i of the data.

    Args:
        items: All pictures, those in use with their split.
        inputs: What the strategy kept of each; a row that no split names means nothing.
        groups: A number for each, the same for what is one picture or of one group.
        rows: The row numbers of each split.
        audit: What was found on the way.
        data_hash: The same for the same pictures, labels and splits, whatever the files are called.
        notes: What was left out and kept together, and why, in plain sentences.
        hashes: The content hash of each; "" where a file could not be read.
        facts: Of the others, by content hash.
    """

    items: tuple[Item, ...]
    inputs: Inputs
    groups: Ints
    rows: dict[Split, Ints]
    audit: Audit
    data_hash: str
    notes: tuple[str, ...] = ()
    hashes: Sequence[str] = ()
    facts: Mapping[str, PictureFacts] = field(default_factory=dict)

    @cached_property
    def labels(self) -> list[str]:
        return [item.label or "" for item in self.items]


def survey(
    source: Source,
    strategy: Strategy,
    store: EmbeddingStore,
    *,
    seed: int,
    watch: Stopwatch,
    split_by: str | None = None,
    keep_leaks: bool = False,
) -> Survey:
    """Hashes and decodes every picture, leaves out what is broken, assigns splits, and takes leaks out of training.

    Near duplicates count as what they are: they stay on one side of the splits that are made here, and where the data's own
    splits divide them they leave training. They are found by the pictures alone, never by embeddings: the splits, and with
    them the figures, must not depend on the backbone that is being measured.

    Args:
        source: The data.
        strategy: Looks at each picture.
        store: What is known already.
        seed: Of the splits of small data.
        watch: Takes the seconds.
        split_by: A regular expression whose first group, in a picture's path, names what must stay on one side.
        keep_leaks: Learn also from what stands in validation or test.

    Raises:
        DataError: What is left cannot be learned from: a class is gone, or has a single picture.
        InputError: `split_by` names no groups.
    """
    items = list(source.items) if split_by is None else group_by_path(source.items, split_by)
    with watch("audit_s"):
        seen = scan(source, items)
    looked = strategy.look(source, seen.items, seen.hashes, store)
    watch.add("decode_s", looked.decode_s)
    watch.add("embed_s", looked.embed_s)
    with watch("audit_s"):
        problems = {**seen.problems, **looked.problems}
        whole = [i for i in range(len(seen.items)) if i not in problems]
        _check_none_gone(source, [seen.items[i] for i in whole], problems)
        pairs = near_pairs(store, {seen.hashes[i]: looked.facts[seen.hashes[i]] for i in whole})
        # numbers that differ do not tell another picture from another version of it
        pairs, scenes = without_scenes(pairs, {seen.hashes[i]: None if source.kind.graded else items[i].label for i in whole})
        readable, contents = [items[i] for i in whole], [seen.hashes[i] for i in whole]
        together = _same_picture(pairs, contents)
        splits, divided = _assign(source, readable, contents, together, seed)
        groups = np.full(len(items), -1, np.int64)
        groups[whole] = number_groups(readable, contents, together=together)
        for i, item in zip(whole, with_splits(readable, splits), strict=True):
            items[i] = item
        audit = examine(
            Seen(items, seen.hashes, problems, looked.facts, ignored=source.ignored, near=pairs, scenes=scenes, kind=source.kind)
        )
        leaking = [row for fault in audit.findings["leaks"].faults for row in fault.remove]
        if not keep_leaks:
            _check_some_left(source, items, whole, set(leaking))
        unused = {*problems, *(() if keep_leaks else leaking)}
        # in the order of the contents, so that renamed files change nothing that is learned
        used = sorted((i for i in whole if i not in unused), key=lambda i: seen.hashes[i])
        rows = {split: np.array([i for i in used if items[i].split == split], np.int64) for split in SPLITS}
        data_hash = hash_json(sorted([seen.hashes[i], items[i].label, items[i].split] for i in whole if i not in unused))
    notes = [*_notes(source, items, 0 if divided else len(together), len(leaking), keep_leaks), *divided, *_lacking(source, items, rows)]
    return Survey(tuple(items), looked.inputs, groups, rows, audit, data_hash, tuple(notes), seen.hashes, looked.facts)


def _check_none_gone(source: Source, whole: list[Item], problems: Mapping[int, UnreadableImage]) -> None:
    """Whether each class still has the pictures that learning takes, after the broken ones are left out."""
    gone = sorted(_classes(source, source.items) - _classes(source, whole))
    if gone:
        raise DataError(
            f"none of the pictures of {gone[0]!r} in {source.location!r} can be read",
            got=f"{len(gone)} classes without a readable picture; the first: {problems[min(problems)].problem}",
            expected="at least two readable pictures of each class",
            fix="`fovea audit` names each broken file and how to mend it; mend them, or remove the class",
        )
    source.kind.check(whole, location=source.location)


def _check_some_left(source: Source, items: Sequence[Item], whole: Sequence[int], leaking: set[int]) -> None:
    """Whether each class of train has a picture that stands in no other split."""
    train = [row for row in whole if items[row].split == "train"]
    left = [items[row] for row in train if row not in leaking]
    gone = sorted(_classes(source, [items[row] for row in train]) - _classes(source, left))
    if gone or (train and not left):
        raise DataError(
            f"all training pictures{f' of {gone[0]!r}' if gone else ''} in {source.location!r} stand in validation or test too",
            got=f"{len(leaking):,} of {len(train):,} training pictures found again in another split, as they are or in another version",
            expected="training pictures that are not tested with",
            fix="remove them from the other splits, or learn from them all the same with --keep-leaks (the figures then flatter)",
        )


def _classes(source: Source, items: Iterable[Item]) -> set[str]:
    """The classes (or labels) that some of these pictures are examples of."""
    return {name for item in items for name in source.kind.classes(item.label)}


def _assign(
    source: Source, items: Sequence[Item], contents: Sequence[str], together: Sequence[Sequence[int]], seed: int
) -> tuple[list[Split], list[str]]:
    """The splits, versions of a picture on one side; where that would leave a split without a class, divided all the same, and a note."""
    strata = source.kind.strata([item.label for item in items])
    splits = assign_splits(items, contents, seed=seed, together=together, strata=strata)
    if not together:
        return splits, []
    apart = assign_splits(items, contents, seed=seed, strata=strata)

    def standing(given: Sequence[Split]) -> set[tuple[Split, str]]:
        return {(split, name) for split, names in zip(given, strata, strict=True) for name in names}

    if standing(apart) <= standing(splits):
        return splits, []
    return apart, [
        "so many pictures are alike that keeping them together would leave a split without pictures of a class: they were divided, and the "
        "figures may flatter; --split-by or a CSV's column group keeps together what belongs together"
    ]


def _lacking(source: Source, items: Sequence[Item], rows: dict[Split, Ints]) -> Iterator[str]:
    """What cannot be measured for want of pictures."""
    own = any(item.split in ("validation", "test") for item in source.items)  # a split that the data leaves out is not wanted
    purposes: dict[Split, str] = {"validation": "nothing could be calibrated on", "test": "nothing was measured on"}
    for split, purpose in purposes.items():
        missing = sorted(_classes(source, source.items) - _classes(source, [items[row] for row in rows[split]]))
        if not len(rows[split]):
            if not own:
                yield f"there is no {split} picture: {purpose} pictures that were not learned from; add pictures, or groups if --split-by made too few"
        elif missing:
            more = f" and {len(missing) - 1:,} more {source.kind.many}" if len(missing) > 1 else ""
            yield f"{split} has no picture of {missing[0]!r}{more}{': the figures say nothing of it' if split == 'test' else ''}"


def _notes(source: Source, items: Sequence[Item], num_together: int, num_leaking: int, keep_leaks: bool) -> tuple[str, ...]:
    notes = []
    if num_leaking and keep_leaks:
        notes.append(f"{num_leaking:,} training pictures stand in validation or test too and were kept (--keep-leaks): the figures flatter")
    elif num_leaking:
        notes.append(
            f"{num_leaking:,} training picture{'s were' if num_leaking > 1 else ' was'} left out: in validation or test too (--keep-leaks keeps such pictures)"
        )
    if any(item.split in ("validation", "test") for item in source.items):
        return tuple(notes)  # its splits are the data's own
    if groups := len({item.group for item in items if item.group is not None}):
        notes.append(f"pictures of one group stay on one side of a split: {groups:,} groups")
    if num_together:
        several = "1 picture is" if num_together == 1 else f"{num_together:,} pictures are"
        notes.append(f"versions of one picture stay on one side of a split: {several} there in several")
    return tuple(notes)


def _same_picture(pairs: Sequence[Pair], hashes: Sequence[str]) -> list[list[int]]:
    """The places of all pictures of each family of near duplicates."""
    family_of = {content: number for number, family in enumerate(families(pairs)) for content in family}
    together: dict[int, list[int]] = defaultdict(list)
    for place, content in enumerate(hashes):
        if content in family_of:
            together[family_of[content]].append(place)
    return list(together.values())
