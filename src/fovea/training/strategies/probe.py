"""Probe: the backbone stays as it is, each picture passes it once, and a head learns from the stored vectors."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fovea.data import Source
from fovea.embeddings.extract import embed
from fovea.embeddings.store import EmbeddingStore
from fovea.loading.batches import ArrayBatches
from fovea.loading.stored import Inputs
from fovea.models.heads.linear import LinearHead
from fovea.models.weights import save_weights
from fovea.training.checkpoint import BEST
from fovea.training.goal import goal_of
from fovea.training.loop import fit, predict_logits
from fovea.training.method import Method, Stopping
from fovea.training.solvers import solve
from fovea.training.standardise import Standardised
from fovea.training.strategy import STRATEGIES, Learned, Looked, Plan, Strategy, StrategyInfo
from fovea.types import Ints, Item, TargetArray

_MLP = Method(epochs=50, lr=1e-3, stop=Stopping(patience=8))  # early stopping ends it sooner; the texts take 10 epochs without it


class Probe(Strategy):
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.embedder = plan.embedder()

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started = time.perf_counter()
        seen = embed(source, items, hashes, embedder=self.embedder, store=store)
        # decoding and inference run side by side, so their seconds on the clock are one figure
        return Looked(seen.vectors, seen.facts, seen.problems, embed_s=time.perf_counter() - started, num_from_store=seen.num_from_store)

    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        settings, network = self.plan.settings, self.plan.network
        inputs = np.asarray(inputs, np.float32)
        save_weights(network.body.backbone, checkpoint / BEST, self.plan.passport)  # as they are: `--weights RUN` takes them
        if settings.head == "linear":
            num_outputs = network.head.arrays()[-1][1].shape[0]
            solver = self.plan.goal.solver
            fitted = solve(solver, inputs[train], targets[train], groups[train], num_outputs=num_outputs, seed=settings.seed)
            network.head = LinearHead.from_arrays(fitted.weight, fitted.bias)
            search = [{"name": "regularisation C", "value": c, "loss": loss, "std": std} for c, loss, std in fitted.search]
            return Learned(
                inputs @ fitted.weight.T + fitted.bias, self.embedder.onnx, search=search, notes=(fitted.note,), embeddings=inputs,
                pretrained=inputs, strength=fitted.strength,
            )  # fmt: skip
        scale = Standardised(inputs[train])
        method = settings.method(_MLP)
        scaled, num_classes = scale.apply(inputs), network.head.arrays()[-1][1].shape[0]
        balanced = method.balance == "sampling"
        history = fit(
            network.head,
            ArrayBatches(scaled, targets, train, batch_size=settings.batch_size, shuffle=True, seed=settings.seed, balanced=balanced),
            ArrayBatches(scaled, targets, validation, batch_size=settings.batch_size),
            method=method,
            goal=goal_of(method, targets[train], num_classes, "cpu", self.plan.goal.loss),
            checkpoint=checkpoint,
            key=f"{key} {self.embedder.space}",  # other weights, other vectors: nothing to go on from
        )
        scale.fold_into(network.head.dense_layers()[0])
        logits = predict_logits(network.head, inputs, 1024)
        return Learned(logits, self.embedder.onnx, history=history, method=method, embeddings=inputs, pretrained=inputs)


@STRATEGIES.add(
    StrategyInfo(purpose="few pictures, a processor, and a backbone that has seen similar ones", needs_weights=True, options=("weights",))
)
def probe(plan: Plan) -> Probe:
    """A frozen backbone and a head on its embeddings."""
    return Probe(plan)
