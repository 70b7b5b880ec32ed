"""The public exam for augmentation operations: whoever adds one calls `check_op("my_operation")` in a test.

Its oracle is paint. A spot, a box's corner and a shape are painted into pictures, the operation moves the pixels, and what
it says of points, boxes and masks must lie where the paint went.
"""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from fovea.errors import InputError
from fovea.testing.exam import require
from fovea.transforms import OPS, Augmentation, Op
from fovea.transforms.fuse import carry_out
from fovea.transforms.limits import limits_of
from fovea.transforms.op import Channels, Curve, FloatOp, Geometry, Kind, Lots, PixelOp
from fovea.transforms.steps import SizePx, Step, Warp
from fovea.types import Floats, Pixels, Sample, Targets

_CLASSES: dict[Kind, Any] = {
    "geometry": Geometry, "curve": Curve, "channels": Channels, "pixels": PixelOp, "floats": FloatOp, "policy": Op,
}  # fmt: skip
_HEIGHT, _WIDTH = 150, 190  # no square, and no multiple of anything
_SEEDS = range(8)
_NEAR_PX = 0.5
_SPOT_PX = 2.5  # the deviation of a painted spot
_WHOLE_PX = 25  # so far from the edge a spot is seen whole, also when it is enlarged several times
_BOXES = np.array([[50, 40, 90, 80], [80, 60, 140, 100], [60, 75, 100, 120]], np.float32)
_LABELS = ("a", "b", "c")


def check_op(op: str | Op) -> None:
    """Puts an operation through the exam.

    The same seed gives the same result, also from a pickled copy; other seeds give others; the input is left untouched,
    read-only or not; chance 0 is identity; the result is a contiguous RGB picture of the size asked for; the same count of
    numbers is drawn whatever happens, so that neighbours in an augmentation do not disturb each other; points, boxes and
    masks lie within half a pixel of what was painted there; settings outside their stated limits are errors.

    Args:
        op: A name in the registry, or an operation with settings of its own.

    Raises:
        ExamFailed: A fact is not true; the message says which.
    """
    who = f"operation {op}"
    if isinstance(op, str):
        info = OPS[op].info
        built: Any = info.example() if info.example else OPS[op].build()
        require(isinstance(built, _CLASSES[info.kind]), who, f"it is of kind {info.kind!r} and is no {_CLASSES[info.kind].__name__}")
        require(built.name == op, who, f"its class is called {type(built).__name__}, so it should be registered as {built.name!r}")
        require(bool((type(built).__doc__ or "").strip()) and bool(info.source), who, "it has no docstring, or names no source")
        for strength in info.strengths:
            for value in {strength.weakest, strength.rand, strength.trivial, -strength.trivial if strength.signed else strength.trivial}:
                require(strength.build(value).chance == 1, who, f"at strength {value} ({strength.name}) it is not always applied")
        _examine(built, who)
    else:
        _examine(op, who)


def _examine(op: Op, who: str) -> None:
    _check_settings(op, who)
    if isinstance(op, FloatOp):
        _check_floats(op, who)
        return
    op = replace(op, chance=1.0)
    _check_seeds(op, who)
    _check_off(op, who)
    _check_result(op, who)
    _check_draws(op, who)
    if isinstance(op, (Curve, Channels, PixelOp)):
        _check_stays(op, who)
    else:
        _check_follows(op, who)


def painted_sample() -> Sample:
    """A picture of coloured clouds with three boxes, their masks, and nine points; its arrays are read-only."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (15, 19, 3), np.uint8)
    pixels = np.asarray(cv2.resize(coarse, (_WIDTH, _HEIGHT), interpolation=cv2.INTER_CUBIC), np.uint8)
    pixels[::7, ::5] = 255 - pixels[::7, ::5]  # fine detail, too
    points = np.array([[x, y] for x in (55, 95, 135) for y in (45, 75, 105)], np.float32) + rng.random((9, 2), np.float32)
    sample = Sample(pixels, path="painted", label="clouds", targets=Targets(_BOXES.copy(), _LABELS, _masks(), points))
    for array in (sample.pixels, sample.targets.boxes, sample.targets.masks, sample.targets.points):
        if array is not None:
            array.setflags(write=False)
    return sample


def _masks() -> Pixels:
    """(3, H, W): the first box whole, in the others a disc and a slanted shape."""
    masks = np.zeros((3, _HEIGHT, _WIDTH), np.uint8)
    masks[0, 40:80, 50:90] = 1
    cv2.circle(masks[1], (110, 80), 19, 1, thickness=cv2.FILLED)
    cv2.fillConvexPoly(masks[2], np.array([[60, 100], [85, 75], [99, 110], [70, 119]], np.int32), 1)
    return masks


def _run(op: Op, sample: Sample, seed: int, size_px: int | None = None) -> Sample:
    return Augmentation((op,))(sample, np.random.default_rng(seed), size_px)


def _check_settings(op: Op, who: str) -> None:
    for key, limits in limits_of(op).items():
        wrong: list[object] = [float("nan"), "much"] if not limits.choices else ["no such choice", None]
        if not limits.choices:
            wrong += [limits.low - 1] if np.isfinite(limits.low) else []
            wrong += [limits.high + 1] if np.isfinite(limits.high) else []
        if key.endswith("_range"):
            low, high = getattr(op, key)
            wrong = [(value, high) for value in wrong] + [(high + 1e-3, low), (low,), None, low]
        for value in wrong:
            try:
                replace(op, **{key: value})  # type: ignore[arg-type]  # wrong on purpose
            except InputError as error:
                require(op.name in error.problem and key in error.problem, who, f"the error for {key}={value!r} does not name it: {error}")
                continue
            except Exception as error:
                require(False, who, f"{key}={value!r} gives {type(error).__name__} in place of an InputError")
            require(False, who, f"{key}={value!r} is accepted")


def _check_seeds(op: Op, who: str) -> None:
    sample = painted_sample()
    before = _bytes(sample)
    copy: Op = pickle.loads(pickle.dumps(op))
    results = []
    for seed in _SEEDS:
        result = _run(op, sample, seed)
        require(_bytes(result) == _bytes(_run(op, sample, seed)), who, f"seed {seed} gives two results")
        require(_bytes(result) == _bytes(_run(copy, sample, seed)), who, f"its pickled copy gives another result for seed {seed}")
        results.append(_bytes(result))
    require(_bytes(sample) == before, who, "it changes its input")
    ranges = [getattr(op, key) for key in limits_of(op) if key.endswith("_range")]
    fixed = op.num_draws == 0 or (bool(ranges) and all(low == high for low, high in ranges))
    require(fixed or len(set(results)) > 1, who, f"it draws {op.num_draws} numbers, and {len(results)} seeds give one result")


def _check_off(op: Op, who: str) -> None:
    sample = painted_sample()
    result = _run(replace(op, chance=0.0), sample, 0)
    require(_bytes(result) == _bytes(sample), who, "with chance 0 it changes something")
    require(not np.may_share_memory(result.pixels, sample.pixels), who, "its result is its input's memory")


def _check_result(op: Op, who: str) -> None:
    sample = painted_sample()
    for seed in _SEEDS:
        for size_px in (None, 64):
            result = _run(op, sample, seed, size_px)
            pixels, masks = result.pixels, result.targets.masks
            require(
                pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.flags.c_contiguous,
                who,
                f"its result is {pixels.dtype} {pixels.shape}, and should be contiguous uint8 (H, W, 3)",
            )
            require(size_px is None or pixels.shape == (size_px, size_px, 3), who, f"asked for {size_px} px it gives {pixels.shape}")
            require(masks is not None and masks.shape[1:] == pixels.shape[:2], who, "its masks are not of its picture's size")
            require(not np.may_share_memory(pixels, sample.pixels), who, "its result is its input's memory")
        fast = Augmentation((op,)).pixels(sample.pixels, np.random.default_rng(seed), 64)
        require(np.array_equal(fast, _run(op, sample, seed, 64).pixels), who, "Augmentation.pixels and a call give different pixels")


@dataclass(frozen=True, kw_only=True)
class _Idle(Op):
    """Draws, and does nothing."""

    num_draws = 3

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        return ()


def _check_draws(op: Op, who: str) -> None:
    sample = painted_sample()
    states = []
    for chance in (0.0, 1.0):
        rng = np.random.default_rng(0)
        replace(op, chance=chance).draw(rng, (_HEIGHT, _WIDTH))
        states.append(str(rng.bit_generator.state))
    require(states[0] == states[1], who, "how many numbers it draws depends on whether it is applied")
    for seed in _SEEDS:
        results = [
            _bytes(Augmentation((_Idle(chance=before), op, _Idle(chance=after)))(sample, np.random.default_rng(seed)))
            for before, after in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
        ]
        require(len(set(results)) == 1, who, f"its result depends on what its neighbours draw (seed {seed})")


def _check_stays(op: Op, who: str) -> None:
    """Targets are left alone, and the detail of the picture stays where it was."""
    sample = painted_sample()
    edges = _edges(sample.pixels)
    for seed in _SEEDS:
        result = _run(op, sample, seed)
        require(_bytes(replace(result, pixels=sample.pixels)) == _bytes(sample), who, "it leaves places as they are, and changes targets")
        found = _edges(result.pixels)
        if not found.any():
            continue
        (x, y), _ = cv2.phaseCorrelate(edges, found)
        require(max(abs(x), abs(y)) <= _NEAR_PX, who, f"it moves the picture by {x:.1f}, {y:.1f} px, and leaves the targets (seed {seed})")


def _edges(pixels: Pixels) -> npt.NDArray[np.float64]:
    grey = pixels.mean(axis=2)
    return np.asarray(np.hypot(cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)), np.float64)


def _check_follows(op: Op, who: str) -> None:
    if {"fill", "fill_value"} <= {entry.name for entry in fields(op)}:
        unfilled: Any = {"fill": "constant", "fill_value": 0}  # so that no paint is mirrored into the picture
        op = replace(op, **unfilled)
    sample = painted_sample()
    points = sample.targets.points
    corners = _BOXES[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)
    num_points = num_boxes = 0
    for seed in _SEEDS:
        moved = _run(op, sample, seed)
        size = moved.pixels.shape[:2]
        said = moved.targets.points
        require(len(said) == len(points), who, "it loses points")
        for index, spot in enumerate(_spots(op, points, seed)):
            inside = bool((said[index] > 0).all() and said[index][0] < size[1] and said[index][1] < size[0])
            require(spot is None or inside, who, f"it says that a point left the picture, and its paint is there (seed {seed})")
            deep = bool((said[index] > _WHOLE_PX).all() and (said[index] < np.array(size[::-1]) - _WHOLE_PX).all())
            require(spot is not None or not deep, who, f"it says that a point is in the picture, and its paint is not (seed {seed})")
            if spot is not None:
                off = float(np.abs(spot - said[index]).max())
                require(off <= _NEAR_PX, who, f"a point lies {off:.2f} px beside its paint (seed {seed})")
                num_points += 1
        painted = list(_spots(op, corners, seed))
        for index, label in enumerate(_LABELS):
            four = [spot for spot in painted[4 * index : 4 * index + 4] if spot is not None]
            if len(four) < 4:
                continue
            require(label in moved.targets.box_labels, who, f"it drops a box whose corners are all in the picture (seed {seed})")
            box = moved.targets.boxes[moved.targets.box_labels.index(label)]
            true = np.concatenate([np.min(four, axis=0), np.max(four, axis=0)])
            off = float(np.abs(box - true).max())
            require(off <= _NEAR_PX, who, f"a box lies {off:.2f} px beside its painted corners (seed {seed})")
            num_boxes += 1
        _check_masks(op, moved, seed, who)
    require(num_points >= 10 and num_boxes >= 3, who, f"of its paint only {num_points} points and {num_boxes} boxes stay in the picture")


def _check_masks(op: Op, moved: Sample, seed: int, who: str) -> None:
    """Each mask is the paint to within a pixel at every place, and to within half a pixel as a whole."""
    shapes = _move(op, np.ascontiguousarray(255 * _masks().transpose(1, 2, 0)), seed)
    masks = moved.targets.masks
    require(masks is not None and len(masks) == len(moved.targets.boxes), who, "masks and boxes are no longer as many")
    for mask, label in zip([] if masks is None else masks, moved.targets.box_labels, strict=True):
        paint = (shapes[:, :, _LABELS.index(label)] >= 128).astype(np.uint8)
        around = np.ones((3, 3), np.uint8)
        near = (mask <= cv2.dilate(paint, around)).all() and (mask >= cv2.erode(paint, around)).all()
        require(bool(near), who, f"a mask leaves its paint (seed {seed})")
        if mask.any() and paint.any():
            off = float(np.abs(np.argwhere(mask).mean(axis=0) - np.argwhere(paint).mean(axis=0)).max())
            require(off <= _NEAR_PX, who, f"a mask lies {off:.2f} px beside its paint (seed {seed})")


def _spots(op: Op, points: Floats, seed: int) -> Iterator[Floats | None]:
    """Where the paint of each point is after the operation; None where it is not whole in the picture.

    Three points at a time are painted, each in a channel of its own, and found again by the same seed.
    """
    rows, columns = np.mgrid[:_HEIGHT, :_WIDTH] + 0.5
    for start in range(0, len(points), 3):
        some = points[start : start + 3]
        canvas = np.zeros((_HEIGHT, _WIDTH, 3), np.uint8)
        for channel, (x, y) in enumerate(some):
            canvas[:, :, channel] = np.rint(255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * _SPOT_PX**2)))
        result = _move(op, canvas, seed)
        yield from (_spot(result[:, :, channel]) for channel in range(len(some)))


def _spot(paint: Pixels) -> Floats | None:
    level = 0.4 * float(paint.max())
    if level < 40:  # nothing, or a remnant at the edge
        return None
    rows, columns = np.nonzero(paint >= level)
    if min(rows.min(), columns.min()) == 0 or rows.max() == paint.shape[0] - 1 or columns.max() == paint.shape[1] - 1:
        return None
    weights = paint[rows, columns].astype(np.float64)
    return np.asarray([(columns + 0.5) @ weights / weights.sum(), (rows + 0.5) @ weights / weights.sum()], np.float32)


def _move(op: Op, pixels: Pixels, seed: int) -> Pixels:
    """What the operation does to the places of these pixels, and not to their colours."""
    if isinstance(op, Geometry):
        return _run(op, Sample(pixels), seed).pixels
    rng = np.random.default_rng(seed)  # a policy may recolour the paint, too
    return carry_out([step for step in op.draw(rng, (_HEIGHT, _WIDTH)) if isinstance(step, Warp)], pixels)


def _check_floats(op: FloatOp, who: str) -> None:
    """It gives float32 of the same shape, row by row, and pictures stay uint8 until then."""
    rng = np.random.default_rng(0)
    side = next((getattr(op, key).shape[:2] for key in ("mean",) if getattr(getattr(op, key, None), "ndim", 0) == 3), (24, 31))
    batch = rng.integers(0, 256, (4, *side, 3), np.uint8)
    batch.setflags(write=False)
    augmentation = Augmentation((op,))
    values = augmentation.floats(batch)
    require(values.dtype == np.float32 and values.shape == batch.shape, who, f"it gives {values.dtype} {values.shape}")
    require(bool(np.isfinite(values).all()), who, "it gives numbers that are not finite")
    require(not np.array_equal(values, batch), who, "it changes nothing")
    single = np.concatenate([augmentation.floats(batch[i : i + 1]) for i in range(len(batch))])
    require(bool(np.allclose(single, values, rtol=1e-4, atol=1e-4)), who, "a picture's values depend on the rest of its batch")
    whole = batch.astype(np.float32)
    op.floats(whole)
    require(np.array_equal(whole, batch), who, "it changes its input")
    off = Augmentation((replace(op, chance=0.0),))
    require(np.array_equal(off.floats(batch), batch), who, "with chance 0 it changes something")
    require(bool(pickle.loads(pickle.dumps(op)) == op), who, "its pickled copy differs")
    sample = painted_sample()
    require(_bytes(_run(op, sample, 0)) == _bytes(sample), who, "it changes uint8 pictures, too")


def _bytes(sample: Sample) -> bytes:
    """All that a sample holds."""
    targets = sample.targets
    arrays: list[npt.NDArray[Any]] = [sample.pixels, targets.boxes, targets.points, *([] if targets.masks is None else [targets.masks])]
    held = [(str(array.dtype), array.shape, array.tobytes()) for array in arrays]
    return pickle.dumps((held, targets.box_labels, sample.label, sample.path))
