"""What strategies share that train a whole network on pictures: keep them once, load them anew in each epoch, answer for all of them."""

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from fovea.data import Source
from fovea.embeddings.embedder import embed_batches
from fovea.embeddings.store import EmbeddingStore
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError, TrainingFailed, UnreadableImage
from fovea.loading.batches import Batches
from fovea.loading.loader import Loader
from fovea.loading.margin import Margin
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scaling import Scaling
from fovea.loading.stored import Inputs, StoredPictures
from fovea.models.weights import save_weights
from fovea.progress import Progress
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.device import pick_device
from fovea.training.find_rate import RateCurve, find_rate
from fovea.training.goal import goal_of
from fovea.training.loop import Watcher, fit, predict_logits
from fovea.training.memory import check_memory
from fovea.training.method import Method
from fovea.training.state import ParameterGroups, is_best
from fovea.training.strategy import Learned, Looked, Plan, Strategy
from fovea.training.tensorboard import TensorBoard
from fovea.types import Floats, Ints, Item, TargetArray

_LEARNED_ON = ", fine-tuned"
_NUM_SHOWN = 8  # pictures in a log of TensorBoard


class EndToEnd(Strategy):
    """Trains `plan.network` on augmented pictures. A subclass says how it begins, and with which method."""

    default = Method(epochs=50)

    def __init__(self, plan: Plan) -> None:
        self.plan = plan

    def look(self, source: Source, items: Sequence[Item], hashes: Sequence[str], store: EmbeddingStore) -> Looked:
        started, way = time.perf_counter(), self.plan.preprocessing
        pictures = StoredPictures(PixelStore(), source, items, hashes, preprocessing=way)
        num_kept = pictures.num_kept
        facts, problems = pictures.keep(known=store.get_facts(hashes, min_side_px=way.min_side_px), note=store.put_facts)
        return Looked(pictures, facts, problems, decode_s=time.perf_counter() - started, num_from_store=num_kept)

    def begin(
        self, validation: Batches, targets: TargetArray, groups: Ints, train: Ints
    ) -> tuple[Method, ParameterGroups | None, tuple[str, ...]]:
        """Makes the network ready; gives the method, what learns at which rate, and what was chosen, in sentences."""
        return self.plan.settings.method(self.default), None, ()

    def learn(
        self, inputs: Inputs, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, checkpoint: Path, key: str
    ) -> Learned:
        if not isinstance(inputs, StoredPictures):
            raise TypeError("a network learns from the pictures that its own `look` has kept")
        plan, network = self.plan, self.plan.network
        watched, device = self.as_they_are(inputs, targets, validation), pick_device(plan.settings.device)
        self._check_batch(len(train), device)
        method, rates, notes = self.begin(watched, targets, groups, train)
        network.to(device)
        learned_from = self.augmented(inputs, targets, train, balanced=method.balance == "sampling")
        goal = goal_of(method, targets[train], learned_from.num_classes, device, plan.goal.loss)
        try:
            with inputs.store:
                history = fit(
                    network, learned_from, watched, method=method, goal=goal, groups=rates, checkpoint=checkpoint,
                    key=f"{key} {plan.backbone_name} {plan.weights_hash} {plan.preprocessing.key} {plan.augment}",
                    watchers=[self._keep_best(checkpoint / BEST, method), *self._watchers(inputs, train)],
                )  # fmt: skip
                network.to("cpu")  # where it is exported, and compared with the export
                onnx = module_to_onnx(network.body, size_px=plan.preprocessing.size_px)
                logits, embeddings = self._answers(onnx, inputs, targets)
        except UnreadableImage as error:
            raise TrainingFailed(
                f"a picture changed while the network was learning: {error.problem}", got=error.got, expected=error.expected, fix=error.fix
            ) from error
        self._keep(network, checkpoint / BEST)
        return Learned(logits, onnx, history=history, notes=notes, method=method, embeddings=embeddings)

    def _check_batch(self, num_train: int, device: torch.device) -> None:
        """Whether a batch fits into memory, and is one that batch norm can learn from.

        Raises:
            InputError: It is not.
        """
        network, size = self.plan.network, min(self.plan.settings.batch_size, num_train)
        if size == 1 and any(isinstance(part, _BatchNorm) for part in network.modules()):
            raise InputError(
                "batch norm cannot learn from one picture at a time", got="--batch-size 1", expected="2 or more, better 16 or more", fix="give a larger --batch-size"
            )  # fmt: skip
        check_memory(network, size_px=self.plan.preprocessing.size_px, batch_size=size, device=device)

    def _keep(self, network: nn.Module, path: Path) -> None:
        passport = replace(self.plan.passport, golden=())  # what it answers has changed
        if self.plan.strategy != "scratch" and not passport.name.endswith(_LEARNED_ON):
            passport = replace(passport, name=passport.name + _LEARNED_ON, sha256="", repo=None, revision=None)
        save_weights(network.body.backbone, path, passport)  # type: ignore[union-attr,arg-type]

    def _keep_best(self, path: Path, method: Method) -> Watcher:
        """Writes the backbone after each epoch that is the best so far: a training that fails later has not been for nothing."""
        return lambda network, history: self._keep(network, path) if is_best(method, history) else None

    def _answers(self, onnx: bytes, pictures: StoredPictures, targets: TargetArray) -> tuple[Floats, Floats]:
        """Logits (N, K) and embeddings (N, D) of all pictures, by the engine that ships it, which is faster than torch on a processor; zeros where one cannot be read."""
        head, rows = self.plan.network.head, pictures.readable
        batches = self.as_they_are(pictures, targets, rows, scaled=False).epoch(0)
        engine = open_engine(onnx, name=self.plan.settings.engine)
        logits: Floats = np.zeros((len(pictures), len(head.dense_layers()[-1].bias)), np.float32)
        with Progress("answering", total=len(rows)) as bar:
            parts = []
            for vectors in embed_batches(engine, (pixels for pixels, _ in batches)):  # type: ignore[misc]
                parts.append(vectors)
                bar.advance(len(vectors))
        embeddings: Floats = np.zeros((len(pictures), parts[0].shape[1]), np.float32)
        embeddings[rows] = np.concatenate(parts)
        logits[rows] = predict_logits(head, embeddings[rows], 1024)
        return logits, embeddings

    def rates(self, inputs: StoredPictures, targets: TargetArray, groups: Ints, *, train: Ints, validation: Ints, steps: int) -> RateCurve:
        """What each learning rate would come to, from where this strategy begins."""
        device = pick_device(self.plan.settings.device)
        self._check_batch(len(train), device)
        method, rates, _ = self.begin(self.as_they_are(inputs, targets, validation), targets, groups, train)
        network = self.plan.network.to(device)
        batches = self.augmented(inputs, targets, train, balanced=method.balance == "sampling")
        with inputs.store:
            goal = goal_of(method, targets[train], batches.num_classes, device, self.plan.goal.loss)
            return find_rate(network, batches, method=method, goal=goal, groups=rates, steps=steps)

    def augmented(
        self, pictures: StoredPictures, targets: TargetArray, rows: Ints, *, balanced: bool = False, scaled: bool = True
    ) -> Loader:
        """Training pictures, varied anew in each epoch."""
        plan = self.plan
        augmentation = augmentation_of(plan.augment)
        moved = augmentation is not None and not augmentation.is_identity  # pictures that are only mixed have their size already
        return Loader(
            pictures.resized(Margin(plan.preprocessing)) if moved else pictures, rows, targets,
            batch_size=plan.settings.batch_size, size_px=plan.preprocessing.size_px, augmentation=augmentation,
            num_classes=len(plan.network.head.dense_layers()[-1].bias), scaling=self._scaling() if scaled else None,
            shuffle=True, seed=plan.settings.seed, balanced=balanced,
        )  # fmt: skip

    def as_they_are(self, pictures: StoredPictures, targets: TargetArray, rows: Ints, *, scaled: bool = True) -> Loader:
        """Pictures in their order, exactly as the preprocessing of the bundle gives them."""
        return Loader(
            pictures, rows, targets, batch_size=self.plan.settings.batch_size, size_px=self.plan.preprocessing.size_px,
            scaling=self._scaling() if scaled else None, shuffle=False, seed=self.plan.settings.seed,
        )  # fmt: skip

    def _watchers(self, pictures: StoredPictures, train: Ints) -> list[Watcher]:
        if not self.plan.log:
            return list(self.plan.watchers)
        shown = np.stack([pictures.read(int(row)) for row in train[:: max(1, len(train) // _NUM_SHOWN)][:_NUM_SHOWN]])
        names = self.plan.class_names if self.plan.goal.activation == "softmax" else ()  # other answers are no shares of classes
        return [*self.plan.watchers, TensorBoard(self.plan.log, pictures=shown, class_names=names)]

    def _scaling(self) -> Scaling | None:
        """Floats for a network on the processor; bytes for another device, which takes them four times as fast and scales them itself."""
        body = self.plan.network.body
        if pick_device(self.plan.settings.device).type != "cpu":
            return None
        return Scaling.of(body.shift.flatten().tolist(), body.scale.flatten().tolist())  # type: ignore[operator]
