"""How far a measured share may lie from the truth."""

from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share, (low, high) in 0..1; (0, 1) where nothing was measured.

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


def mean_interval(values: Sequence[float], *, confidence: float = 0.95, bounds: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """Student's interval of the mean of several measurements, (low, high), kept inside `bounds`.

    Args:
        values: Two or more, independent of one another.
        confidence: How often such an interval holds the mean.
        bounds: What the value can be at all.
    """
    from scipy.stats import t  # heavy, and few need it

    half = float(t.ppf(0.5 + confidence / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
    return max(bounds[0], fmean(values) - half), min(bounds[1], fmean(values) + half)
