"""Augmentation: operations in order, drawn once for a picture and all that belongs to it, and carried out in as few passes as can be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from fovea.errors import InputError
from fovea.files import hash_json
from fovea.transforms.fuse import carry_out, fuse, warp_mask
from fovea.transforms.mix import Batch, Mix
from fovea.transforms.op import Chance, FloatOp, Op, uniform
from fovea.transforms.steps import Matrix, SizePx, Step, Warp, move_points
from fovea.types import Floats, Pixels, Sample, Targets

# Raise it when the same operations and lots would give other pixels.
_VERSION = 1
_TOLERANCE_PX = 1e-3  # of a box at the picture's edge: what rounding to float32 leaves


@dataclass(frozen=True)
class Augmentation:
    """Operations that are applied to training pictures, in order, and mixes that blend the pictures of a batch afterwards.

    Safe in many threads at once, and can be pickled (with `Custom` if its function can).

    Args:
        ops: In order; those that give floats stand at the end (see `floats`).
        mixes: Of several, one is drawn for each batch.

    Raises:
        InputError: Something else than an operation, or an operation after one that gives floats.
    """

    ops: tuple[Op, ...] = ()
    mixes: tuple[Mix, ...] = ()
    _plan: tuple[tuple[Op, int, int], ...] = field(init=False, repr=False, compare=False)
    _num_lots: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ops", tuple(self.ops))
        _check_order(self.ops)
        plan, start = [], 0
        for op in self.ops:
            plan.append((op, start, start + 1 + op.num_draws))
            start += 1 + op.num_draws
        object.__setattr__(self, "_plan", tuple(plan))
        object.__setattr__(self, "_num_lots", start)

    @property
    def is_identity(self) -> bool:
        """Whether no operation is ever applied, so that pictures by themselves are only brought to their size."""
        return all(op.chance == 0 for op in self.ops)

    @property
    def float_ops(self) -> tuple[FloatOp, ...]:
        """The operations that give floats, which belong to every split: see `floats`."""
        return tuple(op for op in self.ops if isinstance(op, FloatOp) and op.chance)

    @property
    def key(self) -> str:
        """The same for the same operations with the same settings: part of the key of what is cached."""
        return hash_json([_VERSION, *([{"name": one.name, **one.settings()} for one in some] for some in (self.ops, self.mixes))])

    def describe(self) -> list[str]:
        """A line for each operation and each mix, with its settings."""
        return [str(one) for one in (*self.ops, *self.mixes)]

    def draw(self, rng: Chance, size_px: SizePx) -> list[Step]:
        """What happens to one picture of this size: the steps of all operations, not yet fused.

        The same count of numbers is taken from `rng` whatever is drawn, so that no operation's draw depends on another's.

        Raises:
            InputError: A picture of this size cannot be treated so, for example one smaller than a crop.
        """
        lots = uniform(rng, self._num_lots)
        steps: list[Step] = []
        for op, start, stop in self._plan:
            if lots[start] < op.chance:
                found = op.steps(lots[start + 1 : stop], size_px)
                steps += found
                for step in found:
                    if isinstance(step, Warp):
                        size_px = step.size_px
        return steps

    def pixels(self, pixels: Pixels, rng: Chance, size_px: int) -> Pixels:
        """One training picture: the fast path, for pictures without boxes, masks and points.

        Args:
            pixels: uint8 (H, W, 3) RGB of any size, read-only or not; left as it was.
            rng: Where chance comes from; the same state gives the same picture.
            size_px: Side of the result; the stretch to it is part of the one warp.

        Returns:
            uint8 (size_px, size_px, 3), contiguous, sharing no memory with the input.

        Raises:
            InputError: `pixels` is no RGB picture, or is smaller than a crop.
        """
        _check_pixels(pixels)
        size = (pixels.shape[0], pixels.shape[1])
        return carry_out(fuse(self.draw(rng, size), size, (size_px, size_px)), pixels)

    def __call__(self, sample: Sample, rng: Chance, size_px: int | None = None) -> Sample:
        """A picture with its boxes, masks and points, all moved by the same draw.

        A moved box is the upright box of its four corners, clipped to the picture; a box of which nothing is left is
        dropped, with its label and its mask (where there is one mask for each box). A mask follows the pixels, what is
        filled in included, without mixing values. A point keeps its place in the list also where it leaves the picture.

        Args:
            sample: Left as it was.
            rng: As for `pixels`; the same state gives the same picture.
            size_px: Side of the result; None leaves it as large as the operations make it.

        Raises:
            InputError: Boxes outside the picture or without one label each, a mask of another size, points of another shape.
        """
        _check_pixels(sample.pixels)
        size = (sample.pixels.shape[0], sample.pixels.shape[1])
        check_targets(sample.targets, size, path=sample.path)
        steps = fuse(self.draw(rng, size), size, None if size_px is None else (size_px, size_px))
        warps = [step for step in steps if isinstance(step, Warp)]
        return replace(sample, pixels=carry_out(steps, sample.pixels), targets=_moved(sample.targets, warps))

    def mixed(self, batch: Batch, targets: Floats, rng: np.random.Generator) -> tuple[Batch, Floats]:
        """A finished training batch whose pictures are blended with one another, as one of the mixes does it; see `Mix`.

        Args:
            batch: uint8 or float32 (B, H, W, 3); left as it was.
            targets: float32 (B, K), shares of the classes; left as they were.
            rng: Where chance comes from.
        """
        if not self.mixes:
            return batch, targets
        return self.mixes[int(rng.integers(len(self.mixes)))](batch, targets, rng)

    def floats(self, batch: Pixels) -> Floats:
        """Finished pictures as the model takes them: the operations that give floats, for any split.

        Args:
            batch: uint8 (B, H, W, 3).

        Returns:
            float32 (B, H, W, 3), in levels (0 to 255 before any of them).
        """
        values = batch.astype(np.float32)
        for op in self.float_ops:
            values = op.floats(values)
        return values


def check_targets(targets: Targets, size_px: SizePx, *, path: str = "") -> None:
    """Whether boxes, masks and points can belong to a picture of this size.

    Raises:
        InputError: They cannot; the message names `path`.
    """
    height, width = size_px
    boxes, masks, points = targets.boxes, targets.masks, targets.points
    who = repr(path) if path else "a picture"
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise InputError(f"the boxes of {who} have the wrong shape", got=boxes.shape, expected="(N, 4): x0 y0 x1 y1", fix="reshape them")
    ends = np.array([width, height, width, height]) + _TOLERANCE_PX
    outside = ~((boxes >= -_TOLERANCE_PX) & (boxes <= ends)).all(axis=1)  # so that NaN is outside, too
    if outside.any():
        raise InputError(
            f"a box of {who} lies outside its picture",
            got=f"box {int(outside.argmax())}: {boxes[outside.argmax()].tolist()}",
            expected=f"x0 y0 x1 y1 in pixels, from 0 to {width} and 0 to {height}",
            fix="clip the boxes to the picture, or multiply them by its sides if they are fractions of these",
        )
    reversed_ = (boxes[:, 2:] < boxes[:, :2]).any(axis=1)
    if reversed_.any():
        raise InputError(
            f"a box of {who} ends before it begins",
            got=f"box {int(reversed_.argmax())}: {boxes[reversed_.argmax()].tolist()}",
            expected="x0 y0 x1 y1 with x0 <= x1 and y0 <= y1",
            fix="convert boxes given as x y width height",
        )
    if targets.box_labels and len(targets.box_labels) != len(boxes):
        raise InputError(
            f"{who} has another number of box labels than of boxes",
            got=f"{len(targets.box_labels)} labels, {len(boxes)} boxes",
            expected="one label for each box, or none at all",
            fix="give each box its label",
        )
    if masks is not None:
        _check_masks(masks, len(boxes), size_px, who)
    if points.ndim != 2 or points.shape[1] != 2:
        raise InputError(f"the points of {who} have the wrong shape", got=points.shape, expected="(P, 2): x y", fix="reshape them")


def _check_masks(masks: Pixels, num_boxes: int, size_px: SizePx, who: str) -> None:
    if masks.ndim != 3 or masks.shape[1:] != size_px or masks.dtype != np.uint8:
        raise InputError(
            f"the masks of {who} are of another size than their picture",
            got=f"{masks.dtype} {masks.shape}",
            expected=f"uint8 (N, {size_px[0]}, {size_px[1]})",
            fix="bring the masks to the picture's size without mixing values (cv2.INTER_NEAREST)",
        )
    if num_boxes and len(masks) != num_boxes:
        raise InputError(
            f"{who} has another number of masks than of boxes",
            got=f"{len(masks)} masks, {num_boxes} boxes",
            expected="one mask for each box, or boxes or masks alone",
            fix="leave out the boxes or the masks",
        )


def _moved(targets: Targets, warps: Sequence[Warp]) -> Targets:
    boxes, masks, points = targets.boxes.copy(), targets.masks, targets.points.copy()
    kept = np.ones(len(boxes), bool)
    for warp in warps:
        forward = np.asarray(np.linalg.inv(warp.matrix), np.float64)
        points = move_points(points, forward)
        boxes = _move_boxes(boxes, forward, warp.size_px)
        kept &= (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        if masks is not None:
            masks = np.array([warp_mask(mask, warp) for mask in masks], np.uint8).reshape(len(masks), *warp.size_px)
    if masks is not None:
        masks = masks[kept] if len(masks) == len(kept) else masks.copy()
    labels = tuple(label for label, keep in zip(targets.box_labels, kept, strict=False) if keep)
    return Targets(boxes=boxes[kept], box_labels=labels, masks=masks, points=points)


def _move_boxes(boxes: Floats, forward: Matrix, size_px: SizePx) -> Floats:
    """(N, 4): the upright boxes of the moved corners, clipped; empty where nothing is left."""
    corners = move_points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2), forward).reshape(-1, 4, 2)
    ends = np.array([size_px[1], size_px[0]], np.float32)
    # a corner that lies behind the horizon is NaN: such a box reaches to the edge of the picture on all sides
    low, high = np.nan_to_num(corners.min(axis=1), nan=0.0), np.where(np.isnan(corners.max(axis=1)), ends, corners.max(axis=1))
    return np.concatenate([np.clip(low, 0, ends), np.clip(high, 0, ends)], axis=1).astype(np.float32)


def _check_pixels(pixels: Pixels) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
        raise InputError(
            "this is no RGB picture",
            got=f"{pixels.dtype} {pixels.shape}",
            expected="uint8 (H, W, 3)",
            fix="decode it with fovea.data.decode, or repeat a grey picture three times",
        )


def _check_order(ops: Iterable[Op]) -> None:
    last: Op | None = None
    for op in ops:
        if not isinstance(op, Op):
            raise InputError(
                "an augmentation is made of operations",
                got=repr(op),
                expected="operations as create_op gives them",
                fix="give Custom(function=...) for a function of your own",
            )
        if isinstance(last, FloatOp) and not isinstance(op, FloatOp):
            raise InputError(
                f"{op.name} stands after {last.name}",
                got=f"{last.name}, {op.name}",
                expected="operations that give floats at the end, since all others work on uint8 pictures",
                fix=f"move {last.name} to the end",
            )
        last = op
