"""One picture explained: evidence from a method, made a heat map."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from fovea.errors import InputError
from fovea.explain.method import METHODS, applicable
from fovea.explain.subject import NO_MARGINS, Margins, Need, Subject, spread
from fovea.types import Floats

_WHY: dict[Need, tuple[str, str]] = {
    "maps": (
        "a layer whose output still lies in places, as a convolution's does",
        "take gradients, integrated_gradients, occlusion or rise",
    ),
    "gradients": (
        "a network in torch, with its weights",
        "name the run folder in place of the bundle: it keeps the weights; or take cam, eigencam, occlusion or rise, where the bundle allows them",
    ),
    "pooled_head": ("one linear layer on the means of the last maps", "take gradcam: where there is such a layer, the two are one"),
    "relus": ("ReLUs: guided backpropagation is a rule for them", "take gradients or smoothgrad"),
    "attention": ("a network with attention between the places of a picture (a Vision Transformer)", "take gradcam"),
}


@dataclass(frozen=True)
class Explanation:
    """Why one score is what it is.

    Args:
        heat: float32 (H, W) in [0, 1], of the picture's size: 1 where most speaks for the target, 0 where nothing does.
        evidence: float32 (h, w), as the method gave it: signed, in its own units and resolution.
        method: Its name.
        target: The output that was explained.
        target_name: What that is called.
        score: Of the target for this picture, before softmax where there is one.
        layer: Whose maps were used; "" where the method looks at none.
        top: The largest answers for this picture, with their names.
        notes: What was chosen and why, in plain sentences.
    """

    heat: Floats
    evidence: Floats
    method: str
    target: int
    target_name: str
    score: float
    layer: str = ""
    top: tuple[tuple[str, float], ...] = ()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Everything but the maps."""
        row, column = np.unravel_index(int(self.heat.argmax()), self.heat.shape)
        return {
            "method": self.method,
            "target": self.target,
            "target_name": self.target_name,
            "score": self.score,
            "layer": self.layer,
            "top": [{"name": name, "value": value} for name, value in self.top],
            "hottest": {"x": int(column), "y": int(row)},
            "notes": list(self.notes),
        }


def explain_picture(
    subject: Subject, pixels: Any, *, method: str = "gradcam", target: int | None = None, seed: int = 0, top: int = 5
) -> Explanation:
    """Explains one picture.

    Args:
        subject: The model: `NetworkSubject`, or `BundleSubject` (which needs no torch).
        pixels: (H, W, 3), uint8 RGB or float32 as the model takes it.
        method: One of `METHODS.names()`.
        target: The output to explain; by default the one with the largest answer.
        seed: Of what a method draws by chance.
        top: How many answers to name.

    Raises:
        UnknownName: No such method.
        InputError: The method needs what this model has not; the target does not exist; the picture is too small; or it, or what the
            model answers, holds NaN or infinity.
    """
    if pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InputError(
            "that is no picture", got=f"an array of the shape {tuple(pixels.shape)}", expected="(H, W, 3): RGB, uint8, or floats as the model takes them",
            fix="give one such picture",
        )  # fmt: skip
    if min(pixels.shape[:2]) < 2:
        raise InputError(
            "a picture of one pixel has no places to tell apart", got=f"{pixels.shape[1]} x {pixels.shape[0]} px",
            expected="at least 2 x 2 px, better the size that the model is meant for", fix="give the whole picture",
        )  # fmt: skip
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        raise InputError(
            "the picture holds what is no number", got="NaN or infinity among its values", expected="finite floats, or bytes",
            fix="look at how the picture was prepared: a division by zero is the usual cause",
        )  # fmt: skip
    METHODS[method]  # a name that does not exist is told before any work
    subject.find(pixels)
    try:
        answer, score_of = subject.first(pixels)
        _check_numbers(answer, "what the model answers to this picture")  # first of all: such a network looks as if it had no maps
        evidence_of = check_method(subject, method)
        target = int(answer.argmax()) if target is None else check_target(target, len(answer))
        evidence = np.asarray(evidence_of(subject, pixels, target, seed=seed), np.float32)
        score = score_of(target)
        _check_numbers(evidence, f"what {method} finds in this picture")
    finally:
        subject.forget()
    return Explanation(
        heat=heat_of(evidence, *pixels.shape[:2], margins_px=subject.margins_px if "maps" in METHODS[method].info.needs else NO_MARGINS),
        evidence=evidence,
        method=method,
        target=target,
        target_name=subject.name_of(target),
        score=score,
        layer=subject.layer if "maps" in METHODS[method].info.needs else "",
        top=tuple(subject.top(answer, top)),
        notes=subject.notes,
    )


def _check_numbers(values: Floats, what: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            f"{what} cannot be explained: there is NaN or infinity among it",
            got="what is no number", expected="finite numbers",
            fix="look at the model: its weights may hold NaN, as after a training that went astray",
        )  # fmt: skip


def heat_of(evidence: Floats, height: int, width: int, *, margins_px: Margins = NO_MARGINS) -> Floats:
    """Evidence (h, w) -> heat (H, W) in [0, 1]: what speaks against counts as nothing, then bilinear, then over the largest.

    Args:
        evidence: As a method gave it.
        height, width: Of the picture.
        margins_px: What lies under no cell.
    """
    positive = np.minimum(np.fmax(np.asarray(evidence, np.float32), 0), np.finfo(np.float32).max)
    resized = positive if positive.shape == (height, width) else spread(positive, height, width, margins_px)
    largest = float(resized.max())
    return np.clip(resized / largest, 0, 1) if largest > 0 else np.zeros((height, width), np.float32)


def check_method(subject: Subject, method: str) -> Callable[..., Floats]:
    """The function of a method, once it is clear that it can be used on this model.

    Raises:
        UnknownName: No such method.
        InputError: It needs what this model has not.
    """
    entry = METHODS[method]
    if missing := [need for need in entry.info.needs if need not in subject.offers]:
        expected, fix = _WHY[missing[0]]
        raise InputError(
            f"{method} cannot explain this model",
            got=f"a model without {expected}",
            expected=f"one of the methods that can: {', '.join(applicable(subject))}",
            fix=fix,
        )
    evidence_of: Callable[..., Floats] = entry.build  # type: ignore[assignment]
    return evidence_of


def check_target(target: int, num_outputs: int) -> int:
    """Raises InputError where there is no such output."""
    if not 0 <= target < num_outputs:
        raise InputError(
            f"there is no output {target}: the model has {num_outputs:,}",
            got=str(target), expected=f"0 to {num_outputs - 1}", fix="name one of these; leave it out for the most probable",
        )  # fmt: skip
    return target
