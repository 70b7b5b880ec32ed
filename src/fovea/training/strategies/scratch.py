"""Scratch: a network learns everything from these pictures alone."""

import time
from collections.abc import Sequence
from pathlib import Path

from fovea.data import Source
from fovea.embeddings.store import EmbeddingStore
from fovea.engines.to_onnx import module_to_onnx
from fovea.loading.pictures import load_pictures
from fovea.models.weights import save_weights
from fovea.training.checkpoint import BEST
from fovea.training.loop import Examples, Inputs, Schedule, fit, predict_logits
from fovea.training.strategy import STRATEGIES, Learned, Looked, Plan, Strategy, StrategyInfo
from fovea.types import Ints, Item

_EPOCHS = 50  # as the texts; early stopping mostly ends it sooner


class Scratch(Strategy):
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started = time.perf_counter()
        loaded = load_pictures(source, items, hashes, preprocessing=self.plan.preprocessing)
        store.put_facts(loaded.facts)
        return Looked(loaded.pixels, loaded.facts, loaded.problems, decode_s=time.perf_counter() - started)

    def learn(self, inputs: Inputs, targets: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str) -> Learned:
        settings, network = self.plan.settings, self.plan.network
        schedule = Schedule(settings.epochs or _EPOCHS, settings.batch_size, settings.lr, settings.patience, settings.seed)
        examples = [Examples(inputs, targets, rows) for rows in (train, validation)]
        history = fit(network, *examples, schedule=schedule, checkpoint=checkpoint, key=key)
        save_weights(network.body.backbone, checkpoint / BEST, self.plan.passport)
        onnx = module_to_onnx(network.body, size_px=self.plan.preprocessing.size_px)
        return Learned(predict_logits(network, inputs, settings.batch_size), onnx, history=history)


@STRATEGIES.add(StrategyInfo(purpose="pictures unlike any that weights exist for, and many of them", needs_weights=False))
def scratch(plan: Plan) -> Scratch:
    """A fresh network, trained end to end."""
    return Scratch(plan)
