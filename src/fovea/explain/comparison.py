"""Methods against someone who knows nothing: the table of `fovea explain --check`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fovea.explain.faithfulness import (
    Curve,
    Explainer,
    Score,
    centre_prior,
    deletion,
    energy_inside,
    insertion,
    points_inside,
    random_heat,
    rank_correlation,
    stability,
)
from fovea.metrics.intervals import mean_interval, wilson
from fovea.types import Floats, Pixels

CENTRE, RANDOM = "centre prior", "random"
_KNOW_NOTHING = (CENTRE, RANDOM)
_SAME = 0.5  # Adebayo et al. 2018 name no number: the methods that fail there stay above it, those that pass fall below
_FROM_FAITHFUL = (-2.0, 2.0)  # what a difference of two differences of areas can be, of a score in 0..1


@dataclass(frozen=True)
class Interval:
    """A mean over n pictures with its 95 % interval; None where there is only one picture."""

    mean: float
    n: int
    ci95: tuple[float, float] | None

    def to_json(self) -> dict[str, Any]:
        return {"mean": self.mean, "n": self.n, "ci95": list(self.ci95) if self.ci95 else None}

    def __str__(self) -> str:
        return f"{self.mean:+.3f}" + (f" ({self.ci95[0]:+.3f} to {self.ci95[1]:+.3f})" if self.ci95 else "")


@dataclass(frozen=True)
class Row:
    """What was measured of one method.

    Args:
        method: Its name, or that of a heat that knows nothing.
        insertion, deletion: The mean curves: the score while the hottest places are shown, and covered, first.
        faithful: Insertion's area less deletion's: what the order of the heat explains; about 0 where it explains nothing.
        over_centre: The same, less that of the centre prior on the same picture; None of the centre prior itself.
        over_random: The same, less that of heat by chance.
        stable: Rank correlation under noise that nobody sees; None where it was not asked.
        randomised: Rank correlation with the heat of the same network whose weights are random, by layer from the top; the last
            one, all of them random, should be about 0. None where it was not asked.
        pointing, energy: The pointing game and the energy inside, over the pictures that have boxes.
    """

    method: str
    insertion: Curve
    deletion: Curve
    faithful: Interval
    over_centre: Interval | None = None
    over_random: Interval | None = None
    stable: float | None = None
    randomised: tuple[tuple[str, float], ...] | None = None
    pointing: Interval | None = None
    energy: Interval | None = None

    @property
    def knows_nothing(self) -> bool:
        return self.method in _KNOW_NOTHING

    @property
    def warning(self) -> str:
        """Why it should not be believed; "" where nothing speaks against it."""
        if self.over_centre is None or self.knows_nothing:
            return ""
        if self.over_centre.ci95 is None:
            return "one picture shows nothing about the method: check it on ten or more"
        if self.over_centre.ci95[0] <= 0:
            return "not shown to be better than a spot in the middle of each picture: do not rely on it here"
        if self.randomised and abs(self.randomised[-1][1]) > _SAME:
            return "hardly changes when the network's weights are replaced by random ones: it shows the picture, and not what was learned"
        return ""

    @property
    def _curves(self) -> tuple[tuple[str, Curve], ...]:
        return ("insertion", self.insertion), ("deletion", self.deletion)

    def to_json(self) -> dict[str, Any]:
        parts = {name: getattr(self, name) for name in ("faithful", "over_centre", "over_random", "pointing", "energy")}
        return {
            "method": self.method,
            "curves": {
                "shares": self.insertion.shares.tolist(),
                **{name: {"scores": curve.scores.tolist(), "area": curve.area} for name, curve in self._curves},
            },
            **{name: part.to_json() if part else None for name, part in parts.items()},
            "stable": self.stable,
            "randomised": [{"layer": layer, "correlation": value} for layer, value in self.randomised] if self.randomised else None,
            "warning": self.warning or None,
        }


@dataclass(frozen=True)
class Check:
    """The rows, the methods first, those that know nothing last."""

    rows: tuple[Row, ...]

    def __getitem__(self, method: str) -> Row:
        return next(row for row in self.rows if row.method == method)

    def to_json(self) -> dict[str, Any]:
        return {"rows": [row.to_json() for row in self.rows]}

    def to_text(self) -> str:
        """A table, what its columns mean, and the warnings."""
        columns: list[tuple[str, Callable[[Row], str]]] = [
            ("method", lambda row: row.method),
            ("insertion", lambda row: f"{row.insertion.area:.3f}"),
            ("deletion", lambda row: f"{row.deletion.area:.3f}"),
            ("insertion - deletion", lambda row: str(row.faithful)),
            ("over the centre prior", lambda row: str(row.over_centre or "")),
            ("over random", lambda row: str(row.over_random or "")),
            ("stable", lambda row: _number(row.stable)),
            ("random weights", lambda row: _number(row.randomised[-1][1] if row.randomised else None)),
            ("points inside", lambda row: f"{row.pointing.mean:.0%} of {row.pointing.n}" if row.pointing else ""),
            ("energy inside", lambda row: f"{row.energy.mean:.0%}" if row.energy else ""),
        ]
        table = [[title, *(cell(row) for row in self.rows)] for title, cell in columns]
        table = [column for column in table if any(column[1:])]
        widths = [max(map(len, column)) for column in table]
        lines = [
            "  ".join(f"{text:<{width}}" for text, width in zip(line, widths, strict=True)).rstrip() for line in zip(*table, strict=True)
        ]
        n = self.rows[0].faithful.n
        lines += [
            "",
            f"Over {n} picture{'s' * (n != 1)}, with 95 % intervals. insertion, deletion: the mean answer while the hottest places of a blurred picture are made sharp",
            "first, and those of the picture covered first; their difference is about 0 where the heat is no better than chance. stable: 1 if noise",
            "that nobody sees changes nothing. random weights: "
            + (
                "about 0 if the heat depends on what the network has learned."
                if any(row.randomised for row in self.rows)
                else "not tried, the network's own are not at hand."
            ),
        ]
        return "\n".join(lines + [f"warning: {row.method}: {row.warning}" for row in self.rows if row.warning])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


@dataclass(frozen=True, eq=False)
class Judged:
    """One picture to judge methods by.

    Args:
        pixels: (H, W, 3), as the model sees it.
        score: Of the class that is explained, 0 to 1.
        explainers: By method.
        boxes: (N, 4) where what is explained is known to lie.
        randomised: For each stage of a network that is made random from the top: its layer, and the explainers then.
    """

    pixels: Pixels
    score: Score
    explainers: Mapping[str, Explainer]
    boxes: Floats | None = None
    randomised: Sequence[tuple[str, Mapping[str, Explainer]]] = field(default_factory=tuple)


def check(pictures: Sequence[Judged], *, with_noise: bool = True, seed: int = 0, note: Callable[[], None] = lambda: None) -> Check:
    """Judges every method on the same pictures, beside a centre prior and heat by chance.

    Args:
        pictures: One or more; below ten the intervals are wide.
        with_noise: Whether to ask for stability too: it takes three more explanations of each picture.
        seed: Of the heat by chance and the noise.
        note: Called after each picture.
    """
    ours = list(pictures[0].explainers)
    measured: dict[str, _Measured] = {name: _Measured() for name in [*ours, *_KNOW_NOTHING]}
    for index, each in enumerate(pictures):
        height, width = each.pixels.shape[:2]
        heats = {name: explain(each.pixels) for name, explain in each.explainers.items()}
        knowing_nothing = {CENTRE: centre_prior(height, width), RANDOM: random_heat(height, width, np.random.default_rng((seed, index)))}
        for name, heat in (heats | knowing_nothing).items():
            found = measured[name]
            found.insertions.append(insertion(each.score, each.pixels, heat))
            found.deletions.append(deletion(each.score, each.pixels, heat))
            if each.boxes is not None and len(each.boxes):
                found.points.append(points_inside(heat, each.boxes))
                found.energies.append(energy_inside(heat, each.boxes))
        for name, heat in heats.items():
            if with_noise:
                measured[name].stable.append(stability(each.explainers[name], each.pixels, heat, seed=seed))
            for layer, explainers in each.randomised:  # Adebayo et al. 2018, arXiv:1810.03292, section 3.1
                measured[name].randomised.setdefault(layer, []).append(rank_correlation(heat, explainers[name](each.pixels)))
        note()
    return Check(tuple(_row(name, found, measured) for name, found in measured.items()))


@dataclass
class _Measured:
    """Of one method, a value for each picture."""

    insertions: list[Curve] = field(default_factory=list)
    deletions: list[Curve] = field(default_factory=list)
    points: list[bool] = field(default_factory=list)
    energies: list[float] = field(default_factory=list)
    stable: list[float] = field(default_factory=list)
    randomised: dict[str, list[float]] = field(default_factory=dict)

    @property
    def faithful(self) -> list[float]:
        return [shown.area - covered.area for shown, covered in zip(self.insertions, self.deletions, strict=True)]


def _row(name: str, found: _Measured, measured: Mapping[str, _Measured]) -> Row:
    boxed, inside = len(found.points), sum(found.points)
    return Row(
        name,
        _mean(found.insertions),
        _mean(found.deletions),
        _interval(found.faithful, (-1.0, 1.0)),
        _difference(found.faithful, measured[CENTRE].faithful) if name != CENTRE else None,
        _difference(found.faithful, measured[RANDOM].faithful) if name != RANDOM else None,
        float(np.mean(found.stable)) if found.stable else None,
        tuple((layer, float(np.mean(values))) for layer, values in found.randomised.items()) or None,
        Interval(inside / boxed, boxed, wilson(inside, boxed)) if boxed else None,
        _interval(found.energies, (0.0, 1.0)) if boxed else None,
    )


def _mean(curves: Sequence[Curve]) -> Curve:
    return Curve(curves[0].shares, np.mean([curve.scores for curve in curves], axis=0))


def _difference(mine: Sequence[float], other: Sequence[float]) -> Interval:
    return _interval([a - b for a, b in zip(mine, other, strict=True)], _FROM_FAITHFUL)


def _interval(values: Sequence[float], bounds: tuple[float, float]) -> Interval:
    return Interval(float(np.mean(values)), len(values), mean_interval(values, bounds=bounds) if len(values) > 1 else None)
