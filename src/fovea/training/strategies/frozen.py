"""Frozen: the backbone stays as it is, and a head learns from pictures that are varied anew in each epoch.

The backbone only looks, so the engine runs it, several times as fast as torch. Without augmentation each picture looks the same in every
epoch: its stored embedding takes its place, and an epoch costs next to nothing.
"""

from collections import deque
from collections.abc import Iterator
from pathlib import Path

from fovea.embeddings.embedder import embed_batches
from fovea.engines import Engine
from fovea.loading.batches import ArrayBatches, Arrays, Batches
from fovea.loading.stored import Inputs, StoredPictures
from fovea.models.weights import save_weights
from fovea.training.after_probe import AfterProbe
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.goal import goal_of
from fovea.training.loop import fit, predict_logits
from fovea.training.method import Method, Stopping
from fovea.training.settings import OF_EPOCHS
from fovea.training.standardise import Standardised
from fovea.training.strategy import STRATEGIES, Learned, Plan, StrategyInfo
from fovea.types import Ints, Pixels, TargetArray


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

    def epoch(self, epoch: int, start_batch: int = 0) -> Iterator[tuple[Arrays, TargetArray]]:
        answers: deque[TargetArray] = deque()  # of the batches that threads are embedding

        def pixels() -> Iterator[Pixels]:
            for batch, targets in self.pictures.epoch(epoch, start_batch):
                answers.append(targets)
                yield batch  # type: ignore[misc]

        for vectors in embed_batches(self.engine, pixels()):
            yield self.scale.apply(vectors), answers.popleft()

    def name_of(self, row: int) -> str:
        return self.pictures.name_of(row)


class Frozen(AfterProbe):
    default = Method(epochs=6, lr=1e-4, schedule="cosine", stop=Stopping(patience=3))  # ten times the rate undoes the probe (LOG.md)

    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        if not isinstance(inputs, StoredPictures):
            raise TypeError("a head learns from the pictures that its own `look` has kept")
        plan, settings, network = self.plan, self.plan.settings, self.plan.network
        save_weights(network.body.backbone, checkpoint / BEST, plan.passport)  # as they are
        method, vectors = settings.method(self.default), self.vectors
        scale = Standardised(vectors[train])
        scaled = scale.apply(vectors)
        watched = ArrayBatches(scaled, targets, validation, batch_size=settings.batch_size)
        notes: tuple[str, ...] = ()
        if settings.head == "linear":  # begins as the probe, which varied pictures can then better
            notes = (f"the head began as the probe: {self.solve_head(scaled, targets, groups, train)}",)
            method = self.to_beat(network.head, watched, method)
        augmentation, balanced = augmentation_of(plan.augment), method.balance == "sampling"
        if augmentation is None:
            learned_from: Batches = ArrayBatches(
                scaled, targets, train, batch_size=settings.batch_size, shuffle=True, seed=settings.seed, balanced=balanced
            )
        else:
            loader = self.augmented(inputs, targets, train, balanced=balanced, scaled=False)
            learned_from = Embedded(loader, self.embedder.engine, scale)
        num_classes = network.head.arrays()[-1][1].shape[0]
        with inputs.store:
            goal = goal_of(method, targets[train], num_classes, "cpu", self.plan.goal.loss)
            history = fit(
                network.head, learned_from, watched, method=method, goal=goal, checkpoint=checkpoint,
                key=f"{key} {self.embedder.space} {plan.augment}", watchers=plan.watchers,
            )  # fmt: skip
        scale.fold_into(network.head.dense_layers()[0])
        logits = predict_logits(network.head, vectors, 1024)
        learned = Learned(logits, self.embedder.onnx, history=history, notes=notes, method=method, embeddings=vectors)
        return self.compared(learned, settings.method(self.default), "the head that saw varied pictures")


@STRATEGIES.add(
    StrategyInfo(
        purpose="few pictures, and time to look at each of them in many ways",
        needs_weights=True,
        options=(*OF_EPOCHS, "augment", "weights"),
    )
)
def frozen(plan: Plan) -> Frozen:
    """A head on a frozen backbone, learned from augmented pictures."""
    return Frozen(plan)
