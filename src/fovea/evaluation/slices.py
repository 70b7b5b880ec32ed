"""Where it does worse: accuracy by what pictures are like, the worst first, and which of it is more than luck.

Of many slices the worst one looks bad by luck alone. So the mistakes are dealt out among all pictures at random many times, and a slice is
called worse only where hardly ever any slice at all comes out as unlikely (the permutation minP of Westfall and Young 1993,
"Resampling-based multiple testing", chapter 2): of data sets without a weak slice, 5 % have one named. Slices may overlap.
"""

import math
import os.path
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fovea.embeddings.project import principal
from fovea.metrics.intervals import wilson
from fovea.types import SPLITS, Floats, Item, PictureFacts

_FEWEST = 20  # pictures of a slice: in fewer, one mistake moves it by more than 5 points
_PARTS = 4  # of a range, with as many pictures each
_MOST_FOLDERS = 30
_MOST_CLUSTERS, _OF_A_CLUSTER = 8, 40
_WIDTH = 16  # directions of the embedding in which clusters are looked for
_MOST_PERMUTED, _FEWEST_PERMUTED, _WORK = 2_000, 500, 20_000_000
_UNLIKELY = 0.05
_SPLIT_FOLDERS = {*SPLITS, "val", "valid"}

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Slice:
    """Pictures that have something in common.

    Args:
        by: What they were told apart by: "size", "brightness", "sharpness", "folder" or "cluster".
        name: What they have in common, in words.
        rows: Their places among the pictures that were answered.
        right: How many of them were answered rightly.
        others: Share of the other pictures that was answered rightly.
        chance: How often luck alone would make any slice look so much worse: below 0.05 it is called worse.
    """

    by: str
    name: str
    rows: npt.NDArray[np.int64]
    right: int
    others: float
    chance: float

    @property
    def accuracy(self) -> float:
        return self.right / len(self.rows)

    @property
    def worse(self) -> bool:
        return self.chance < _UNLIKELY

    def to_json(self) -> dict[str, Any]:
        """As `metrics.json` has it."""
        n = len(self.rows)
        return {
            "by": self.by, "name": self.name, "n": n, "accuracy": self.accuracy, "accuracy_ci95": list(wilson(self.right, n)),
            "others": self.others, "chance": round(self.chance, 4), "worse": self.worse,
        }  # fmt: skip


def slices(
    right: Bools,
    *,
    items: Sequence[Item],
    facts: Sequence[PictureFacts | None],
    embeddings: Floats | None,
    seed: int,
) -> list[Slice]:
    """The slices of pictures that were answered, the worst first: those that are more than luck, then by their accuracy.

    Args:
        right: (N,) whether each was answered rightly.
        items: N pictures, with labels.
        facts: What each one is like; with its thumbnail, or else its brightness is not known.
        embeddings: (N, D), or None where there are none.
        seed: Of clusters and permutations.
    """
    count = len(right)
    found = [
        (by, name, rows)
        for by, name, rows in (*_by_facts(facts), *_by_folder(items), *_by_cluster(embeddings, seed))
        if _FEWEST <= len(rows) <= count - _FEWEST
    ]
    if not found:
        return []
    members = np.zeros((len(found), count), np.float32)
    for place, (_, _, rows) in enumerate(found):
        members[place, rows] = 1
    total = int(right.sum())
    chances = _chances(members, ~right, seed)
    told = [
        Slice(by, name, rows, int(right[rows].sum()), (total - int(right[rows].sum())) / (count - len(rows)), float(chance))
        for (by, name, rows), chance in zip(found, chances, strict=True)
    ]
    return sorted(told, key=lambda s: (not s.worse, s.accuracy, -len(s.rows)))


def _by_facts(facts: Sequence[PictureFacts | None]) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """Quarters by size, brightness and sharpness."""
    sides = [math.nan if f is None else float(min(f.width_px, f.height_px)) for f in facts]
    yield from _quarters("size", sides, ("the smallest", "the largest"), "shorter side {} px", decimals=0)
    light = [math.nan if f is None or f.thumbnail is None else float(f.thumbnail.mean()) / 2.55 for f in facts]
    yield from _quarters("brightness", light, ("the darkest", "the brightest"), "brightness {} %", decimals=0)
    sharp = [math.nan if f is None else float(f.sharpness) for f in facts]
    yield from _quarters("sharpness", sharp, ("the most blurred", "the sharpest"), "sharpness {}", decimals=2)


def _quarters(
    by: str, values: Sequence[float], ends: tuple[str, str], told: str, *, decimals: int
) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """Parts of as many pictures each, called by the lowest and the highest value in them; equal values are never divided."""
    known = np.flatnonzero(np.isfinite(values))
    own = np.asarray(values, np.float64)[known]
    if not len(own) or own.min() == own.max():
        return
    bounds = np.unique(np.quantile(own, np.linspace(0, 1, _PARTS + 1)[1:-1], method="lower"))
    places = np.searchsorted(bounds, own, side="left")
    parts = np.unique(places)
    called = {parts[0]: f"{ends[0]}: ", parts[-1]: f"{ends[1]}: "} if len(parts) > 1 else {}
    for place in parts:
        inside = own[places == place]
        name = called.get(place, "") + told.format(_range(float(inside.min()), float(inside.max()), decimals))
        yield by, name, known[places == place]


def _range(low: float, high: float, decimals: int) -> str:
    first, last = f"{low:,.{decimals}f}", f"{high:,.{decimals}f}"
    return first if first == last else f"{first} to {last}"


def _by_folder(items: Sequence[Item]) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """The folders that pictures come from, apart from those that only say class or split: the commonest of them."""
    sources = []
    for item in items:
        parts = [part for part in os.path.dirname(item.path).split("/") if part]
        sources.append("/".join(part for part in parts if part != item.label and part.lower() not in _SPLIT_FOLDERS))
    for name, _ in Counter(sources).most_common(_MOST_FOLDERS):
        yield "folder", f"folder {name}/" if name else "in no folder of its own", np.array([i for i, s in enumerate(sources) if s == name])


def _by_cluster(embeddings: Floats | None, seed: int) -> Iterator[tuple[str, str, npt.NDArray[np.int64]]]:
    """Pictures that the network sees alike: k-means in the directions in which embeddings differ most."""
    if embeddings is None or len(embeddings) < 2 * _OF_A_CLUSTER:
        return
    from scipy.cluster.vq import kmeans2  # heavy, and nothing else needs it

    reduced, _ = principal(embeddings, most=_WIDTH)
    if not reduced.any():
        return
    number = min(_MOST_CLUSTERS, len(reduced) // _OF_A_CLUSTER)
    _, own = kmeans2(reduced, number, minit="++", seed=np.random.default_rng(seed), missing="warn") if number > 1 else (None, np.zeros(1))
    for place, (cluster, _) in enumerate(Counter(own.tolist()).most_common()):
        yield "cluster", f"look-alikes {place + 1}", np.flatnonzero(own == cluster)


def _chances(members: Floats, wrong: Bools, seed: int) -> Doubles:
    """(S,) for each slice how often, with the mistakes dealt out at random, any slice is as unlikely as this one is."""
    num_slices, count = members.shape
    sizes, mistakes = members.sum(axis=1).astype(int), int(wrong.sum())
    tails = np.ones((num_slices, mistakes + 1))
    for size in np.unique(sizes):
        tails[sizes == size] = _tail(count, mistakes, int(size))
    rows = np.arange(num_slices)
    own = tails[rows, (members @ wrong.astype(np.float32)).astype(int)]
    rng, times = np.random.default_rng(seed), int(np.clip(_WORK // count, _FEWEST_PERMUTED, _MOST_PERMUTED))
    reached = np.ones(num_slices)  # the mistakes as they are count as one of the ways
    for _ in range(times):
        placed = rng.permutation(count)[:mistakes]
        least = tails[rows, members[:, placed].sum(axis=1).astype(int)].min()
        reached += least <= own * (1 + 1e-9)
    return reached / (times + 1)


def _tail(count: int, mistakes: int, size: int) -> Doubles:
    """(mistakes + 1,) the chance that so many mistakes or more fall among `size` of `count` pictures (hypergeometric)."""
    from scipy.special import gammaln

    k = np.arange(mistakes + 1)
    possible = (k <= size) & (mistakes - k <= count - size)

    def choose(of: Any, taken: Any) -> Doubles:
        return gammaln(of + 1) - gammaln(np.maximum(taken, 0) + 1) - gammaln(np.maximum(of - taken, 0) + 1)  # type: ignore[no-any-return]

    logs = choose(size, k) + choose(count - size, mistakes - k) - choose(count, mistakes)
    return np.minimum(np.cumsum(np.where(possible, np.exp(logs), 0)[::-1])[::-1], 1.0)  # type: ignore[no-any-return]
