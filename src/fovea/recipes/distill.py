"""A small network learns what a large one answers: quicker to run, and nearly as right."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from pydantic import Field

from fovea.bundle.archive import read_files
from fovea.bundle.bundle import load_bundle
from fovea.bundle.format import TrainingData
from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError
from fovea.evaluation.answers import Answering
from fovea.export.bundles import Trained, write_bundle
from fovea.files import check_outside, hash_bytes
from fovea.losses.distillation import distillation
from fovea.metrics.intervals import wilson
from fovea.models.backbone import count_parameters
from fovea.models.weights import save_weights, weights_hash
from fovea.recipes._results import command_line
from fovea.recipes._weights_run import WeightsSettings, drawn_from, finish, fresh_body, look, passport_of
from fovea.tasks import create_task
from fovea.timing import Stopwatch
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.loop import Goal, fit
from fovea.training.method import Method, Precision, Stopping
from fovea.training.run import RunFolder, begin, open_run
from fovea.training.settings import checked_as
from fovea.training.teacher import Remembered, Student, Taught, Teacher
from fovea.transforms.preprocessing import square

_METHOD = Method(epochs=30, lr=2e-3, optimizer="adamw", schedule="cosine", warmup_epochs=1, weight_decay=0.05, clip_norm=5.0)
_MOST_WATCHED = 2_000  # pictures: a share that is known to about a hundredth
_NUM_SPREAD = 1_024  # pictures that tell how far the teacher's embedding spreads


class DistillSettings(WeightsSettings):
    """The arguments of `distill` that change its result."""

    teacher: str
    student: str
    softness: float = Field(gt=0, le=100, allow_inf_nan=False)
    embedding_weight: float = Field(ge=0, le=1e4, allow_inf_nan=False)
    precision: Precision
    views: int = Field(ge=0, le=10_000)


@dataclass(frozen=True)
class Distilled:
    """A finished student."""

    run: RunFolder
    num_parameters: int
    num_watched: int
    agreement: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run.path),
            "bundle": str(self.run.bundle),
            "weights": str(self.run.checkpoint / BEST),
            "num_parameters": self.num_parameters,
            "agreement": {
                "n": self.num_watched,
                "share": self.agreement,
                "ci95": list(wilson(round(self.agreement * self.num_watched), self.num_watched)),
            },
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """What a person reads when it is done."""
        low, high = wilson(round(self.agreement * self.num_watched), self.num_watched)
        lines = [
            f"the student agrees with its teacher on {self.agreement:.1%} of {self.num_watched:,} pictures that it did not learn from ({low:.1%} to {high:.1%})"
        ]
        return "\n".join(
            [
                *lines,
                f"weights: {self.run.checkpoint / BEST}, {self.num_parameters:,} parameters",
                f"bundle: {self.run.bundle}; with labelled pictures, compare it with its teacher: fovea evaluate {self.run.bundle} DATA",
                f"took {self.seconds:.0f} s",
            ]
        )


def distill(
    teacher: str,
    data: str,
    *,
    out: str,
    student: str = "fovea_tiny",
    weights: str = "none",
    image_size: int | None = None,
    augment: str = "standard",
    views: int = 0,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float = 2e-3,
    softness: float = 2.0,
    embedding_weight: float = 1.0,
    precision: Literal["float32", "bfloat16"] = "float32",
    seed: int = 0,
    overwrite: bool = False,
) -> Distilled:
    """Teach a small network what a trained one answers, from pictures that need no labels.

    In each epoch every picture is varied anew, and both look at the same variation: the student learns the teacher's probabilities
    and its embedding. Its weights serve as a backbone (`--weights RUN`), and its bundle answers with the teacher's classes.

    Args:
        teacher: A bundle, or a run: its answers are learned. `fovea bundle` makes one of pretrained weights.
        data: As for `fovea train`, or any folder of pictures without classes.
        out: The folder to write: a run, with the bundle of the student.
        student: A backbone from `fovea models`, small ones are quick: "fovea_tiny", "mobilenet_v2:width=0.5".
        weights: What the student begins with: "none", "auto", a file, or a run.
        image_size: Side in pixels of what the student sees; by default its backbone's.
        augment: How pictures are varied: a preset of `fovea augment`; "+mixup" may stand behind it.
        views: Vary each picture so often, ask the teacher once about each variation, and show them again and again: a long training
            then takes half the time, and some room on the disk. With 0, every epoch has variations of its own.
        epochs: Passes over the pictures; the more, the better it learns.
        batch_size: Pictures a step.
        lr: Highest learning rate (adamw, cosine).
        softness: Temperature of the probabilities that are learned; above 1 the small ones count more.
        embedding_weight: How much the teacher's embedding counts beside its probabilities; the weights then serve more as a backbone, less as a classifier.
        precision: bfloat16 is quicker on processors that have instructions for it, and many times slower on others.
        seed: Of everything that is drawn by chance.
        overwrite: Replace an earlier run in `out`.

    Returns:
        How often the student agrees with its teacher, and where its weights and its bundle are.
    """
    watch = Stopwatch()
    settings = checked_as(
        DistillSettings,
        teacher=teacher, data=data, student=student, weights=weights, image_size=image_size, augment=augment, views=views, epochs=epochs,
        batch_size=batch_size, lr=lr, softness=softness, embedding_weight=embedding_weight, precision=precision, seed=seed,
    )  # fmt: skip
    with (
        open_source(data, seed=seed, labelled=False) as source,
        EmbeddingStore() as store,
        open_run(out, settings, overwrite=overwrite) as run,
    ):
        check_outside(out, source.location)
        bundle = load_bundle(teacher)
        if bundle.task.activation != "softmax":
            raise InputError(
                f"{teacher!r} is no classifier, and a student learns from the probabilities of one",
                got=f"the task {bundle.task.name}",
                expected="a bundle that tells classes apart",
                fix="name another teacher; its weights alone serve as they are: fovea train DATA --weights RUN",
            )
        body, name, size_px = fresh_body(student, weights, image_size, seed=seed)
        with watch("decode_s"):
            kept = look(source, store, size_px=size_px, seed=seed)
        begin(run, settings, overwrite=overwrite)
        view_px = max(size_px, bundle.info.preprocessing.size_px)
        train, watched = kept.rows["train"], kept.rows["validation"][:_MOST_WATCHED]

        # Whoever is smaller sees the same picture, made smaller.
        with watch("train_s"), kept.pictures.store:
            expert = Teacher(bundle, kept.batches(train[:_NUM_SPREAD], view_px, batch_size=batch_size))
            model_hash = hash_bytes(read_files(bundle.path)["model.onnx"])
            with drawn_from(seed):
                learner = Student(body, num_features=expert.num_features, num_classes=expert.num_classes)
            asked = Taught(kept.batches(watched, view_px, batch_size=batch_size), expert, size_px)
            answers = np.concatenate([targets for _, targets in asked.epoch(0)] or [np.zeros((0, 1), np.float32)])
            varied = kept.batches(train, view_px, batch_size=batch_size, augmentation=augmentation_of(augment), seed=seed)
            loss = partial(distillation, num_features=expert.num_features, softness=softness, embedding_weight=embedding_weight)
            taught = Taught(varied, expert, size_px)
            key = f"{kept.key(train)} {model_hash} {view_px} {augment} {views} {softness} {embedding_weight} {weights_hash(body.backbone)}"
            remembered = Remembered(taught, views, folder=run.checkpoint, key=key) if 0 < views < epochs else nullcontext(taught)
            with remembered as shown_to_it:
                history = fit(
                    learner, shown_to_it, kept.batches(watched, size_px, batch_size=batch_size, targets=answers),
                    method=replace(_METHOD, epochs=epochs, lr=lr, precision=precision, seed=seed, stop=Stopping(patience=epochs)),
                    goal=Goal(loss, loss, answer=lambda values: values[:, expert.num_features :].argmax(1)), checkpoint=run.checkpoint,
                    key=key,
                )  # fmt: skip
            shown = next(kept.batches(train, size_px, batch_size=batch_size).epoch(0))[0].astype(np.uint8, copy=False)
        with watch("export_s"):
            passport = passport_of(
                body, name, size_px, f"{len(train):,} pictures of {data}, from the answers of {bundle.info.backbone}", bundle.info.licences
            )
            save_weights(body.backbone, run.checkpoint / BEST, passport)
            task, licences = create_task("classification", tuple(bundle.class_names)), tuple(bundle.info.licences)
            trained = Trained(learner.network, module_to_onnx(body, size_px=size_px), name, Answering(), square(size_px), task, licences)
            write_bundle(run.bundle, trained, pictures=shown, strategy="distill", training_data=TrainingData(num_files=len(train)))
        judged = [row for row in history if row.split == "validation"]
        agreement = (min(judged, key=lambda row: row.loss).accuracy or 0.0) if judged else 0.0  # of the epoch whose weights are kept
        command = command_line("distill", teacher, data, out=out, **settings.model_dump(exclude={"teacher", "data"}))
        metrics = finish(
            run, history, strategy="distill", backbone=name, num_files={split: len(rows) for split, rows in kept.rows.items()},
            class_names=bundle.class_names, command=command, watch=watch, seed=seed,
            teacher={"path": teacher, "backbone": bundle.info.backbone}, agreement={"n": len(watched), "share": agreement},
        )  # fmt: skip
    return Distilled(run, count_parameters(body), len(watched), agreement, metrics.timing.total_s)
