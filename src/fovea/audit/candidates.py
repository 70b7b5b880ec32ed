"""Which pictures could be the same, by hashes of 63 bits alone: in time that grows little faster than the number of pictures."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]

_MOST_BITS = 8  # of 63: of 400 photos, copies resized or compressed anew differ in 0 to 2, crops of 5 % in at most 7
_BAND_BITS, _NUM_BANDS = 21, 3
_MOST_PER_BUCKET = 128  # of a crowd of equal hashes each is compared with the first so many: enough to join them all
_MOST_LOOKED_AT = 15_000_000  # hashes compared for one band; above it the crowds are cut down further
_STEP = 4_000_000  # of these at once, 100 MB
# A picture with more candidates than this stands in a crowd: of drawings or digits, say, which a hash cannot tell apart, or of a
# film's frames. Only so many of its nearest are then taken, and only within these bits.
_CROWD, _NEAREST_IN_CROWD, _BITS_IN_CROWD = 32, 4, 2


class Candidates(NamedTuple):
    """Pairs (P,) by their places, each once and with first < second; whether one is mirrored; whether either stands in a crowd."""

    first: Int64s
    second: Int64s
    mirrored: Bools
    crowded: Bools


def candidates(hashes: UInt64s, *, mirror: np.uint64 | None = None) -> Candidates:
    """Pairs that a likeness of hashes speaks for.

    The hash of each whole picture, and of its mirror image, is compared with the hashes of all parts of all others. Two that
    differ in at most 5 bits have one of three bands of 21 bits with at most one of them: each band is looked up as it is and
    with each of its bits turned. Of those that differ in 6 to 8 bits, most are found in this way too.

    Args:
        hashes: (N, P), of the whole first, and of its parts.
        mirror: The bits that a mirror turns; None where nothing can be mirrored.
    """
    count, num_parts = hashes.shape
    pool, owner = hashes.ravel(), np.repeat(np.arange(count, dtype=np.int32), num_parts)
    whole = np.ascontiguousarray(hashes[:, 0])
    asked = whole if mirror is None else np.concatenate([whole, whole ^ mirror])
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
                others = owner[members[near]].astype(np.int64)
                found.append(_keys(rows[near] % count, others, rows[near] >= count, bits[near], count))
        found = [_unique(np.concatenate(found))]
    return _thinned(found[0], count)


def _keys(first: Int64s, second: Int64s, mirrored: Bools, bits: Int64s, count: int) -> Int64s:
    """Each pair and the bits in which it differs as one number, the same in both directions; a picture with itself is left out."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    return _unique((((low * count + high) * 2 + mirrored) * 16 + bits)[low != high])


def _unique(keys: Int64s) -> Int64s:
    """Sorted, each once. (NumPy's own `unique` hashes integers, and takes ten times as long where there are many equal ones.)"""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])] if len(keys) else keys


def _equal(whole: UInt64s) -> Int64s:
    """The keys of pictures whose hashes are the same in all bits, each with the first of them: found however great the crowd."""
    _, first, inverse = np.unique(whole, return_index=True, return_inverse=True)
    nothing = np.zeros(len(whole), np.int64)
    return _keys(first[inverse].astype(np.int64), np.arange(len(whole)), nothing.astype(np.bool_), nothing, len(whole))


def _thinned(keys: Int64s, count: int) -> Candidates:
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
        kept[order[(rank < _NEAREST_IN_CROWD) & (bits[order] <= _BITS_IN_CROWD)]] = True
    return Candidates(first[kept], second[kept], mirrored[kept], crowded[kept])


def _most_per_bucket(starts: Int32s, variants: Sequence[Int32s]) -> int:
    sizes = np.concatenate([starts[keys + 1] - starts[keys] for keys in variants])
    most = _MOST_PER_BUCKET
    while most > 1 and int(np.minimum(sizes, most).sum(dtype=np.int64)) > _MOST_LOOKED_AT:
        most //= 2
    return most


def _members(starts: Int32s, keys: Int32s, most: int) -> Iterator[tuple[Int64s, Int64s]]:
    """For each asked key the places of the members of its bucket, at most so many: rows of `keys`, and places, some millions at a time."""
    sizes = np.minimum(starts[keys + 1] - starts[keys], most).astype(np.int64)
    asked = np.flatnonzero(sizes)
    ends = np.cumsum(sizes[asked])
    begin = 0
    while begin < len(asked):
        before = ends[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _STEP, side="right")))
        part = asked[begin:end]
        rows = np.repeat(part, sizes[part])
        within = np.arange(len(rows)) - np.repeat(np.cumsum(sizes[part]) - sizes[part], sizes[part])
        yield rows, starts[keys[rows]] + within
        begin = end
