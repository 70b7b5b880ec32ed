"""Training pictures that speak for and against an answer."""

from pathlib import Path

import numpy as np
import pytest

from fovea.bundle.archive import pack_arrays, unpack_arrays
from fovea.bundle.neighbours import Neighbours, read_neighbours
from fovea.errors import BundleError


def known(count: int = 40) -> Neighbours:
    """Two clusters; every fifth picture of the first is labelled as one of the second."""
    rng = np.random.default_rng(0)
    side = np.arange(count) % 2
    vectors = (rng.normal(0, 0.1, (count, 6)) + np.where(side[:, None] == 0, 1.0, -1.0) * np.eye(6)[0]).astype(np.float32) + 5
    labels = tuple("dog" if s or i % 10 == 0 else "cat" for i, s in enumerate(side))
    return Neighbours(vectors, tuple(f"{i}.jpg" for i in range(count)), labels)


def test_the_nearest_of_each_side_nearest_first() -> None:
    pictures = known()
    found = pictures.examples(pictures.embeddings[4] + 0.01, "cat", count=4)
    assert found.supporting[0].path == "4.jpg"
    assert found.supporting[0].similarity > 0.99
    assert {each.label for each in found.supporting} == {"cat"}
    assert {each.label for each in found.opposing} == {"dog"}
    likeness = [each.similarity for each in found.opposing]
    assert likeness == sorted(likeness, reverse=True)
    assert all(int(each.path.split(".")[0]) % 10 == 0 for each in found.opposing), "the wrongly labelled ones among them"
    assert found.to_json()["for"][0]["path"] == "4.jpg"  # type: ignore[index]


def test_some_are_taken_evenly_and_read_back() -> None:
    few = known().some(most=10, seed=1)
    assert sorted(few.labels) == ["cat"] * 5 + ["dog"] * 5
    back = read_neighbours(unpack_arrays(pack_arrays(few.arrays(), compressed=False), path=Path("b")), path="b")
    assert back is not None
    assert (back.paths, back.labels) == (few.paths, few.labels)
    np.testing.assert_allclose(back.embeddings, few.embeddings, atol=5e-3)
    assert read_neighbours(None, path="b") is None


@pytest.mark.parametrize("wrong", [{}, {"paths": np.array(["a"])}, {"labels": np.array([1, 2])}, {"embeddings": np.zeros(3)}])
def test_parts_that_do_not_belong_together_are_refused(wrong: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    arrays = known(4).arrays() | wrong if wrong else {"paths": np.array(["a"])}
    with pytest.raises(BundleError, match=r"neighbours\.npz of the bundle 'b' is not whole"):
        read_neighbours(arrays, path="b")
