"""How far a measured share may lie from the truth."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wilson(successes: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, (low, high) in 0..1; (0, 1) where nothing was measured.

    Neither need be whole: a mean over several measurements of the same n has fractions, and so has an effective n.
    Unlike the textbook's normal interval it stays inside 0..1 and is right for few pictures and for shares near 1.
    Source: Wilson 1927, doi:10.1080/01621459.1927.10502953.
    """
    if n == 0:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (share * (1 - share) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, centre - half), min(1.0, centre + half)


def percentile_interval(value: float, drawn: Sequence[float], *, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The bootstrap's percentile interval of a share, (low, high) in 0..1, widened to hold `value`.

    Args:
        value: As measured.
        drawn: The same of pictures that were drawn anew.
        n: How many pictures. Where every draw says the same (nothing was wrong), drawing anew cannot show what was not met: Wilson's
            interval of `n` stands in its place.
        confidence: How often such an interval holds the truth.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    ordered = sorted(drawn)
    if not ordered or ordered[0] == ordered[-1]:
        return wilson(value * n, n, confidence=confidence)
    tail = (1 - confidence) / 2
    low, high = (ordered[round(part * (len(ordered) - 1))] for part in (tail, 1 - tail))
    return min(value, low), max(value, high)


def large_sample_interval(mean: float, deviation: float, n: int, *, confidence: float = 0.95, least: float = 0.0) -> tuple[float, float]:
    """The normal interval of a mean of many values, (low, high), kept above `least`.

    Args:
        mean, deviation: Of the values.
        n: How many; for a few, `mean_interval` is the right one.
        confidence: How often such an interval holds the true mean.
        least: What the mean cannot fall below.
    """
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * deviation / n**0.5
    return max(least, mean - half), mean + half


def mean_interval(values: Sequence[float], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """Student's interval of the mean of several measurements, (low, high), kept inside `bounds`.

    Args:
        values: Two or more, independent of one another.
        confidence: How often such an interval holds the mean.
        bounds: What the value can be at all.
    """
    from scipy.special import stdtrit  # Student's quantile, without the half second that scipy.stats takes to import

    half = float(stdtrit(len(values) - 1, 0.5 + confidence / 2)) * stdev(values) / len(values) ** 0.5
    return max(bounds[0], fmean(values) - half), min(bounds[1], fmean(values) + half)


def difference_interval(right_a: int, n_a: int, right_b: int, n_b: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of share A minus share B, of two that were measured independently of one another: (low, high) in -1..1.

    Newcombe's, made of Wilson's intervals of the two. Source: Newcombe 1998, doi:10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I.
    """
    share_a, share_b = right_a / n_a, right_b / n_b
    (low_a, high_a), (low_b, high_b) = wilson(right_a, n_a, confidence=confidence), wilson(right_b, n_b, confidence=confidence)
    apart = share_a - share_b
    return apart - ((share_a - low_a) ** 2 + (high_b - share_b) ** 2) ** 0.5, apart + (
        (high_a - share_a) ** 2 + (share_b - low_b) ** 2
    ) ** 0.5


def paired_interval(only_a: int, only_b: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """The interval of share A minus share B, where both answered the same n examples: (low, high) in -1..1.

    Args:
        only_a, only_b: Examples that only A, and that only B, had right; the others say nothing of the difference.
        n: All examples.
        confidence: How often such an interval holds the difference.

    Source: Agresti and Min 2005, doi:10.1002/sim.1781 (half an example is added to each of the four kinds).
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    apart = (a - b) / total
    half = z * ((a + b) / total - apart**2) ** 0.5 / total**0.5
    return max(-1.0, apart - half), min(1.0, apart + half)


def mcnemar(only_a: int, only_b: int) -> float:
    """How often chance alone sets two equally good classifiers so far apart or farther (two-sided, exact): a p-value.

    Args:
        only_a, only_b: Examples that only A, and that only B, had right.

    Source: McNemar 1947, doi:10.1007/BF02295996.
    """
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def paired_bootstrap(only_a: int, only_b: int, n: int, *, num_resamples: int = 10_000, seed: int = 0) -> tuple[float, float]:
    """The paired bootstrap's 95 % interval of share B minus share A, where both answered the same n examples: (low, high) in -1..1.

    Args:
        only_a, only_b: Examples that only A, and that only B, had right.
        n: All examples. Where A and B never differed, drawing anew cannot either: `paired_interval` stands in its place.
        num_resamples: How often the examples are drawn anew.
        seed: Draws them.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
    """
    if only_a + only_b == 0:
        return paired_interval(only_b, only_a, n)
    import numpy as np  # the rest of this file does without

    drawn = np.random.default_rng(seed).multinomial(n, [only_a / n, only_b / n, (n - only_a - only_b) / n], size=num_resamples)
    low, high = np.quantile((drawn[:, 1] - drawn[:, 0]) / n, (0.025, 0.975))
    return float(low), float(high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Each p-value as it counts where so many tests were made: below 0.05, at most one run in twenty of all of them finds anything by luck.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6:65.
    """
    adjusted, worst = [0.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        worst = max(worst, min(1.0, p_values[index] * (len(p_values) - place)))
        adjusted[index] = worst
    return adjusted


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution with so many degrees of freedom, 1 or more: 12.7, 4.30, 3.18, ... down to 1.96.

    Of few, the distribution is a finite sum (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4), which is searched; of 30 and more, the
    expansion around the normal quantile (26.7.5) is right to four digits.
    """
    if freedom >= 30:
        z = NormalDist().inv_cdf(0.975)
        return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t over the root of the degrees
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, freedom) < 0.95 else (low, middle)
    return math.tan(low) * math.sqrt(freedom)


def _within(angle: float, freedom: int) -> float:
    """The chance that Student's t lies nearer to 0 than that of the angle."""
    cosine, odd = math.cos(angle), freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for step in range(freedom // 2):
        total += term
        term *= cosine**2 * ((2 * step + 2) / (2 * step + 3) if odd else (2 * step + 1) / (2 * step + 2))
    return 2 / math.pi * (angle + math.sin(angle) * total) if odd else math.sin(angle) * total
