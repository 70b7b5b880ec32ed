"""A bundle as the methods see it: answers, and where it gives them its last maps. Nothing here needs torch."""

from typing import Any

import numpy as np

from fovea.bundle import Bundle
from fovea.bundle.bundle import FEATURES
from fovea.errors import InputError
from fovea.explain.subject import TURN, Need, Subject
from fovea.loading.parallel import chunks, map_ordered
from fovea.types import Floats

_SMALLEST = 1e-12  # a probability below counts as this: its logarithm would be no number


class BundleSubject(Subject):
    """A bundle as the methods see it.

    Its score is what stands before the activation: of a head that it brings along exactly, else as far as the answer gives it back
    (of a probability p its logarithm, or log p/(1-p) where each output is one by itself).
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.class_names = tuple(bundle.class_names)
        self._has_maps = FEATURES in bundle.engine.output_names
        offered: dict[Need, bool] = {"maps": self._has_maps, "pooled_head": self._has_maps and bundle.head is not None}
        self.offers = frozenset(need for need, has in offered.items() if has)
        self.layer = FEATURES if self._has_maps else ""
        if self._has_maps:
            self.margins_px = (bundle.info.outputs[FEATURES].margins_px,) * 2
        self._last: tuple[Any, dict[str, Floats]] | None = None

    def find(self, pixels: Any) -> None:
        """Raises InputError where that is no picture as the model takes it."""
        side = self.bundle.info.preprocessing.size_px
        if pixels.shape != (side, side, 3) or pixels.dtype != np.uint8:
            raise InputError(
                f"the bundle {str(self.bundle.path)!r} takes pictures of {side} x {side} px", got=f"{pixels.dtype} {tuple(pixels.shape)}",
                expected=f"uint8 ({side}, {side}, 3)", fix="name the picture's file, or prepare it: load_bundle(...).prepare(content)",
            )  # fmt: skip

    def answer(self, pictures: Any) -> Floats:
        return self._outputs(pictures, (self.bundle.task.answer,))[self.bundle.task.answer]

    def scores(self, pictures: Any, target: int) -> Floats:
        wanted = "embedding" if self.bundle.head else self.bundle.task.answer
        return self._scores(self._outputs(pictures, (wanted,)), target)

    def first(self, pixels: Any) -> tuple[Floats, Any]:
        found = self.look(pixels)
        return found[self.bundle.task.answer][0], lambda target: float(self._scores(found, target)[0])

    def forget(self) -> None:
        self._last = None

    def look(self, pixels: Any) -> dict[str, Floats]:
        """All outputs for one picture (H, W, 3), (1, ...) each; kept until `forget`."""
        if self._last is None or self._last[0] is not pixels:
            self._last = pixels, self.bundle.engine(np.ascontiguousarray(pixels[None]))
        return self._last[1]

    def maps(self, pictures: Any) -> Floats:
        if self._last is not None and len(pictures) == 1 and pictures.base is self._last[0]:
            return self._last[1][FEATURES]
        return self._outputs(pictures, (FEATURES,))[FEATURES]

    def pooled_head(self, target: int) -> Floats:
        if self.bundle.head is None:
            raise RuntimeError("this bundle brings no head")
        weights: Floats = self.bundle.head[0][target]
        return weights

    def _scores(self, outputs: dict[str, Floats], target: int) -> Floats:
        if self.bundle.head:
            weight, bias = self.bundle.head
            logits = outputs["embedding"] @ weight.T + bias
        else:
            logits = self._before_activation(outputs[self.bundle.task.answer])
        scores: Floats = self.bundle.task.score({"logits": logits}, target)
        return scores

    def _before_activation(self, answers: Floats) -> Floats:
        if self.bundle.task.activation == "identity":
            return answers
        safe = np.clip(answers, _SMALLEST, 1.0)
        logits: Floats = np.log(safe)
        return logits if self.bundle.task.activation == "softmax" else logits - np.log(np.clip(1 - answers, _SMALLEST, 1.0))

    def _outputs(self, pictures: Any, names: tuple[str, ...]) -> dict[str, Floats]:
        """The named outputs of many pictures, run side by side in threads."""
        turns = list(map_ordered(lambda turn: self.bundle.engine(pictures[turn.start : turn.stop], names), chunks(len(pictures), TURN)))
        return {name: np.concatenate([turn[name] for turn in turns]) for name in names}
