"""What strategies share that begin with a probe: it is learned first, from stored embeddings, and kept where nothing after it is better."""

import time
from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from fovea.data import Source
from fovea.embeddings.extract import embed
from fovea.embeddings.store import EmbeddingStore
from fovea.loading.batches import Batches
from fovea.models.heads.linear import LinearHead
from fovea.training.end_to_end import EndToEnd
from fovea.training.goal import goal_of
from fovea.training.loop import Epoch, evaluate
from fovea.training.method import Method
from fovea.training.solvers import solve
from fovea.training.strategy import Learned, Looked, Plan
from fovea.types import Floats, Ints, Item, TargetArray

_FAR = 2.0  # times the probe's loss: no fine-tuning that goes well comes to that


class AfterProbe(EndToEnd):
    """Embeds every picture once, solves for a linear head, and goes on from there."""

    vectors: Floats
    probe: Epoch | None = None

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.embedder = plan.embedder()

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started = time.perf_counter()
        self.vectors = embed(source, items, hashes, embedder=self.embedder, store=store).vectors
        embed_s = time.perf_counter() - started
        return replace(super().look(source, items, hashes, store), embed_s=embed_s)

    def solve_head(self, vectors: Floats, targets: TargetArray, groups: Ints, train: Ints) -> str:
        """The network's head becomes the probe's; says how it was chosen."""
        settings, network = self.plan.settings, self.plan.network
        num_outputs, solver = network.head.arrays()[-1][1].shape[0], self.plan.goal.solver
        fitted = solve(solver, vectors[train], targets[train], groups[train], num_outputs=num_outputs, seed=settings.seed)
        network.head = LinearHead.from_arrays(fitted.weight, fitted.bias, dropout=settings.dropout)
        return fitted.note

    def to_beat(self, model: nn.Module, validation: Batches, method: Method) -> Method:
        """The method, with the probe's own validation figure as what an epoch must beat."""
        if not validation.num_examples:
            return method
        goal = goal_of(Method(epochs=1), validation.targets, 0, "cpu", self.plan.goal.loss)  # as validation is judged: nothing is weighted
        loss, accuracy, metrics = evaluate(model, validation, goal)
        self.probe = Epoch(0, "validation", loss, accuracy, 0.0, 0.0, metrics)
        return replace(method, stop=replace(method.stop, baseline=self.probe.value(method.stop.monitor)))

    def compared(self, learned: Learned, method: Method, name: str) -> Learned:
        """The history begins with the probe, and a note says which of the two was kept."""
        learned = replace(learned, pretrained=self.vectors)
        if self.probe is None:
            return learned
        rows = [row for row in learned.history if row.split == "validation"]
        at, _ = method.stop.best_and_stale([row.value(method.stop.monitor) for row in rows])
        # the best weights so far are those of the start as long as nothing beats the baseline
        stop = replace(method.stop, baseline=self.probe.value(method.stop.monitor))
        kept = stop.best_and_stale([row.value(method.stop.monitor) for row in rows])[0] >= 0
        best = rows[at] if rows else self.probe
        told = (
            f"{name} {'was better than' if kept else 'did not beat'} the probe by its {method.stop.monitor} on validation, so {'it' if kept else 'the probe'} was kept: "
            f"loss {best.loss:.5g} against {self.probe.loss:.5g}"
        )
        if best.accuracy is not None and self.probe.accuracy is not None:
            told += f", accuracy {best.accuracy:.1%} against {self.probe.accuracy:.1%}"
        if not kept and best.loss > _FAR * self.probe.loss:
            told += "; so much worse speaks for a rate that is too high: try a smaller --lr"
        return replace(learned, history=[self.probe, *learned.history], notes=(*learned.notes, told))
