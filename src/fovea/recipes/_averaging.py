"""What `average` asks of a way to answer once it is chosen, and how long an answer takes."""

import time
from typing import Any

import numpy as np

from fovea.audit.survey import Survey
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.evaluation.answers import Answering, fit_answering
from fovea.models.averaged import VIEWS, Averaged
from fovea.selection.mixing import Judge, Way
from fovea.training.settings import TrainSettings
from fovea.types import Floats, Ints, Pixels

_TIMED, _TIMES = 4, 7  # pictures in a call that is timed, and how often


class Answered:
    """A way's answers to the pictures that count, and what stands between its logits and them, set on validation.

    Args:
        judge, way: What is asked.
        seen: The data.
        shown: Some training rows, which tell what is strange.
        old: What the first run promised.
        seed: Of the folds of the calibration.
    """

    def __init__(self, judge: Judge, way: Way, seen: Survey, shown: Ints, old: TrainSettings, seed: int) -> None:
        rows, goal = seen.rows, judge.goal
        self.network = judge.module(way.networks, way.views, _lengths(judge, way))
        self.shipped = way.networks[0] if not isinstance(self.network, Averaged) else self.network
        asked = np.concatenate([shown, rows["validation"], rows["test"]])
        embeddings, logits = judge.ask(self.network, way.views, asked)
        self.logits: Floats = np.zeros((len(seen.items), logits.shape[1]), np.float32)
        self.embeddings: Floats = np.zeros((len(seen.items), embeddings.shape[1]), np.float32)
        self.logits[asked], self.embeddings[asked] = logits, embeddings
        self.answering: Answering = fit_answering(
            goal,
            self.logits,
            self.embeddings,
            judge.targets,
            seen.groups,
            train=shown,
            validation=rows["validation"],
            seed=seed,
            coverage=old.coverage,
            false_refusal=old.false_refusal,
        )
        self.answers: Floats = self.answering.outputs(self.logits)[goal.answer]
        if self.answering.held_out is not None:
            self.answers[rows["validation"]] = self.answering.held_out
        side = VIEWS[way.views].wider(judge.preprocessing).size_px
        both = isinstance(self.network, Averaged)
        self.onnx = module_to_onnx(
            self.network if both else way.networks[0].body, size_px=side, outputs=("embedding", "logits") if both else ("embedding",)
        )

    def outputs(self, rows: Ints, split: str) -> dict[str, Any]:
        """Of a split's rows; promises are not judged on the validation pictures, which set them."""
        if split == "validation":
            return {self.answering.answer: self.answers[rows]}
        return self.answering.outputs(self.logits[rows], self.embeddings[rows])


def seconds(judge: Judge, way: Way) -> float:
    """Of one core for one picture, without reading it."""
    side = VIEWS[way.views].wider(judge.preprocessing).size_px
    engine = open_engine(
        module_to_onnx(judge.module(way.networks, way.views), size_px=side, outputs=("embedding", "logits")), name=judge.engine
    )
    pixels: Pixels = np.random.default_rng(0).integers(0, 256, (_TIMED, side, side, 3), np.uint8)
    engine(pixels)
    began = time.process_time()  # the processor's own, so that other programs do not count
    for _ in range(_TIMES):
        engine(pixels)
    return (time.process_time() - began) / (_TIMES * _TIMED)


def _lengths(judge: Judge, way: Way) -> list[float]:
    """Of each network's embeddings on validation, so that none outweighs the others when they stand side by side."""
    if len(way.networks) == 1:
        return [1.0]
    ends = np.cumsum([network.body.backbone.num_features for network in way.networks])[:-1]
    return [float(np.sqrt(np.square(part).sum(axis=1).mean())) or 1.0 for part in np.split(way.embeddings, ends, axis=1)]
