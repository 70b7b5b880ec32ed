"""Likely wrong labels, on embeddings whose right labels are known."""

import sys
from pathlib import Path

import numpy as np
import pytest
from tests.painted import facts_of, photo

from fovea.audit import Seen
from fovea.audit.labels import spaces_at_hand, suspects
from fovea.audit.near import Pair
from fovea.embeddings.store import EmbeddingStore, Space
from fovea.errors import MissingExtra
from fovea.files import hash_bytes
from fovea.types import Floats, Item

SPACE = Space("weights", "preprocessing", "some_backbone")
FACTS = facts_of(photo(0))


def made(store: EmbeddingStore, labels: list[str], vectors: Floats, *, near: list[Pair] | None = None) -> Seen:
    hashes = [hash_bytes("picture", str(i)) for i in range(len(labels))]
    facts = dict.fromkeys(hashes, FACTS)
    store.put(SPACE, dict(zip(hashes, vectors, strict=True)), facts)
    return Seen([Item(f"{i:04}.jpg", label) for i, label in enumerate(labels)], hashes, {}, facts, near=near or [])


def clouds(per_class: int, num_classes: int, *, apart: float = 6.0, seed: int = 0) -> tuple[list[str], Floats]:
    """Labels and embeddings (N, 32): a cloud for each class."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(num_classes, 32))
    centres *= apart / np.linalg.norm(centres, axis=1, keepdims=True)
    labels = [f"class {i % num_classes}" for i in range(per_class * num_classes)]
    vectors = np.stack([centres[i % num_classes] + rng.normal(size=32) * 0.7 for i in range(len(labels))])
    return labels, vectors.astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> EmbeddingStore:
    return EmbeddingStore(tmp_path / "store.sqlite")


@pytest.mark.parametrize("num_classes", [2, 5])
def test_turned_labels_are_found(store: EmbeddingStore, num_classes: int) -> None:
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(80, num_classes)
    turned = {3, 50, 77, 101, 140}
    wrong = [f"class {(int(label[-1]) + 1) % num_classes}" if i in turned else label for i, label in enumerate(labels)]
    found, notes = suspects(made(store, wrong, vectors), store, [SPACE])
    assert notes == []
    assert {suspect.row for suspect in found} == turned
    assert {suspect.row: suspect.suggested for suspect in found} == {i: labels[i] for i in turned}
    assert all(suspect.own_probability < 0.15 and suspect.probability > 0.7 for suspect in found)


def test_a_single_wrong_label_is_found_where_the_judges_are_sure(store: EmbeddingStore) -> None:
    """Of so few, and of classes so easily told apart, cleanlab's count alone says of three in ten that nothing is wrong."""
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(40, 2, apart=4.5)
    for row in range(0, 20, 2):
        wrong = ["class 1" if i == row else label for i, label in enumerate(labels)]
        found, _ = suspects(made(store, wrong, vectors), store, [SPACE])
        assert [suspect.row for suspect in found] == [row]


def test_right_labels_are_left_alone(store: EmbeddingStore) -> None:
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(80, 3)
    assert suspects(made(store, labels, vectors), store, [SPACE]) == ([], [])


def test_a_copy_does_not_vouch_for_its_copy(store: EmbeddingStore) -> None:
    """A wrong label that stands on two versions of a picture: each is judged without the other."""
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(60, 2)
    wrong = list(labels)
    pairs = []
    for i in (10, 30, 50):
        vectors[i + 2] = vectors[i] + 1e-3
        wrong[i] = wrong[i + 2] = "class 1"
        pairs.append(Pair(hash_bytes("picture", str(i)), hash_bytes("picture", str(i + 2)), 0.99, False))
    found, _ = suspects(made(store, wrong, vectors, near=pairs), store, [SPACE])
    assert {suspect.row for suspect in found} == {10, 12, 30, 32, 50, 52}


def test_embeddings_that_know_nothing_accuse_nobody(store: EmbeddingStore) -> None:
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(60, 2, apart=0.0)
    found, notes = suspects(made(store, labels, vectors), store, [SPACE])
    assert found == []
    assert "some_backbone" in notes[0]


@pytest.mark.parametrize("labels", [["a"] * 30, ["a"] * 28 + ["b"] * 2, []])
def test_too_little_to_judge(store: EmbeddingStore, labels: list[str]) -> None:
    pytest.importorskip("cleanlab")
    found, notes = suspects(made(store, labels, np.random.default_rng(0).normal(size=(len(labels), 8)).astype(np.float32)), store, [SPACE])
    assert found == []
    assert "not judged" in notes[0]


@pytest.mark.parametrize("num_groups", [1, 2])
def test_pictures_that_belong_together_give_a_note(store: EmbeddingStore, num_groups: int) -> None:
    """One group for all: nobody is left to judge. Two groups of one class each: whoever judges has never seen the other class."""
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(20, 2)
    seen = made(store, labels, vectors)
    items = [Item(item.path, item.label, group=f"patient {i % num_groups}") for i, item in enumerate(seen.items)]
    found, notes = suspects(Seen(items, seen.hashes, {}, seen.facts), store, [SPACE])
    assert found == []
    assert ("belong together" if num_groups == 1 else "were not judged") in notes[0]


def test_the_answer_is_kept_and_another_question_is_another(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cleanlab")
    from fovea.audit import labels as module

    labels, vectors = clouds(40, 2)
    wrong = ["class 1", *labels[1:]]
    first, _ = suspects(made(store, wrong, vectors), store, [SPACE])
    assert [suspect.row for suspect in first] == [0]
    with monkeypatch.context() as patch:
        patch.setattr(module, "_judged", lambda *_: pytest.fail("it was asked again"))
        assert suspects(made(store, wrong, vectors), store, [SPACE])[0] == first
    assert suspects(made(store, labels, vectors), store, [SPACE])[0] == []


def test_a_few_pictures_without_embedding_are_passed_over(store: EmbeddingStore) -> None:
    pytest.importorskip("cleanlab")
    labels, vectors = clouds(40, 2)
    seen = made(store, ["class 1", *labels[1:]], vectors)
    more = hash_bytes("not embedded")
    seen = Seen([Item("new.jpg", "class 0"), *seen.items], [more, *seen.hashes], {}, {more: FACTS, **seen.facts})
    found, _ = suspects(seen, store, [SPACE])
    assert [suspect.row for suspect in found] == [1]


def test_a_space_is_at_hand_where_nearly_all_are_embedded(store: EmbeddingStore) -> None:
    hashes = [hash_bytes(str(i)) for i in range(200)]
    store.put(SPACE, {content: np.zeros(4, np.float32) for content in hashes[:197]}, {})
    assert spaces_at_hand(store, hashes) == [SPACE]
    assert spaces_at_hand(store, hashes[190:]) == []
    assert spaces_at_hand(store, []) == []


def test_without_cleanlab_the_error_says_how_to_install_it(store: EmbeddingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cleanlab", None)
    labels, vectors = clouds(10, 2)
    with pytest.raises(MissingExtra) as caught:
        suspects(made(store, labels, vectors), store, [SPACE])
    assert caught.value.fix == "pip install cleanlab"


def test_a_later_baseline_does_not_make_it_forget(store: EmbeddingStore) -> None:
    """Random weights were tried after real ones: the space that tells the classes apart is believed."""
    labels, vectors = clouds(40, 2)
    wrong = ["class 1", *labels[1:]]
    seen = made(store, wrong, vectors)
    noise = Space("random", "p", "convnet")
    chance = np.random.default_rng(0)
    store.put(noise, {content: chance.normal(size=32).astype(np.float32) for content in seen.hashes}, {})
    spaces = spaces_at_hand(store, seen.hashes)
    assert spaces == [noise, SPACE], "the last made first"
    assert [suspect.row for suspect in suspects(seen, store, spaces)[0]] == [0]
    assert suspects(seen, store, [noise])[1] == [
        "labels were not judged: embeddings of convnet tell these classes apart too badly to say which are wrong"
    ]
