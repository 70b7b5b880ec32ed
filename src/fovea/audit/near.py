"""Near duplicates: the same picture again, resized, compressed anew, cropped a little or mirrored.

Candidates come from perceptual hashes (`data.facts`), in time that grows little faster than the number of pictures; each is
then laid over the other and compared, so that likeness in hash alone is never reported.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from fovea.data.facts import NUM_HASHES, THUMBNAIL_PX, mirror_mask
from fovea.loading.parallel import chunks, map_ordered
from fovea.types import Floats, PictureFacts

# Raise it when other pairs would be found in the same pictures: kept answers are then made anew.
NEAR_VERSION = 1

UInt64s = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Thumbnails = Callable[[Mapping[str, PictureFacts]], Mapping[str, npt.NDArray[np.uint8]]]

# Figures of 400 photos of cats and dogs, each against 9 changed copies of itself and against 3,999 others:
_MOST_BITS = 8  # of 63; resized and recompressed copies differ in 0 to 2, crops of 5 % in at most 7 from the nearest part
_SMALLEST_SIMILARITY = 0.82  # copies, JPEG quality 10 included, reach 0.88 and more; the likest of all others 0.46
# ... and in data whose pictures are alike by nature (digits, X-rays), a copy must stand out from these: it may miss perfect
# likeness by this share of what the twentieth-likest part of other pictures misses
_SHARE_OF_OTHERS = 0.2
_NUM_OTHERS = 256
_FLAT = 6.0  # colour spread: what is almost one colour has no likeness to speak of

_BAND_BITS, _NUM_BANDS = 21, 3
_MOST_PER_BUCKET = 128  # of a crowd of equal hashes each is compared with the first so many: enough to join them all
_MOST_LOOKED_AT = 15_000_000  # hashes compared for one band; above it the crowds are cut down further
# A picture with more candidates than this stands in a crowd: of drawings or digits, say, which a hash cannot tell apart, or of a
# film's frames. Only so many of its nearest are then looked at, and only as they are, not shifted and cropped.
_CROWD, _NEAREST_IN_CROWD = 32, 8
_SCALES = (1.0, 0.975, 0.95, 0.925, 0.9)
_COARSE_PX = 13  # what is coarser is taken away before comparing: skies and backdrops are alike everywhere
_TURN = 2048  # pairs a turn: their thumbnails are held at once, 16 MB


@dataclass(frozen=True, slots=True)
class Pair:
    """Two contents that show the same: content hashes in their order, how alike they are (1 is all), and whether one is mirrored."""

    first: str
    second: str
    similarity: float
    mirrored: bool


def find_near(facts: Mapping[str, PictureFacts], thumbnails: Thumbnails, *, extra: Sequence[tuple[str, str]] = ()) -> list[Pair]:
    """All near duplicates among these contents, the same whatever their order.

    Args:
        facts: By content hash.
        thumbnails: Gives (64, 64) grey thumbnails for facts.
        extra: Pairs of contents to be compared as well, for example neighbours by embedding.
    """
    contents = sorted(content for content, fact in facts.items() if fact.colour_spread >= _FLAT)
    if len(contents) < 2:
        return []
    hashes = np.frombuffer(b"".join(facts[content].hashes for content in contents), np.uint64).reshape(-1, NUM_HASHES)
    first, second, mirrored, crowded = candidates(hashes)
    if extra:
        place = {content: index for index, content in enumerate(contents)}
        more = np.array(sorted({(min(place[a], place[b]), max(place[a], place[b])) for a, b in extra if a in place and b in place}), np.int64)
        more = more.reshape(-1, 2)
        first, second = (np.concatenate([old, more[:, side], more[:, side]]) for side, old in enumerate((first, second)))
        mirrored = np.concatenate([mirrored, np.zeros(len(more), np.bool_), np.ones(len(more), np.bool_)])
        crowded = np.concatenate([crowded, np.zeros(2 * len(more), np.bool_)])
    if not len(first):
        return []
    others = _Others(contents, facts, thumbnails)
    best: dict[tuple[int, int], tuple[float, bool]] = {}
    order = np.lexsort((second, first))
    for turn in chunks(len(order), _TURN):
        rows = order[turn.start : turn.stop]
        used = sorted({int(index) for index in (*first[rows], *second[rows])})
        shown = thumbnails({contents[index]: facts[contents[index]] for index in used})
        detail = {index: _detail(shown[contents[index]]) for index in used if contents[index] in shown}
        needed = others.needed(detail)

        def judge(part: range, rows: Ints = rows, detail: dict[int, Floats] = detail, needed: dict[int, float] = needed) -> list[float]:
            found = []
            for row in (rows[place] for place in part):
                a, b = int(first[row]), int(second[row])
                least = max(needed.get(a, 1.0), needed.get(b, 1.0))
                similarity = 0.0
                if a in detail and b in detail:
                    fits = _FITS[:1] if crowded[row] else _FITS
                    similarity = _similarity(detail[a], detail[b], mirrored=bool(mirrored[row]), enough=least, fits=fits)
                found.append(similarity if similarity >= least else 0.0)
            return found

        similarities = (value for part in map_ordered(judge, chunks(len(rows), 64)) for value in part)
        for row, similarity in zip(rows, similarities, strict=True):
            key = (int(first[row]), int(second[row]))
            if similarity > 0 and similarity > best.get(key, (0.0, False))[0]:
                best[key] = (similarity, bool(mirrored[row]))
    return [Pair(contents[a], contents[b], round(similarity, 4), turned) for (a, b), (similarity, turned) in sorted(best.items())]


def candidates(hashes: UInt64s) -> tuple[Ints, Ints, Bools, Bools]:
    """Pairs that a likeness of hashes speaks for: (P,) first, second, whether one is mirrored, whether either stands in a crowd.

    The hash of each whole picture and of its mirror image is compared with the hashes of all parts of all others. Two that
    differ in at most 5 bits have one of three bands of 21 bits with at most one of them: each band is looked up as it is and
    with each of its bits turned. Of those that differ in 6 to 8 bits, most are found in this way too.

    Args:
        hashes: (N, 25), of the whole and its parts.
    """
    count = len(hashes)
    pool, owner = hashes.ravel(), np.repeat(np.arange(count, dtype=np.int32), NUM_HASHES)
    whole = hashes[:, 0]
    asked = np.concatenate([whole, whole ^ mirror_mask()])
    found = [_equal(whole)]
    for band in range(_NUM_BANDS):
        shift, size = np.uint64(band * _BAND_BITS), 1 << _BAND_BITS
        keys = ((pool >> shift) & np.uint64(size - 1)).astype(np.int32)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        starts = np.zeros(size + 1, np.int32)
        np.cumsum(np.bincount(keys, minlength=size), out=starts[1:])
        asked_keys = ((asked >> shift) & np.uint64(size - 1)).astype(np.int32)
        variants = [asked_keys, *(asked_keys ^ np.int32(1 << bit) for bit in range(_BAND_BITS))]
        most = _most_per_bucket(starts, variants)
        for wanted in variants:
            for rows, places in _members(starts, wanted, most):
                members = order[places]
                bits = np.bitwise_count(asked[rows] ^ pool[members]).astype(np.int64)
                near = bits <= _MOST_BITS
                rows, others = rows[near], owner[members[near]].astype(np.int64)
                found.append(_keys(rows % count, others, rows >= count, bits[near], count))
        found = [np.unique(np.concatenate(found))]
    return _thinned(found[0], count)


def _keys(first: Ints, second: Ints, mirrored: Bools, bits: Ints, count: int) -> Ints:
    """Each pair and the bits in which it differs as one number, the same in both directions; a picture with itself is left out."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return np.unique((((low * count + high) * 2 + mirrored) * 16 + bits)[low != high])


def _equal(whole: UInt64s) -> Ints:
    """The keys of pictures whose hashes are the same in all bits, each with the first of them: found however great the crowd."""
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    nothing = np.zeros(len(whole), np.int64)
    return _keys(first[inverse].astype(np.int64), np.arange(len(whole)), nothing.astype(np.bool_), nothing, len(whole))


def _thinned(keys: Ints, count: int) -> tuple[Ints, Ints, Bools, Bools]:
    """Keys taken apart: each pair once, by its fewest bits; where either of it stands in a crowd, only if it is among the nearest of one."""
    keys = keys[np.append(True, keys[1:] // 16 != keys[:-1] // 16)] if len(keys) else keys
    bits, mirrored, pairs = keys % 16, keys // 16 % 2 == 1, keys // 32
    first, second = pairs // count, pairs % count
    sizes = np.bincount(first, minlength=count) + np.bincount(second, minlength=count)
    crowded = (sizes[first] > _CROWD) | (sizes[second] > _CROWD)
    kept = ~crowded
    for side in (first, second):
        order = np.lexsort((bits, side))
        starts = np.append(True, side[order][1:] != side[order][:-1]) if len(order) else np.zeros(0, np.bool_)
        begin = np.flatnonzero(starts)
        rank = np.arange(len(order)) - np.repeat(begin, np.diff(np.append(begin, len(order))))
        kept[order[rank < _NEAREST_IN_CROWD]] = True
    return first[kept], second[kept], mirrored[kept], crowded[kept]


def _most_per_bucket(starts: npt.NDArray[np.int32], variants: Sequence[npt.NDArray[np.int32]]) -> int:
    sizes = np.concatenate([starts[keys + 1] - starts[keys] for keys in variants])
    most = _MOST_PER_BUCKET
    while most > 1 and int(np.minimum(sizes, most).sum(dtype=np.int64)) > _MOST_LOOKED_AT:
        most //= 2
    return most


def _members(starts: npt.NDArray[np.int32], keys: npt.NDArray[np.int32], most: int) -> Iterator[tuple[Ints, Ints]]:
    """For each asked key the places of the members of its bucket, at most so many: rows of `keys`, and places, some millions at a time."""
    sizes = np.minimum(starts[keys + 1] - starts[keys], most).astype(np.int64)
    asked = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[asked])
    step = 4_000_000
    begin = 0
    while begin < len(asked):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + step, side="right")))
        part = asked[begin:end]
        rows = np.repeat(part, sizes[part])
        within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes[part]) - sizes[part], sizes[part])
        yield rows, starts[keys[rows]] + within
        begin = end


class _Others:
    """A sample of the data, against which a likeness has to stand out."""

    def __init__(self, contents: Sequence[str], facts: Mapping[str, PictureFacts], thumbnails: Thumbnails) -> None:
        sample = contents[:_NUM_OTHERS]  # contents are sorted by their hash: the first are as good as drawn by chance
        shown = thumbnails({content: facts[content] for content in sample})
        self._rows = [index for index, content in enumerate(sample) if content in shown]
        self._details = np.stack([_unit(_detail(shown[sample[index]])) for index in self._rows]) if self._rows else np.zeros((0, 1), np.float32)

    def needed(self, detail: Mapping[int, Floats]) -> dict[int, float]:
        """How alike a copy of each picture must be to it."""
        if not detail or len(self._rows) < 20:  # too few to say what is usual
            return dict.fromkeys(detail, _SMALLEST_SIMILARITY)
        indexes = list(detail)
        likeness = np.stack([_unit(detail[index]) for index in indexes]) @ self._details.T  # (pictures, others)
        usual = np.quantile(likeness, 0.95, axis=1)
        return {index: max(_SMALLEST_SIMILARITY, 1 - _SHARE_OF_OTHERS * (1 - float(u))) for index, u in zip(indexes, usual, strict=True)}


def _detail(thumbnail: npt.NDArray[np.uint8]) -> Floats:
    """What is left of a thumbnail when its coarse light and shade are taken away."""
    grey = thumbnail.astype(np.float32)
    return grey - np.asarray(cv2.blur(grey, (_COARSE_PX, _COARSE_PX), borderType=cv2.BORDER_REFLECT), np.float32)


def _unit(detail: Floats) -> Floats:
    flat = (detail - detail.mean()).ravel()
    unit: Floats = flat / (np.linalg.norm(flat) + 1e-6)
    return unit


def _similarity(a: Floats, b: Floats, *, mirrored: bool, enough: float, fits: Sequence[tuple[float, float]]) -> float:
    """The correlation of two details where they fit best, when either is a crop of the other by up to 10 %.

    Args:
        a, b: (64, 64).
        mirrored: Whether `b` is turned around first.
        enough: Once the likeness is this, other ways to lay them over each other are not tried.
        fits: The ways: height and width of the part as shares of the whole.
    """
    if mirrored:
        b = np.ascontiguousarray(b[:, ::-1])
    best = 0.0
    for down, across in fits:
        for whole, part in ((a, b), (b, a)) if (down, across) != (1.0, 1.0) else ((a, b),):
            size = (round(across * THUMBNAIL_PX), round(down * THUMBNAIL_PX))
            template = part if size == (THUMBNAIL_PX, THUMBNAIL_PX) else cv2.resize(part, size, interpolation=cv2.INTER_AREA)
            best = max(best, float(cv2.matchTemplate(whole, template, cv2.TM_CCOEFF_NORMED).max()))
            if best >= enough:
                return min(best, 1.0)
    return best


# from the likeliest on: as it is, cut evenly, then unevenly
_FITS = sorted(((down, across) for down in _SCALES for across in _SCALES), key=lambda fit: (abs(fit[0] - fit[1]) > 0.01, -fit[0] - fit[1]))
