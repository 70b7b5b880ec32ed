"""Scratch: a network learns everything from these pictures alone."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fovea.data import Source
from fovea.embeddings.store import EmbeddingStore
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import TrainingFailed, UnreadableImage
from fovea.loading.loader import Loader
from fovea.loading.margin import Margin
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scaling import Scaling
from fovea.loading.stored import Inputs, StoredPictures
from fovea.models.weights import save_weights
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.device import pick_device
from fovea.training.loop import Schedule, fit, logits_of
from fovea.training.strategy import STRATEGIES, Learned, Looked, Plan, Strategy, StrategyInfo
from fovea.types import Floats, Ints, Item

_EPOCHS = 50  # as the texts; early stopping mostly ends it sooner


class Scratch(Strategy):
    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started, way = time.perf_counter(), self.plan.preprocessing
        pictures = StoredPictures(PixelStore(), source, items, hashes, preprocessing=way)
        num_kept = pictures.num_kept
        facts, problems = pictures.keep(known=store.get_facts(hashes, min_side_px=way.min_side_px), note=store.put_facts)
        return Looked(pictures, facts, problems, decode_s=time.perf_counter() - started, num_from_store=num_kept)

    def learn(self, inputs: Inputs, targets: Ints, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str) -> Learned:
        if not isinstance(inputs, StoredPictures):
            raise TypeError("scratch learns from the pictures that its own `look` has kept")
        settings, network, size_px = self.plan.settings, self.plan.network, self.plan.preprocessing.size_px
        network.to(pick_device(settings.device))
        augmentation = augmentation_of(self.plan.augment)
        # What is measured is always the pictures as the finished model will see them: only training is augmented.
        moved = augmentation is not None and not augmentation.is_identity  # pictures that are only mixed have their size already
        larger = inputs.resized(Margin(self.plan.preprocessing)) if moved else inputs
        learned_from = Loader(
            larger, train, targets, batch_size=settings.batch_size, size_px=size_px,
            augmentation=augmentation, num_classes=len(network.head.dense_layers()[-1].bias),
            scaling=self._scaling(), shuffle=True, seed=settings.seed,
        )  # fmt: skip
        schedule = Schedule(settings.epochs or _EPOCHS, settings.batch_size, settings.lr, settings.patience, settings.seed)
        try:
            with inputs.store:
                history = fit(
                    network, learned_from, self._as_they_are(inputs, targets, validation),
                    schedule=schedule, checkpoint=checkpoint, key=f"{key} {self.plan.backbone_name} {self.plan.preprocessing.key} {augmentation.key if augmentation else None}",
                )  # fmt: skip
                rows = inputs.readable
                answered = logits_of(network, self._as_they_are(inputs, targets, rows))
        except UnreadableImage as error:
            raise TrainingFailed(
                f"a picture changed while the network was learning: {error.problem}", got=error.got, expected=error.expected, fix=error.fix
            ) from error
        network.to("cpu")  # where it is exported, and compared with the export
        logits: Floats = np.zeros((len(inputs), answered.shape[1]), np.float32)
        logits[rows] = answered
        save_weights(network.body.backbone, checkpoint / BEST, replace(self.plan.passport, golden=()))
        return Learned(logits, module_to_onnx(network.body, size_px=size_px), history=history)

    def _as_they_are(self, pictures: StoredPictures, targets: Ints, rows: Ints) -> Loader:
        """Pictures in their order, exactly as the preprocessing of the bundle gives them."""
        return Loader(
            pictures, rows, targets, batch_size=self.plan.settings.batch_size, size_px=self.plan.preprocessing.size_px,
            scaling=self._scaling(), shuffle=False, seed=self.plan.settings.seed,
        )  # fmt: skip

    def _scaling(self) -> Scaling | None:
        """Floats for a network on the processor; bytes for another device, which takes them four times as fast and scales them itself."""
        body = self.plan.network.body
        if body.shift.device.type != "cpu":
            return None
        return Scaling.of(body.shift.flatten().tolist(), body.scale.flatten().tolist())  # type: ignore[operator]


@STRATEGIES.add(StrategyInfo(purpose="pictures unlike any that weights exist for, and many of them", needs_weights=False, augments=True))
def scratch(plan: Plan) -> Scratch:
    """A fresh network, trained end to end."""
    return Scratch(plan)
