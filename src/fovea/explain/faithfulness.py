"""Whether a heat map tells the truth about a model: measured on the model's own score, never by how convincing it looks.

A heat map is float32 (H, W) in 0..1 for uint8 pixels (H, W, 3). A score function maps uint8 (B, H, W, 3) to (B,): the larger, the more
the model sees of what is asked for. Nothing here knows what kind of model answers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fovea.errors import InputError
from fovea.types import Floats, Pixels

Score = Callable[[Pixels], npt.NDArray[np.floating]]  # uint8 (B, H, W, 3) -> (B,)
Explainer = Callable[[Pixels], Floats]  # uint8 (H, W, 3) -> (H, W)

SHARES = tuple(step / 20 for step in range(21))  # of the picture: a look at each; the area below a hundred points is hardly another
_BLUR = 0.05  # of the side: as RISE's 11 px of 224, after which a photo shows light and no things
_CENTRE = 0.25  # deviation of the centre prior, of each side
_COARSE = 7  # cells along a side of heat by chance: as fine as the last map of most networks


@dataclass(frozen=True, eq=False)
class Curve:
    """The score while more and more of a picture is taken away, or put back.

    Args:
        shares: (P,) how much of the picture, 0 to 1.
        scores: (P,) what the model says then.
    """

    shares: Floats
    scores: Floats

    @property
    def area(self) -> float:
        """The area below the curve as a share of its width, which is the mean score on the way."""
        return float(np.trapezoid(self.scores, self.shares) / (self.shares[-1] - self.shares[0]))


def deletion(score: Score, pixels: Pixels, heat: Floats, *, shares: Sequence[float] = SHARES) -> Curve:
    """The score while the hottest places are covered first: it falls at once where the heat is right, and the area is small.

    Petsiuk et al. 2018 (RISE, arXiv:1806.07421, section 4.2). Covered places take the mean colour of the picture, where theirs are grey.

    Raises:
        InputError: Heat and picture are of different sizes.
    """
    empty = np.broadcast_to(np.rint(pixels.mean(axis=(0, 1))).astype(np.uint8), pixels.shape)
    return _curve(score, pixels, np.ascontiguousarray(empty), heat, shares)


def insertion(score: Score, pixels: Pixels, heat: Floats, *, shares: Sequence[float] = SHARES) -> Curve:
    """The score while the hottest places of a blurred picture are made sharp first: it rises at once, and the area is large.

    Petsiuk et al. 2018 (RISE, arXiv:1806.07421, section 4.2).

    Raises:
        InputError: Heat and picture are of different sizes.
    """
    return _curve(score, _blurred(pixels), pixels, heat, shares)


def points_inside(heat: Floats, boxes: Floats, *, tolerance_px: float = 0.0) -> bool:
    """The pointing game: whether the hottest place lies in one of the boxes (Zhang et al. 2016, arXiv:1608.00507, section 4.1).

    Args:
        heat: (H, W). Of several equally hot places the one in their middle counts, so that heat without a peak points to the centre.
        boxes: (N, 4) x0 y0 x1 y1 in pixel edges.
        tolerance_px: How far outside still counts; 15 in the paper.

    Raises:
        InputError: There is no box.
    """
    _check_boxes(boxes)
    rows, columns = np.nonzero(heat == heat.max())
    nearest = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    x, y = columns[nearest] + 0.5, rows[nearest] + 0.5
    return any(
        x0 - tolerance_px <= x <= x1 + tolerance_px and y0 - tolerance_px <= y <= y1 + tolerance_px for x0, y0, x1, y1 in boxes.tolist()
    )


def energy_inside(heat: Floats, boxes: Floats) -> float:
    """The share of the heat that lies within the boxes, 0 to 1 (Wang et al. 2020, Score-CAM, arXiv:1910.01279, section 4.3).

    Heat that is nowhere counts as spread evenly: it says no more than that.

    Raises:
        InputError: There is no box.
    """
    _check_boxes(boxes)
    inside = np.zeros(heat.shape, bool)
    for x0, y0, x1, y1 in np.rint(boxes).astype(int).tolist():
        inside[max(0, y0) : max(0, y1), max(0, x0) : max(0, x1)] = True
    total = float(heat.sum(dtype=np.float64))
    return float(heat[inside].sum(dtype=np.float64)) / total if total > 0 else float(inside.mean())


def rank_correlation(a: Floats, b: Floats) -> float:
    """Spearman's, of two heat maps of one size: 1 the same order of all places, 0 none; 0 where one of them is flat."""
    ranks = [_ranks(heat.ravel()) for heat in (a, b)]
    first, second = (rank - rank.mean() for rank in ranks)
    lengths = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / lengths if lengths > 0 else 0.0


def stability(explain: Explainer, pixels: Pixels, heat: Floats, *, deviation: float = 4.0, num_draws: int = 3, seed: int = 0) -> float:
    """How much of the order of the heat is left when the picture gets noise that nobody sees: mean rank correlation, 1 for all of it.

    Args:
        explain: The method, for one and the same class.
        pixels: (H, W, 3).
        heat: Of `pixels`.
        deviation: Of the noise, in steps of 0..255.
        num_draws: Over which the mean is taken.
        seed: Draws the noise.
    """
    rng = np.random.default_rng(seed)
    noisy = [np.clip(np.rint(pixels + rng.normal(0, deviation, pixels.shape)), 0, 255).astype(np.uint8) for _ in range(num_draws)]
    return float(np.mean([rank_correlation(heat, explain(each)) for each in noisy]))


def centre_prior(height: int, width: int) -> Floats:
    """Heat (H, W) that knows nothing of the picture: a hill in its middle, since that is where people put things."""
    rows, columns = (((np.arange(side) + 0.5) / side - 0.5) / _CENTRE for side in (height, width))
    return np.exp(-0.5 * (rows[:, None] ** 2 + columns[None, :] ** 2)).astype(np.float32)


def random_heat(height: int, width: int, rng: np.random.Generator) -> Floats:
    """Heat (H, W) by chance, as coarse as a network's last map."""
    coarse = rng.random((_COARSE, _COARSE)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 1).astype(np.float32)


def _curve(score: Score, start: Pixels, end: Pixels, heat: Floats, shares: Sequence[float]) -> Curve:
    """From one picture to another, the hottest places first."""
    if heat.shape != start.shape[:2]:
        raise InputError(
            "the heat map does not belong to the picture",
            got=f"heat of {heat.shape}, a picture of {start.shape[:2]}",
            expected="the same height and width",
            fix="explain the picture at the size at which it is judged",
        )
    order = np.argsort(-heat, axis=None, kind="stable")
    bounds = np.rint(np.asarray(shares) * heat.size).astype(np.int64)
    current, shown = start.reshape(-1, 3).copy(), []
    for low, high in zip([0, *bounds[:-1]], bounds, strict=True):
        current[order[low:high]] = end.reshape(-1, 3)[order[low:high]]
        shown.append(current.reshape(start.shape).copy())
    return Curve((bounds / heat.size).astype(np.float32), np.asarray(score(np.stack(shown)), np.float32))


def _blurred(pixels: Pixels) -> Pixels:
    deviation = _BLUR * max(pixels.shape[:2])
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), deviation, borderType=cv2.BORDER_REPLICATE), np.uint8)


def _ranks(values: Floats) -> npt.NDArray[np.float64]:
    """From 0 on; equal values share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: npt.NDArray[np.float64] = (ends - (counts + 1) / 2)[places]
    return means


def _check_boxes(boxes: Floats | Sequence[Sequence[float]]) -> None:
    if len(boxes) == 0:
        raise InputError(
            "heat can only be judged by boxes where there are any",
            got="no box",
            expected="(N, 4): x0 y0 x1 y1",
            fix="leave out pictures without boxes",
        )
