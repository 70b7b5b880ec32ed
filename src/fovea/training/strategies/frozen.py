"""Frozen: the backbone stays as it is, and a head learns from pictures that are varied anew in each epoch.

The backbone only looks, so the engine runs it, several times as fast as torch. Without augmentation each picture looks the same in every
epoch: its stored embedding takes its place, and an epoch costs next to nothing.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from fovea.data import Source
from fovea.embeddings.embedder import embed_batches
from fovea.embeddings.extract import embed
from fovea.embeddings.store import EmbeddingStore
from fovea.engines import Engine
from fovea.loading.batches import ArrayBatches, Arrays, Batches
from fovea.loading.stored import Inputs, StoredPictures
from fovea.models.heads.linear import LinearHead
from fovea.models.weights import save_weights
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.end_to_end import EndToEnd, goal_of
from fovea.training.logistic import fit_logistic
from fovea.training.loop import fit, predict_logits
from fovea.training.method import Method, Stopping
from fovea.training.standardise import Standardised
from fovea.training.strategy import STRATEGIES, Learned, Looked, Plan, StrategyInfo
from fovea.types import Floats, Ints, Item, Pixels


class Embedded(Batches):
    """Batches of pictures, uint8 (B, H, W, 3), as their embeddings, brought to mean 0 and deviation 1."""

    def __init__(self, pictures: Batches, engine: Engine, scale: Standardised) -> None:
        super().__init__(
            pictures.rows,
            pictures.targets,
            batch_size=pictures.batch_size,
            shuffle=pictures.shuffle,
            seed=pictures.seed,
            balanced=pictures.balanced,
        )
        self.pictures, self.engine, self.scale = pictures, engine, scale

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, Ints | Floats]]:
        answers: deque[Ints | Floats] = deque()  # of the batches that threads are embedding

        def pixels() -> Iterator[Pixels]:
            for batch, targets in self.pictures.epoch(epoch, start_batch):
                answers.append(targets)
                yield batch  # type: ignore[misc]

        for vectors in embed_batches(self.engine, pixels()):
            yield self.scale.apply(vectors), answers.popleft()

    def name_of(self, row: int) -> str:
        return self.pictures.name_of(row)


class Frozen(EndToEnd):
    default = Method(epochs=6, lr=1e-4, schedule="cosine", stop=Stopping(patience=5))  # ten times the rate undoes the probe (LOG.md)
    _vectors: Floats

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        self.embedder = plan.embedder()

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started = time.perf_counter()
        seen = embed(source, items, hashes, embedder=self.embedder, store=store)
        self._vectors, embed_s = seen.vectors, time.perf_counter() - started
        looked = super().look(source, items, hashes, store)
        return Looked(looked.inputs, looked.facts, looked.problems, looked.decode_s, embed_s, looked.num_from_store)

    def learn(self, inputs: Inputs, targets: Ints, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str) -> Learned:
        if not isinstance(inputs, StoredPictures):
            raise TypeError("a head learns from the pictures that its own `look` has kept")
        plan, settings, network = self.plan, self.plan.settings, self.plan.network
        save_weights(network.body.backbone, checkpoint / BEST, plan.passport)  # as they are
        method, vectors = settings.method(self.default), self._vectors
        notes: tuple[str, ...] = ()
        scale = Standardised(vectors[train])
        scaled = scale.apply(vectors)
        num_classes = network.head.arrays()[-1][1].shape[0]
        if settings.head == "linear":  # begins as the probe, which varied pictures can then better
            fitted = fit_logistic(scaled[train], targets[train], groups[train], num_classes=num_classes, seed=settings.seed)
            network.head = LinearHead.from_arrays(fitted.weight, fitted.bias, dropout=settings.dropout)
            notes = (f"the head began as the probe: {fitted.note}",)
        augmentation = augmentation_of(plan.augment)
        balanced = method.balance == "sampling"
        if augmentation is None:
            learned_from: Batches = ArrayBatches(
                scaled, targets, train, batch_size=settings.batch_size, shuffle=True, seed=settings.seed, balanced=balanced
            )
        else:
            loader = self.augmented(inputs, targets, train, balanced=balanced, scaled=False)
            learned_from = Embedded(loader, self.embedder.engine, scale)
        with inputs.store:
            history = fit(
                network.head, learned_from, ArrayBatches(scaled, targets, validation, batch_size=settings.batch_size),
                method=method, goal=goal_of(method, targets[train], num_classes), checkpoint=checkpoint,
                key=f"{key} {self.embedder.space} {plan.augment}",
            )  # fmt: skip
        scale.fold_into(network.head.dense_layers()[0])
        return Learned(predict_logits(network.head, vectors, 1024), self.embedder.onnx, history=history, notes=notes)


@STRATEGIES.add(StrategyInfo(purpose="few pictures, and time to look at each of them in many ways", needs_weights=True, augments=True))
def frozen(plan: Plan) -> Frozen:
    """A head on a frozen backbone, learned from augmented pictures."""
    return Frozen(plan)
