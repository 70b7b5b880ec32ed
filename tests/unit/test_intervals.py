"""Intervals against published figures, and against what they promise: to hold the truth 95 times in 100."""

import numpy as np
import pytest
from scipy.special import stdtrit

from fovea.metrics.intervals import difference_interval, mcnemar, paired_interval, student


def test_newcombes_own_example() -> None:
    """56 of 70 against 48 of 80: 0.0524 to 0.3339 (Newcombe 1998, table II a, method 10)."""
    assert difference_interval(56, 70, 48, 80) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(("only_a", "only_b", "expected"), [(0, 0, 1.0), (5, 5, 1.0), (0, 6, 2 / 2**6), (9, 1, 2 * 11 / 2**10)])
def test_mcnemar_is_the_binomial_of_those_that_differ(only_a: int, only_b: int, expected: float) -> None:
    assert mcnemar(only_a, only_b) == pytest.approx(expected)


@pytest.mark.parametrize("paired", [True, False])
def test_they_hold_the_truth_as_often_as_they_say(paired: bool) -> None:
    rng, n, kinds = np.random.default_rng(0), 300, (0.90, 0.05, 0.02, 0.03)  # both right, only A, only B, neither
    held = 0
    for _ in range(2000):
        both, only_a, only_b, _ = rng.multinomial(n, kinds)
        if paired:
            low, high = paired_interval(int(only_a), int(only_b), n)
        else:
            other = rng.multinomial(n, kinds)
            low, high = difference_interval(int(both + only_a), n, int(other[0] + other[2]), n)
        held += low <= 0.03 <= high
    assert 0.935 <= held / 2000 <= 0.97


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 9, 29, 30, 31, 300])
def test_students_quantile_is_that_of_the_reference(freedom: int) -> None:
    assert student(freedom) == pytest.approx(stdtrit(freedom, 0.975), rel=1e-4)
