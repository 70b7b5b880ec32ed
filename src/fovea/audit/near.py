"""Near duplicates: the same picture again, resized, compressed anew, cropped a little or mirrored.

Candidates come from perceptual hashes (`data.facts`), and where there are embeddings from these. Each pair is then laid one
over the other and compared: likeness in a hash or an embedding alone is never reported.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from fovea.audit.candidates import Bools, Candidates, Int64s, UInt64s, candidates
from fovea.data.facts import NUM_HASHES, THUMBNAIL_PX, mirror_mask
from fovea.loading.parallel import chunks, map_ordered
from fovea.progress import Progress
from fovea.types import Floats, PictureFacts

# Raise it when other pairs would be found in the same pictures: kept answers are then made anew.
NEAR_VERSION = 2

Thumbnail = npt.NDArray[np.uint8]  # (64, 64) grey
Thumbnails = Callable[[Mapping[str, PictureFacts]], Mapping[str, Thumbnail]]

# Measured on 400 photos of cats and dogs, 14 changed copies of each and 3,999 others: copies, JPEG quality 10 included, reach
# 0.88 and more; the likest of all others 0.46.
_SMALLEST_SIMILARITY = 0.82
# In data whose pictures are alike by nature (digits, X-rays) a copy must stand out from these: it may miss perfect likeness by
# this share of what the fiftieth-likest part of other pictures misses.
_SHARE_OF_OTHERS, _LIKEST = 0.15, 0.98
_NUM_OTHERS, _FEWEST_OTHERS = 256, 50
# A glance at 16 x 16 pixels comes first. Copies that are cropped by 10 % in a corner mostly miss up to 0.8 of what the
# twentieth-likest part of others misses there; of all pairs of photos, one in a hundred comes as near.
_GLANCE_PX, _SHARE_AT_A_GLANCE, _LIKEST_AT_A_GLANCE = 16, 0.85, 0.95

_FLAT = 6.0  # colour spread: what is almost one colour has no likeness to speak of
# Where a tenth of the others are more alike than this, too little tells pictures apart to believe in crops (a blob that is cropped
# fits any other blob). Photos: at most 0.13; 95 % of blobs, letters, cells, X-rays, bottles on white: more. (A smaller part of the
# others would be cropped copies of the picture, in small data.) There a copy must agree everywhere: where the two differ most, in a
# window of this side, by no more than this share of what there is to see. Of these kinds, 98 % of the copies that were resized or
# compressed anew reach at most 0.42; of 45,000 pairs of others of each, the second likest has 0.73 or more.
_ALIKE_BY_NATURE, _SHARE_ALIKE = 0.14, 0.9
_WINDOW_PX, _MOST_APART, _SMALLEST_SIMILARITY_IF_ALIKE = 7, 0.4, 0.95
# Below these sides there is too little to see to tell a copy that is shifted or cropped from another picture. Of 1,500 photos of
# 32 pixels, 8 of 10 that were compressed anew (JPEG quality 25) are this alike, and of the 1.1 million pairs of others none.
_SMALL_PX, _SMALLEST_SIMILARITY_IF_SMALL = 48, 0.88
_COARSE_PX = 13  # what is coarser is taken away before comparing: skies and backdrops are alike everywhere
_TURN = 4096  # pairs a turn: their thumbnails are held at once, 32 MB

_AS_IS = ((1.0, 1.0),)


def _fits(scales: Sequence[float], most_uneven: float) -> tuple[tuple[float, float], ...]:
    """Height and width of a crop as shares of the whole, from the likeliest on: all of it, cut evenly, cut unevenly."""
    ways = [(down, across) for down in scales for across in scales if abs(down - across) <= most_uneven]
    return tuple(sorted(ways, key=lambda fit: (abs(fit[0] - fit[1]) > 0.01, -fit[0] - fit[1])))


# How a pair is compared: as it is, as crops of each other, or as crops that leave out much
_CROPPED, _CROPPED_MUCH = _fits((1.0, 0.975, 0.95, 0.925, 0.9), 0.11), _fits((1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6), 0.16)
_WAYS = (_AS_IS, _AS_IS, _CROPPED, _CROPPED_MUCH)
_LEAST = (_SMALLEST_SIMILARITY_IF_SMALL, _SMALLEST_SIMILARITY, _SMALLEST_SIMILARITY, _SMALLEST_SIMILARITY)
_SMALL, _CROWDED, _PLAIN, _BY_EMBEDDING = range(4)


@dataclass(frozen=True, slots=True)
class Pair:
    """Two contents that show the same: content hashes in their order, how alike they are (1 is all), and whether one is mirrored."""

    first: str
    second: str
    similarity: float
    mirrored: bool


def find_near(facts: Mapping[str, PictureFacts], thumbnails: Thumbnails, *, neighbours: Sequence[tuple[str, str]] = ()) -> list[Pair]:
    """All near duplicates among these contents, the same whatever their order.

    Args:
        facts: By content hash.
        thumbnails: Gives grey thumbnails for facts; called for what is compared only, some thousands at a time.
        neighbours: Pairs of contents whose embeddings are alike, to be compared as well.
    """
    contents = sorted(content for content, fact in facts.items() if fact.colour_spread >= _FLAT)
    if len(contents) < 2:
        return []
    hashes = np.frombuffer(b"".join(facts[content].hashes for content in contents), np.uint64).reshape(-1, NUM_HASHES)
    by_hash = candidates(hashes, mirror=mirror_mask())
    sides = np.array([min(facts[content].width_px, facts[content].height_px) for content in contents])
    small = (sides[by_hash.first] < _SMALL_PX) | (sides[by_hash.second] < _SMALL_PX)
    todo = _Todo.of(by_hash, small=small)
    if neighbours:
        place = {content: index for index, content in enumerate(contents)}
        todo = todo.and_also([(place[a], place[b]) for a, b in neighbours if a in place and b in place])
    if not len(todo.first):
        return []
    usual = _Usual(contents, facts, thumbnails)
    best: dict[tuple[int, int], tuple[float, bool]] = {}
    with Progress("comparing pictures", total=len(todo.first)) as bar:
        for turn in chunks(len(todo.first), _TURN):
            part = todo[turn]
            used = np.unique(np.concatenate([part.first, part.second]))
            shown = thumbnails({contents[index]: facts[contents[index]] for index in used})
            for row, similarity in _compare(part, {index: shown[contents[index]] for index in used if contents[index] in shown}, usual):
                key = (int(part.first[row]), int(part.second[row]))
                if similarity > best.get(key, (0.0, False))[0]:
                    best[key] = (similarity, bool(part.mirrored[row]))
            bar.advance(len(turn))
    return [Pair(contents[a], contents[b], round(similarity, 4), turned) for (a, b), (similarity, turned) in sorted(best.items())]


def families(pairs: Iterable[Pair]) -> list[list[str]]:
    """Contents that belong together through any number of pairs: a sorted list for each family, the families sorted."""
    parent: dict[str, str] = {}

    def root(content: str) -> str:
        while parent.setdefault(content, content) != content:
            parent[content] = content = parent[parent[content]]
        return content

    for pair in pairs:
        parent[root(pair.first)] = root(pair.second)
    found: dict[str, list[str]] = {}
    for content in sorted(parent):
        found.setdefault(root(content), []).append(content)
    return sorted(found.values())


def near_by_embedding(contents: Sequence[str], vectors: Floats) -> list[tuple[str, str]]:
    """Pairs of contents whose embeddings point the same way: candidates for `find_near`, which a hash may have missed.

    Signs of random projections are hashes whose bits differ as the angle between embeddings (Charikar, "Similarity Estimation
    Techniques from Rounding Algorithms", 2002), so that neighbours are found as near hashes are.

    Args:
        contents: Content hashes.
        vectors: (N, D).
    """
    vectors = vectors - vectors.mean(axis=0)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    found: set[tuple[str, str]] = set()
    for seed in range(_NUM_PROJECTIONS):
        planes = np.random.default_rng(seed).normal(size=(vectors.shape[1], 63)).astype(np.float32)
        bits = np.pad(vectors @ planes > 0, ((0, 0), (0, 1)))
        hashes: UInt64s = np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)
        pairs = candidates(hashes)
        first, second = pairs.first[~pairs.crowded], pairs.second[~pairs.crowded]
        for turn in chunks(len(first), _TURN):
            a, b = first[turn.start : turn.stop], second[turn.start : turn.stop]
            near = np.einsum("nd,nd->n", vectors[a], vectors[b]) >= _SMALLEST_COSINE
            found.update((contents[i], contents[j]) for i, j in zip(a[near], b[near], strict=True))
    return sorted(found)


_NUM_PROJECTIONS = 3
_SMALLEST_COSINE = 0.9  # of embeddings around their mean


@dataclass(frozen=True, slots=True)
class _Todo:
    """Pairs to compare, and how: a place in `_WAYS`."""

    first: Int64s
    second: Int64s
    mirrored: Bools
    how: npt.NDArray[np.int8]

    @classmethod
    def of(cls, pairs: Candidates, *, small: Bools) -> "_Todo":
        how = np.where(small, _SMALL, np.where(pairs.crowded, _CROWDED, _PLAIN))
        return cls(pairs.first, pairs.second, pairs.mirrored, how.astype(np.int8))

    def __getitem__(self, part: range) -> "_Todo":
        rows = slice(part.start, part.stop)
        return _Todo(self.first[rows], self.second[rows], self.mirrored[rows], self.how[rows])

    def and_also(self, pairs: Sequence[tuple[int, int]]) -> "_Todo":
        more = np.array(sorted({(min(pair), max(pair)) for pair in pairs}), np.int64).reshape(-1, 2)
        return _Todo(
            np.concatenate([self.first, more[:, 0], more[:, 0]]),
            np.concatenate([self.second, more[:, 1], more[:, 1]]),
            np.concatenate([self.mirrored, np.zeros(len(more), np.bool_), np.ones(len(more), np.bool_)]),
            np.concatenate([self.how, np.full(2 * len(more), _BY_EMBEDDING, np.int8)]),
        )


class _Usual:
    """How alike pictures of this data are that are no copies, from a sample of them."""

    def __init__(self, contents: Sequence[str], facts: Mapping[str, PictureFacts], thumbnails: Thumbnails) -> None:
        sample = contents[:_NUM_OTHERS]  # contents are sorted by their hash: the first are as good as drawn by chance
        self._shown = [thumbnail for _, thumbnail in sorted(thumbnails({content: facts[content] for content in sample}).items())]
        self._details = _units([_detail(thumbnail) for thumbnail in self._shown])
        self._glances = _units([_glance(thumbnail) for thumbnail in self._shown])

    def of(self, thumbnails: Sequence[Thumbnail], glances: Floats) -> "_Needed":
        """What a copy of each of these pictures must reach. Copies of it that are in the sample themselves do not count."""
        count = len(thumbnails)
        if len(self._shown) < _FEWEST_OTHERS:  # too few to say what is usual
            return _Needed(np.full(count, _SMALLEST_SIMILARITY), np.full(count, 0.3), np.zeros(count, np.bool_))
        likeness = _units([_detail(thumbnail) for thumbnail in thumbnails]) @ self._details.T  # (pictures, others)
        copies = likeness >= _SMALLEST_SIMILARITY
        usual = _quantile_of_rest(likeness, copies, _LIKEST)
        alike = (_quantile_of_rest(likeness, copies, _SHARE_ALIKE) > _ALIKE_BY_NATURE) | (copies.mean(axis=1) > 0.5)
        at_a_glance = _quantile_of_rest(glances @ self._glances.T, copies, _LIKEST_AT_A_GLANCE)
        return _Needed(
            np.maximum(_SMALLEST_SIMILARITY, 1 - _SHARE_OF_OTHERS * (1 - usual)),
            1 - _SHARE_AT_A_GLANCE * (1 - at_a_glance),
            alike,
        )


class _Needed(NamedTuple):
    """For each picture the likeness that a copy must have, the same at a glance, and whether it stands among others alike by nature."""

    likeness: npt.NDArray[np.float64]
    at_a_glance: npt.NDArray[np.float64]
    alike: Bools


def _quantile_of_rest(values: Floats, without: Bools, share: float) -> npt.NDArray[np.float64]:
    """The value that a share of each row (N, M) does not exceed, of what is not left out; 0 where half is left out."""
    left = values.shape[1] - without.sum(axis=1)
    order = np.sort(np.where(without, -2, values), axis=1)[:, ::-1]  # the highest first, what is left out last
    place = np.minimum(((1 - share) * left).astype(np.int64), values.shape[1] - 1)
    found = np.take_along_axis(order, place[:, None], axis=1)[:, 0]
    return np.where(2 * left >= values.shape[1], np.maximum(found, 0), 0).astype(np.float64)


def _compare(todo: _Todo, shown: Mapping[int, Thumbnail], usual: _Usual) -> list[tuple[int, float]]:
    """The rows of `todo` that are copies, with their likeness."""
    if not shown:
        return []
    indexes = np.array(sorted(shown))
    thumbnails = [shown[index] for index in indexes]
    glances = _units([_glance(thumbnail) for thumbnail in thumbnails])
    needed = usual.of(thumbnails, glances)
    a, b = (np.minimum(np.searchsorted(indexes, side), len(indexes) - 1) for side in (todo.first, todo.second))
    known = (indexes[a] == todo.first) & (indexes[b] == todo.second)
    turned = glances.reshape(-1, _GLANCE_PX, _GLANCE_PX)[:, :, ::-1].reshape(len(glances), -1)
    seen = np.where(todo.mirrored, np.einsum("nd,nd->n", glances[a], turned[b]), np.einsum("nd,nd->n", glances[a], glances[b]))
    worth = seen >= np.minimum(needed.at_a_glance[a], needed.at_a_glance[b])
    rows = np.flatnonzero(known & ((todo.how == _BY_EMBEDDING) | worth))
    alike = needed.alike[a] | needed.alike[b]

    def look(part: range) -> list[tuple[int, float]]:
        found = []
        for row in (int(rows[place]) for place in part):
            first, second = thumbnails[a[row]], thumbnails[b[row]]
            if todo.mirrored[row]:
                second = np.ascontiguousarray(second[:, ::-1])
            enough = float(max(needed.likeness[a[row]], needed.likeness[b[row]], _LEAST[todo.how[row]]))
            similarity, as_is = _similarity(first, second, enough=enough, fits=_WAYS[todo.how[row]])
            if similarity < enough:
                continue
            if alike[row] and not (as_is and similarity >= _SMALLEST_SIMILARITY_IF_ALIKE and _apart(first, second) <= _MOST_APART):
                continue
            found.append((row, similarity))
        return found

    return [pair for part in map_ordered(look, chunks(len(rows), 32)) for pair in part]


def _apart(a: Thumbnail, b: Thumbnail) -> float:
    """How far two pictures differ where they differ most, as a share of the detail there, and of a tenth of that usual in them.

    A copy differs everywhere by a little; another picture of its kind by much somewhere, however alike all the rest is.
    """
    one, other = (detail / (np.linalg.norm(detail) / THUMBNAIL_PX + 1e-6) for detail in (_detail(a), _detail(b)))
    window = (_WINDOW_PX, _WINDOW_PX)
    difference = np.asarray(cv2.blur((one - other) ** 2, window))
    detail = np.asarray(cv2.blur((one**2 + other**2) / 2, window))
    return float((difference / (detail + 0.1)).max())


def _detail(thumbnail: Thumbnail | cv2.typing.MatLike) -> Floats:
    """What is left of a grey picture when its coarse light and shade are taken away."""
    grey = np.asarray(thumbnail, np.float32)
    return grey - np.asarray(cv2.blur(grey, (_COARSE_PX, _COARSE_PX), borderType=cv2.BORDER_REFLECT), np.float32)


def _glance(thumbnail: Thumbnail) -> Floats:
    return np.asarray(cv2.resize(thumbnail, (_GLANCE_PX, _GLANCE_PX), interpolation=cv2.INTER_AREA), np.float32)


def _units(pictures: Sequence[Floats]) -> Floats:
    """Pictures (H, W) as rows of unit length and mean 0."""
    if not pictures:
        return np.zeros((0, 1), np.float32)
    rows = np.stack([picture.ravel() for picture in pictures])
    rows -= rows.mean(axis=1, keepdims=True)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True) + 1e-6
    return rows


def _similarity(a: Thumbnail, b: Thumbnail, *, enough: float, fits: Sequence[tuple[float, float]]) -> tuple[float, bool]:
    """The correlation of two pictures' details where they fit best, when either may be a crop of the other; and whether as they are.

    Args:
        a, b: (64, 64) grey.
        enough: Once the likeness is this, other ways to lay them over each other are not tried.
        fits: The ways: height and width of the crop as shares of the whole.
    """
    details = _detail(a), _detail(b)
    best = float(cv2.matchTemplate(details[0], details[1], cv2.TM_CCOEFF_NORMED)[0, 0])
    as_is = best
    for down, across in fits[1:]:
        size = (round(across * THUMBNAIL_PX), round(down * THUMBNAIL_PX))
        for whole, part in ((details[0], b), (details[1], a)):
            if best >= enough:
                break
            template = _detail(cv2.resize(part, size, interpolation=cv2.INTER_AREA))
            best = max(best, float(cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED).max()))
    return min(best, 1.0), best == as_is
