"""Pictures that belong together stay together; k-fold; groups from the path."""

import random
from collections import Counter, defaultdict

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fovea.data import assign_folds, assign_splits, group_by_path
from fovea.errors import InputError
from fovea.files import hash_bytes
from fovea.types import Item


def items_of(count: int, classes: int = 2) -> tuple[list[Item], list[str]]:
    return [Item(f"k{i % classes}/{i}.jpg", f"k{i % classes}") for i in range(count)], [hash_bytes(str(i)) for i in range(count)]


@pytest.mark.parametrize("count", [60, 1000])
def test_what_belongs_together_falls_into_one_split(count: int) -> None:
    items, hashes = items_of(count)
    rng = random.Random(0)
    order = rng.sample(range(count), count // 2)
    together = [order[start : start + 3] for start in range(0, len(order), 3)]
    splits = assign_splits(items, hashes, seed=0, together=together)
    assert all(len({splits[i] for i in links}) == 1 for links in together)
    shares = Counter(splits)
    assert all(abs(shares[name] / count - share) <= 0.04 for name, share in (("train", 0.7), ("validation", 0.15), ("test", 0.15)))


def test_links_chain_with_groups_and_equal_files() -> None:
    items, hashes = items_of(400)
    items[5] = Item("x", "k1", group="p")
    items[6] = Item("y", "k0", group="p")
    hashes[7] = hashes[6]
    splits = assign_splits(items, hashes, seed=0, together=[[3, 5], [7, 9]])
    assert len({splits[i] for i in (3, 5, 6, 7, 9)}) == 1


def test_the_order_of_items_and_links_changes_nothing() -> None:
    items, hashes = items_of(300)
    together = [[0, 10, 20], [30, 40], [299, 1]]
    plain = dict(zip(hashes, assign_splits(items, hashes, seed=0, together=together), strict=True))
    order = random.Random(1).sample(range(300), 300)
    place = {old: new for new, old in enumerate(order)}
    moved = [[place[i] for i in reversed(links)] for links in reversed(together)]
    again = assign_splits([items[i] for i in order], [hashes[i] for i in order], seed=0, together=moved)
    assert dict(zip((hashes[i] for i in order), again, strict=True)) == plain


def test_links_do_not_move_what_the_data_put_into_splits() -> None:
    items = [Item(f"{i}", "ab"[i % 2], ("train", "validation", "test")[i % 3]) for i in range(30)]  # type: ignore[arg-type]
    splits = assign_splits(items, [hash_bytes(str(i)) for i in range(30)], seed=0, together=[[0, 1, 2]])
    assert splits == [item.split for item in items]


def test_folds_are_stratified() -> None:
    items, hashes = items_of(211, 3)
    folds = assign_folds(items, hashes, num_folds=5, seed=0)
    counts: dict[str | None, Counter[int]] = defaultdict(Counter)
    for item, fold in zip(items, folds, strict=True):
        counts[item.label][fold] += 1
    assert set(folds) == set(range(5))
    assert all(max(found.values()) - min(found.values()) <= 1 for found in counts.values())
    assert max(Counter(folds).values()) - min(Counter(folds).values()) <= 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_folds_never_divide_a_group(data: st.DataObject) -> None:
    count = data.draw(st.integers(6, 80))
    groups = data.draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    labels = data.draw(st.lists(st.sampled_from("abc"), min_size=count, max_size=count))
    links = data.draw(st.lists(st.lists(st.integers(0, count - 1), max_size=4), max_size=5))
    items = [Item(str(i), labels[i], group=f"g{groups[i]}" if groups[i] < 6 else None) for i in range(count)]
    hashes = [hash_bytes(str(groups[i])) if groups[i] == 12 else hash_bytes("x", str(i)) for i in range(count)]
    try:
        folds = assign_folds(items, hashes, num_folds=3, seed=0, together=links)
    except InputError:  # so much belongs together that fewer than three families are left
        assume(False)
    assert set(folds) <= {0, 1, 2}
    by_group: dict[object, set[int]] = defaultdict(set)
    for i, item in enumerate(items):
        by_group[item.group if item.group is not None else hashes[i]].add(folds[i])
    assert all(len(found) == 1 for found in by_group.values())
    assert all(len({folds[i] for i in link}) <= 1 for link in links)


def test_folds_of_another_seed_are_others_and_of_another_order_the_same() -> None:
    items, hashes = items_of(100)
    folds = assign_folds(items, hashes, num_folds=4, seed=0)
    assert folds != assign_folds(items, hashes, num_folds=4, seed=1)
    order = random.Random(1).sample(range(100), 100)
    again = assign_folds([items[i] for i in order], [hashes[i] for i in order], num_folds=4, seed=0)
    assert again == [folds[i] for i in order]


@pytest.mark.parametrize("num_folds", [-1, 0, 1, 11])
def test_folds_that_cannot_be_dealt_out(num_folds: int) -> None:
    items, hashes = items_of(10)
    with pytest.raises(InputError, match="cannot be dealt out") as caught:
        assign_folds(items, hashes, num_folds=num_folds, seed=0)
    assert caught.value.got == f"{num_folds:,} folds and 10 groups of pictures that belong together"


def test_groups_from_the_path() -> None:
    items = [Item(f"cat/patient{i // 3:02}_eye{i}.jpg", "cat") for i in range(9)] + [Item("cat/other.jpg", "cat", group="old")]
    found = group_by_path(items, r"patient(\d+)_")
    assert [item.group for item in found] == ["00"] * 3 + ["01"] * 3 + ["02"] * 3 + [None]
    assert [item.path for item in found] == [item.path for item in items]
    assert [item.group for item in group_by_path(items, r"(?P<who>patient|other)")] == ["patient"] * 9 + ["other"]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("patient(", "is no regular expression"),
        ("*", "is no regular expression"),
        (r"patient\d+", "does not say which part"),
        (r"nurse(\d+)", "fits none of the 3 paths"),
    ],
)
def test_a_pattern_that_names_no_groups(pattern: str, problem: str) -> None:
    items = [Item(f"cat/patient{i}.jpg", "cat") for i in range(3)]
    with pytest.raises(InputError, match=problem) as caught:
        group_by_path(items, pattern)
    assert repr(pattern) in caught.value.problem
    assert caught.value.fix
