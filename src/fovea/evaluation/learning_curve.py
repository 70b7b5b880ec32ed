"""How often a head is right that learned from fewer pictures, and what more of them would bring.

Each part of the training pictures is hidden in turn. Heads learn from ever larger shares of the others, and answer the hidden ones.
The errors follow a power law, a n^-b + c (Cortes et al. 1994, "Learning curves: asymptotic values and rate of convergence";
Hestness et al. 2017, arXiv:1712.00409), which is drawn on beyond the pictures that there are. It is a rule of thumb and no law
of nature (Viering and Loog 2021, arXiv:2103.10948), so the interval also leaves out one of the sizes at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.evaluation.repeated import turned
from fovea.loading.parallel import map_ordered
from fovea.metrics.intervals import wilson
from fovea.progress import Progress
from fovea.training.logistic import DEFAULT_STRENGTH, FitPath, deal
from fovea.types import Floats, Ints

_SHARES = (0.1, 0.18, 0.32, 0.56, 1.0)  # of the pictures that are not hidden, each 1.8 times the one before
_FEWEST_SIZES = 3  # as many as the law has numbers
_NUM_FOLDS, _MOST_REPEATS = 5, 4
_WORK = 10e6  # pictures x features x (classes / 8), over all fits
_MORE = 100  # pictures
_FEWEST_MISTAKES = 10  # below, the law follows single pictures
_NUM_RESAMPLES = 600
_SLOPES = np.linspace(0.1, 1.5, 43)  # b: what is seen lies between 0.1 and 1; a steeper one is a jump

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Forecast:
    """What `n` training pictures would bring, by the law.

    Args:
        n: Training pictures.
        accuracy, low, high: There, with its 95 % interval.
        gain, gain_low, gain_high: Above the accuracy with the training pictures that there are.
    """

    n: int
    accuracy: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float


@dataclass(frozen=True)
class LearningCurve:
    """Accuracy by the number of training pictures.

    Args:
        sizes: Pictures that heads learned from, growing; means over the draws.
        right: Share of the hidden pictures answered rightly, for each size.
        judged: How many training pictures were hidden once or oftener.
        draws: Heads that were fitted for each size.
        now: Training pictures that there are.
        law: a, b and c; None where it could not be told.
        forecasts: For `now`, for 100 more and for twice as many.
        approximate: Whether the model learned otherwise than these heads.
        note: What must be known with it, in a sentence; "" for nothing.
    """

    sizes: tuple[int, ...]
    right: tuple[float, ...]
    judged: int
    draws: int
    now: int
    law: tuple[float, float, float] | None
    forecasts: tuple[Forecast, ...]
    approximate: bool
    note: str

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        return {
            "points": [
                {"n": n, "accuracy": share, "accuracy_ci95": list(wilson(share * self.judged, self.judged))}
                for n, share in zip(self.sizes, self.right, strict=True)
            ],
            "judged": self.judged,
            "draws": self.draws,
            "now": self.now,
            "law": None if self.law is None else dict(zip("abc", self.law, strict=True)),
            "forecast": [
                {"n": f.n, "accuracy": f.accuracy, "accuracy_ci95": [f.low, f.high], "gain": f.gain, "gain_ci95": [f.gain_low, f.gain_high]}
                for f in self.forecasts
            ],
            "approximate": self.approximate,
            "note": self.note,
        }


def learning_curve(
    embeddings: Floats, targets: Ints, groups: Ints, *, num_classes: int, strength: float | None, seed: int
) -> LearningCurve | str:
    """The learning curve of a linear head, or why there is none, in a sentence.

    Args:
        embeddings: (N, D) of the training pictures, of a backbone that learned nothing from them.
        targets: (N,) classes.
        groups: (N,) a number for each row: those of one number are hidden together.
        num_classes: K.
        strength: C of the run's own head; None where that is no linear head on these embeddings, and the curve approximates.
        seed: Of folds, draws and resamples.
    """
    count, width = embeddings.shape
    num_folds = min(_NUM_FOLDS, *(len(np.unique(groups[targets == k])) for k in np.unique(targets)))
    if num_folds < 2:
        return "a class has a single training picture or group, so that none can be hidden"
    each = sum(_SHARES) * count * (1 - 1 / num_folds) * width * max(1.0, num_classes / 8)
    if each > _WORK:
        return f"fitting heads on parts of {count:,} pictures would take long"
    num_fits = int(min(_WORK / each, num_folds * _MOST_REPEATS))
    parts = [(repeat, fold) for repeat in range(_MOST_REPEATS) for fold in range(num_folds)][:num_fits]
    folds = [deal(targets, groups, num_folds=num_folds, seed=seed + repeat) for repeat in range(parts[-1][0] + 1)]

    inputs, scale = turned(embeddings)

    def ask(part: tuple[int, int]) -> list[tuple[int, Ints, npt.NDArray[np.bool_]]]:
        hidden = np.flatnonzero(folds[part[0]] == part[1])
        others = np.flatnonzero(folds[part[0]] != part[1])
        found = []
        for rows in _growing(others, targets, np.random.default_rng([seed, *part])):
            weight, bias = FitPath(inputs[rows], targets[rows], num_classes, scale=scale).fit(strength or DEFAULT_STRENGTH)
            found.append((len(rows), hidden, (inputs[hidden] @ weight.T + bias).argmax(axis=1) != targets[hidden]))
        return found

    with Progress("asking what more pictures would bring", total=len(parts)) as bar:
        asked = []
        for found in map_ordered(ask, parts):
            asked.append(found)
            bar.advance()
    fewest = min(map(len, asked))  # sizes, the largest last
    if fewest < _FEWEST_SIZES:
        return f"{count:,} training pictures are too few to learn from a tenth of them"
    asked = [found[-fewest:] for found in asked]
    sizes = tuple(round(float(np.mean([found[s][0] for found in asked]))) for s in range(fewest))
    wrong, spread = _errors(asked, count)
    judged = np.isfinite(wrong[0])
    errors = wrong[:, judged].mean(axis=1)
    num_judged, mistakes = int(judged.sum()), float(wrong[-1, judged].sum())
    law: tuple[float, float, float] | None = None
    forecasts: list[Forecast] = []
    note = ""
    if mistakes < _FEWEST_MISTAKES:
        note = f"it was wrong on {mistakes:.0f} of {num_judged:,} hidden training pictures, which is too few mistakes to draw the curve on"
    else:
        law, forecasts = _drawn_on(np.array(sizes), wrong[:, judged], groups[judged], spread, now=count, seed=seed)
    return LearningCurve(
        sizes, tuple(float(1 - e) for e in errors), num_judged, len(parts), count, law, tuple(forecasts), strength is None, note
    )  # fmt: skip


def _growing(rows: Ints, targets: Ints, rng: np.random.Generator) -> list[Ints]:
    """Ever larger stratified draws from the rows, each holding the one before; none smaller than two pictures a class."""
    classes = [rng.permutation(rows[targets[rows] == k]) for k in np.unique(targets[rows])]
    drawn = [np.concatenate([own[: max(1, round(share * len(own)))] for own in classes]) for share in _SHARES]
    enough = [part for part in drawn if len(part) >= 2 * len(classes)]
    return [part for i, part in enumerate(enough) if i + 1 == len(enough) or len(part) < len(enough[i + 1])]


def _errors(asked: Sequence[Sequence[tuple[int, Ints, npt.NDArray[np.bool_]]]], count: int) -> tuple[Doubles, Doubles]:
    """(S, N) how often each picture was answered wrongly at each size, NaN where it was never hidden; and (S,) by how much the draws
    of training pictures make a size's error differ, as a variance of its mean beyond that of the pictures.
    """
    num_sizes = len(asked[0])
    wrong, times = np.zeros((num_sizes, count)), np.zeros(count)
    for found in asked:
        times[found[0][1]] += 1
        for size, (_, hidden, missed) in enumerate(found):
            wrong[size, hidden] += missed
    with np.errstate(invalid="ignore"):
        wrong = np.where(times > 0, wrong / times, np.nan)
    if len(asked) < 2:
        return wrong, np.zeros(num_sizes)
    shares = np.array([[missed.mean() for _, _, missed in found] for found in asked])  # (draws, S)
    by_pictures = shares.mean(axis=0) * (1 - shares.mean(axis=0)) / np.mean([len(found[0][1]) for found in asked])
    return wrong, np.maximum(shares.var(axis=0, ddof=1) - by_pictures, 0) / len(asked)


def _drawn_on(
    sizes: Ints, wrong: Doubles, groups: Ints, spread: Doubles, *, now: int, seed: int
) -> tuple[tuple[float, float, float], list[Forecast]]:
    """The law of these errors, and what it says with 95 % intervals: pictures are drawn anew, group by group, one size is left out."""
    rng = np.random.default_rng(seed)
    _, own = np.unique(groups, return_inverse=True)
    num_groups = int(own.max()) + 1
    held = np.bincount(own, minlength=num_groups).astype(np.float64)
    missed = np.stack([np.bincount(own, row, minlength=num_groups) for row in wrong])  # (S, G)
    drawn = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=_NUM_RESAMPLES).astype(np.float64)
    errors = drawn @ missed.T / (drawn @ held)[:, None]  # (R, S)
    errors = np.clip(errors + rng.normal(size=errors.shape) * np.sqrt(spread), 0, 1)
    measured = wrong.mean(axis=1)
    smooth = (measured * wrong.shape[1] + 0.5) / (wrong.shape[1] + 1)  # an error of 0 is not known exactly either
    weights = np.tile(1 / (smooth * (1 - smooth)), (_NUM_RESAMPLES, 1))
    if len(sizes) > _FEWEST_SIZES:
        weights[np.arange(_NUM_RESAMPLES), rng.integers(0, len(sizes), _NUM_RESAMPLES)] = 0
    law = fit_law(sizes, measured[None], weights.max(axis=0)[None])
    laws = fit_law(sizes, errors, weights)
    forecasts = []
    for n in sorted({now, now + _MORE, 2 * now}):
        error, likely = float(_at(law, n)[0]), _at(laws, n)
        gain, gained = float(_at(law, now)[0]) - error, _at(laws, now) - likely
        low, high = np.quantile(1 - likely, (0.025, 0.975))
        gain_low, gain_high = np.quantile(gained, (0.025, 0.975))
        forecasts.append(
            Forecast(
                n, 1 - error, min(1 - error, float(low)), max(1 - error, float(high)),
                gain, min(gain, float(gain_low)), max(gain, float(gain_high)),
            )
        )  # fmt: skip
    a, b, c = (float(value) for value in law[0])
    return (a, b, c), forecasts


def fit_law(sizes: Ints, errors: Doubles, weights: Doubles) -> Doubles:
    """a, b and c of a n^-b + c by weighted least squares, none of them below 0: (R, 3) for each row of errors.

    Args:
        sizes: (S,) training pictures.
        errors, weights: (R, S).
    """
    best, found = np.full(len(errors), np.inf), np.zeros((len(errors), 3))
    total = weights.sum(axis=1)
    mean_y = (weights * errors).sum(axis=1) / total
    for slope in _SLOPES:
        x = (sizes / sizes.max()) ** -slope
        mean_x = weights @ x / total
        a = (weights * (x - mean_x[:, None]) * (errors - mean_y[:, None])).sum(axis=1) / (weights * (x - mean_x[:, None]) ** 2).sum(axis=1)
        c = mean_y - a * mean_x
        a, c = np.where(a < 0, 0, a), np.where(a < 0, mean_y, c)
        a, c = np.where(c < 0, (weights * errors) @ x / (weights @ x**2), a), np.maximum(c, 0)
        off = (weights * (errors - a[:, None] * x - c[:, None]) ** 2).sum(axis=1)
        better = off < best
        best[better] = off[better]
        found[better] = np.stack([a * float(sizes.max()) ** slope, np.full_like(a, slope), c], axis=1)[better]
    return found


def _at(laws: Doubles, n: int) -> Doubles:
    """(R,) the error that each law gives for n training pictures."""
    return np.clip(laws[:, 0] * float(n) ** -laws[:, 1] + laws[:, 2], 0, 1)
