"""What `average` asks of a way to answer once it is chosen, and how long an answer takes."""

import time

import numpy as np

from fovea.audit.survey import Survey
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.evaluation.assessed import assess
from fovea.models.averaged import VIEWS, Averaged
from fovea.selection.mixing import Judge, Way
from fovea.training.settings import TrainSettings
from fovea.types import Floats, Ints, Pixels

_TIMED, _TIMES = 4, 7  # pictures in a call that is timed, and how often


class Answered:
    """A way's answers to the pictures that count, and the network that gives them.

    Args:
        judge, way: What is asked.
        seen: The data.
        shown: Some training rows, which tell what is strange.
        old: What the first run promised.
        seed: Of the folds of the calibration.
    """

    def __init__(self, judge: Judge, way: Way, seen: Survey, shown: Ints, old: TrainSettings, seed: int) -> None:
        self.network = judge.module(way.networks, way.views, _lengths(judge, way))
        self.shipped = way.networks[0] if not isinstance(self.network, Averaged) else self.network
        asked = np.concatenate([shown, seen.rows["validation"], seen.rows["test"]])
        logits, embeddings = (_placed(found, asked, len(seen.items)) for found in reversed(judge.ask(self.network, way.views, asked)))
        self.assessed = assess(
            judge.goal, logits, embeddings, judge.targets, seen.groups, seen.rows, shown=shown, coverage=old.coverage, false_refusal=old.false_refusal, seed=seed
        )  # fmt: skip
        self.answers: Floats = self.assessed.answers[judge.goal.answer]
        side = VIEWS[way.views].wider(judge.preprocessing).size_px
        both = isinstance(self.network, Averaged)
        self.onnx = module_to_onnx(
            self.network if both else way.networks[0].body, size_px=side, outputs=("embedding", "logits") if both else ("embedding",)
        )


def _placed(found: Floats, rows: Ints, count: int) -> Floats:
    """(count, ...) with the values of these rows; nobody asks about the others."""
    whole = np.zeros((count, *found.shape[1:]), np.float32)
    whole[rows] = found
    return whole


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
