"""Pictures of one group count for fewer than they are, and intervals hold the truth all the same."""

import numpy as np
import pytest

from fovea.evaluation.grouped import by_groups, caution, independent


@pytest.mark.parametrize(("num_groups", "each"), [(40, 5), (20, 20)])
def test_the_interval_holds_the_truth_of_pictures_in_groups(num_groups: int, each: int) -> None:
    rng, truth, alike, held = np.random.default_rng(0), 0.9, 0.2, 0
    groups = np.repeat(np.arange(num_groups), each)
    for _ in range(200):
        shares = rng.beta(truth * (1 / alike - 1), (1 - truth) * (1 / alike - 1), num_groups)
        low, high = by_groups({}, rng.random(len(groups)) < shares[groups], groups)["accuracy_ci95"]
        held += low <= truth <= high
    assert 0.91 <= held / 200 <= 0.98  # Wilson's, of pictures taken for independent: 0.88 and 0.63


def test_what_pictures_in_groups_count() -> None:
    right, pairs = np.arange(100) % 10 > 0, np.arange(100) // 2
    assert independent(right, np.arange(100)) == 100
    assert independent(np.repeat(right[:50], 2), pairs) == pytest.approx(50, rel=0.1), "each picture twice"
    assert independent(np.ones(100, bool), pairs) == 50, "nothing shows how alike they are"
    assert independent(right, np.zeros(100, np.int64)) == 1
    found = {"n": 100, "accuracy": 0.9}
    assert by_groups(found, right, np.arange(100)) is found
    assert caution(found, "test") == []
    assert "take each for itself" in caution(by_groups(found, right, pairs), "test")[0]
