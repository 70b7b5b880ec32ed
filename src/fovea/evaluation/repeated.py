"""Repeated cross-validation: the honest figure where pictures are so few that a test split of 20 tells nothing.

Each part of all pictures is hidden in turn, a head learns from others, as many as the shipped one learned from, and answers the hidden ones;
then the parts are dealt anew. Every picture is answered several times, but pictures are no more than they are: the interval
counts neither repeats nor parts that learned from the same pictures as independent (Nadeau and Bengio 2003, "Inference for the
generalization error", doi:10.1023/A:1024068626366; Bouckaert and Frank 2004, who recommend it for repeated cross-validation).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.data.split import SMALL
from fovea.loading.parallel import map_ordered
from fovea.metrics.intervals import wilson
from fovea.progress import Progress
from fovea.training.logistic import deal, fit_logistic
from fovea.training.standardise import Standardised
from fovea.types import Floats, Ints

FEW = SMALL  # pictures: the same bound below which splits are dealt out exactly
_NUM_FOLDS, _NUM_REPEATS = 5, 4  # more repeats narrow the interval by a hundredth
_SPREAD = 2.0  # times what luck alone spreads parts by: 5 parts that were dealt once reach that in 9 of 100 cases (chi-square)


@dataclass(frozen=True)
class CrossValidated:
    """What came of it.

    Args:
        n: Pictures, each answered once in each repeat.
        learned_from: Pictures that a head learned from, on average.
        folds, repeats: Parts, and how often they were dealt anew.
        accuracy, low, high: Mean over pictures and repeats, with its 95 % interval.
        counted_as: Independent pictures that the interval is as wide as.
        commonest: Share of the commonest class: what always naming it would come to.
        confusion: (K, K) means over the repeats; rows are the true class, columns the predicted one.
    """

    n: int
    learned_from: int
    folds: int
    repeats: int
    accuracy: float
    low: float
    high: float
    counted_as: float
    commonest: float
    confusion: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        return {
            "n": self.n, "learned_from": self.learned_from, "folds": self.folds, "repeats": self.repeats, "accuracy": self.accuracy,
            "accuracy_ci95": [self.low, self.high], "counted_as": round(self.counted_as, 1), "commonest": self.commonest,
            "confusion": [list(row) for row in self.confusion],
        }  # fmt: skip


def cross_validate(
    embeddings: Floats, targets: Ints, groups: Ints, *, num_classes: int, num_learned: int, seed: int
) -> CrossValidated | None:
    """Repeated cross-validation of a linear head; None where a class has a single picture or group, so that none can be hidden.

    Args:
        embeddings: (N, D) of all pictures, of a backbone that learned nothing from them.
        targets: (N,) classes.
        groups: (N,) a number for each row: those of one number are hidden together.
        num_classes: K.
        num_learned: Pictures that the shipped head learned from; so many are drawn from those not hidden, class by class.
        seed: Of the parts.
    """
    num_folds = min(_NUM_FOLDS, *(len(np.unique(groups[targets == k])) for k in np.unique(targets)))
    if num_folds < 2:
        return None
    inputs, scale = turned(embeddings)

    def ask(part: tuple[int, int]) -> tuple[int, Ints, Ints, int]:
        repeat, fold = part
        hidden = np.flatnonzero(folds[repeat] == fold)
        rows = _as_many(np.flatnonzero(folds[repeat] != fold), targets, num_learned, np.random.default_rng([seed, *part]))
        fitted = fit_logistic(inputs[rows], targets[rows], groups[rows], num_classes=num_classes, seed=seed, scale=scale)
        return repeat, hidden, (inputs[hidden] @ fitted.weight.T + fitted.bias).argmax(axis=1), len(rows)

    folds = [deal(targets, groups, num_folds=num_folds, seed=seed + repeat) for repeat in range(_NUM_REPEATS)]
    parts = [(repeat, fold) for repeat in range(_NUM_REPEATS) for fold in range(num_folds)]
    said, learned_from = np.zeros((_NUM_REPEATS, len(targets)), np.int64), []
    with Progress("measuring by repeated cross-validation", total=len(parts)) as bar:
        for repeat, hidden, answers, learned in map_ordered(ask, parts, threads=1):  # each part has threads of its own
            said[repeat, hidden] = answers
            learned_from.append(learned)
            bar.advance()
    right = said == targets
    counted = counted_as(right, np.stack(folds), groups, learned_from=float(np.mean(learned_from)))
    low, high = wilson(float(right.mean()) * counted, counted)
    cells = np.bincount((targets * num_classes + said).ravel(), minlength=num_classes**2).reshape(num_classes, num_classes)
    return CrossValidated(
        len(targets), round(float(np.mean(learned_from))), num_folds, _NUM_REPEATS, float(right.mean()), low, high, counted,
        float(np.bincount(targets).max() / len(targets)), tuple(tuple(float(v) for v in row) for row in cells / _NUM_REPEATS),
    )  # fmt: skip


def counted_as(right: npt.NDArray[np.bool_], folds: Ints, groups: Ints, *, learned_from: float) -> float:
    """How many independent pictures, at most N, an interval of the mean may count.

    The mean over J parts, any two of which are correlated by r, has the variance (r + (1 - r) / J) s^2, where s^2 is that of one part's
    accuracy, and r = hidden / (hidden + learned) by Nadeau and Bengio; n independent pictures have p (1 - p) / n. (Their factor
    1/J + hidden / learned is the same where s^2 is taken over parts that are so correlated. Here it is taken over those of one
    repeat, which hide different pictures.) s^2 is p (1 - p) / hidden of independent pictures; what was seen takes its place only
    where luck alone seldom spreads parts so far, as pictures do that hang together. Pictures of one group count as one.

    Args:
        right: (R, N) whether each picture was answered rightly in each repeat.
        folds: (R, N) the part of each picture.
        groups: (N,) a number for each picture, the same for those of one group.
        learned_from: Pictures that each head learned from.
    """
    parts = [[row[fold == k].mean() for k in np.unique(fold)] for row, fold in zip(right, folds, strict=True)]
    num_parts, share = sum(map(len, parts)), float(right.mean())
    hidden = right.shape[1] / len(parts[0])
    independent = max(share * (1 - share), 1e-9) / hidden
    seen = float(np.mean([np.var(part, ddof=1) for part in parts])) / independent
    in_group = np.unique(groups, return_counts=True)[1].astype(np.float64)
    wider = max(seen if seen > _SPREAD else 1.0, float((in_group**2).sum() / in_group.sum()))  # Kish 1965, "Survey sampling", section 8.2
    alike = hidden / (hidden + learned_from)
    return float(min(hidden / ((alike + (1 - alike) / num_parts) * wider), right.shape[1]))


def turned(embeddings: Floats) -> tuple[Floats, Standardised]:
    """The same vectors with as few numbers as there are pictures, turned, at mean 0 and deviation 1 before that; and no further scaling.

    A penalty on the squares of weights does not see a turn, so that the fits are the same in a tenth of the time. Mean and deviation are
    those of all pictures: no label has a part in them.
    """
    scaled = Standardised(embeddings).apply(embeddings)
    if scaled.shape[1] > scaled.shape[0]:
        left, values, _ = np.linalg.svd(scaled.astype(np.float64), full_matrices=False)
        scaled = (left * values).astype(np.float32)
    return scaled, Standardised(np.stack([-np.ones(scaled.shape[1]), np.ones(scaled.shape[1])]).astype(np.float32))  # mean 0, deviation 1


def _as_many(rows: Ints, targets: Ints, count: int, rng: np.random.Generator) -> Ints:
    """At most `count` of the rows, of each class the same share, and one at least."""
    share = min(1.0, count / len(rows))
    own = [rng.permutation(rows[targets[rows] == k]) for k in np.unique(targets[rows])]
    return np.concatenate([part[: max(1, round(share * len(part)))] for part in own])
