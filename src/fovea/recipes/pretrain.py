"""A network learns to see from pictures that nobody has labelled."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from pydantic import Field

from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.files import check_outside
from fovea.loading.batches import ArrayBatches
from fovea.metrics.intervals import wilson
from fovea.models.backbone import count_parameters
from fovea.models.weights import save_weights, weights_hash
from fovea.recipes._results import command_line
from fovea.recipes._weights_run import WeightsSettings, drawn_from, finish, fresh_body, look, passport_of
from fovea.timing import Stopwatch
from fovea.training.augment import augmentation_of
from fovea.training.checkpoint import BEST
from fovea.training.contrast import Contrast, Pairs, twins_found
from fovea.training.loop import fit
from fovea.training.method import Method, Stopping
from fovea.training.run import RunFolder, begin, open_run
from fovea.training.settings import checked_as

_METHOD = Method(epochs=100, lr=2e-3, optimizer="adamw", schedule="cosine", warmup_epochs=2, weight_decay=0.05, clip_norm=5.0)


class PretrainSettings(WeightsSettings):
    """The arguments of `pretrain` that change its result."""

    backbone: str
    temperature: float = Field(gt=0, le=100, allow_inf_nan=False)


@dataclass(frozen=True)
class Pretrained:
    """Finished weights."""

    run: RunFolder
    num_parameters: int
    num_pictures: int
    found_again: float
    chance: float
    nearest: tuple[int, int, int]  # pictures whose other view is the nearest: with the weights it began with, and learned; of so many
    seconds: float

    @property
    def learned(self) -> bool:
        """Whether the weights are shown to tell pictures apart better than those it began with, and than chance."""
        before, after, of = self.nearest
        return wilson(after, of)[0] > max(before / of, self.chance)

    def to_json(self) -> dict[str, Any]:
        return {
            "run": str(self.run.path),
            "weights": str(self.run.checkpoint / BEST),
            "num_parameters": self.num_parameters,
            "num_pictures": self.num_pictures,
            "found_again": self.found_again,
            "found_by_chance": self.chance,
            "nearest_before": self.nearest[0] / self.nearest[2],
            "nearest_after": self.nearest[1] / self.nearest[2],
            "learned": self.learned,
            "seconds": self.seconds,
        }

    def to_text(self) -> str:
        """What a person reads when it is done."""
        before, after, of = self.nearest
        compared = (
            f"{after:,} of {of:,} pictures are nearest to their own other view, against {before:,} with the weights that it began with"
        )
        verdict = (
            compared
            if self.learned
            else f"Nothing was learned, as far as can be told: {compared}. Give it more pictures or more --epochs, or another --lr; "
            "or use weights that are known to be good (fovea models)."
        )
        return "\n".join(
            [
                verdict,
                f"learned from {self.num_pictures:,} pictures; in the last epoch the other view of a picture was found {self.found_again:.1%} of the time, by chance it were {self.chance:.1%}",
                f"weights: {self.run.checkpoint / BEST}, {self.num_parameters:,} parameters",
                f"try them: fovea train YOUR_LABELLED_PICTURES --strategy probe --weights {self.run.path} --out probe",
                f"took {self.seconds:.0f} s",
            ]
        )


def pretrain(
    data: str,
    *,
    out: str,
    backbone: str = "fovea_tiny",
    weights: str = "none",
    image_size: int | None = None,
    augment: str = "strong",
    epochs: int = 100,
    batch_size: int = 64,
    lr: float = 2e-3,
    temperature: float = 0.2,
    seed: int = 0,
    overwrite: bool = False,
) -> Pretrained:
    """Let a network learn to see from pictures without labels, thousands of them: weights for a later `fovea train`.

    It sees each picture in two variations and learns to tell that they are one, among all others of the batch. Where labels are at hand, `fovea
    train --strategy scratch` learns more from fewer pictures; where a larger trained network is, `fovea distill` does.

    Args:
        data: Any folder of pictures, or what `fovea train` takes; labels are not looked at, and neither are validation and test pictures.
        out: The folder to write: a run, whose weights `--weights RUN` takes.
        backbone: A name from `fovea models`, with options behind colons.
        weights: What it begins with: "none", "auto", a file, or a run.
        image_size: Side in pixels of what it sees; by default the backbone's.
        augment: How the two views are varied: the more they differ, the more there is to learn.
        epochs: Passes over the pictures.
        batch_size: Pictures a step, each of them twice; the more, the more strangers there are to tell apart.
        lr: Highest learning rate (adamw, cosine).
        temperature: Of the likeness; smaller looks at the nearest strangers.
        seed: Of everything that is drawn by chance.
        overwrite: Replace an earlier run in `out`.

    Returns:
        Where the weights are, and how often it found the twin of a picture.
    """
    watch = Stopwatch()
    settings = checked_as(
        PretrainSettings,
        data=data, backbone=backbone, weights=weights, image_size=image_size, augment=augment, epochs=epochs, batch_size=batch_size, lr=lr,
        temperature=temperature, seed=seed,
    )  # fmt: skip
    with (
        open_source(data, seed=seed, labelled=False) as source,
        EmbeddingStore() as store,
        open_run(out, settings, overwrite=overwrite) as run,
    ):
        check_outside(out, source.location)
        body, name, size_px = fresh_body(backbone, weights, image_size, seed=seed)
        with watch("decode_s"):
            kept = look(source, store, size_px=size_px, seed=seed)
        begin(run, settings, overwrite=overwrite)
        train = (
            np.concatenate([kept.rows["train"], kept.rows["validation"]])
            if all(item.split is None for item in source.items)
            else kept.rows["train"]
        )
        with watch("train_s"), kept.pictures.store:
            views = kept.batches(train, size_px, batch_size=2 * batch_size, augmentation=augmentation_of(augment), seed=seed, kind=Pairs)
            nothing = ArrayBatches(
                np.zeros((0, 1), np.float32), np.zeros(0, np.int64)
            )  # without labels there is nothing to judge by: the last epoch is kept
            with drawn_from(seed):
                learner = Contrast(body, temperature=temperature)
            before, of = twins_found(body, views)
            history = fit(
                learner, views, nothing, checkpoint=run.checkpoint,
                method=replace(_METHOD, epochs=epochs, lr=lr, seed=seed, stop=Stopping(patience=epochs)),
                key=f"{kept.key(train)} {augment} {size_px} {weights_hash(body.backbone)}",
            )  # fmt: skip
            after, _ = twins_found(body, views)
        with watch("export_s"):
            save_weights(
                body.backbone, run.checkpoint / BEST, passport_of(body, name, size_px, f"{len(train):,} pictures of {data}, without labels")
            )
        command = command_line("pretrain", data, out=out, **settings.model_dump(exclude={"data"}))
        metrics = finish(
            run,
            history,
            strategy="pretrain",
            backbone=name,
            num_files={"train": len(train)},
            class_names=(),
            command=command,
            watch=watch,
            seed=seed,
        )
    found = next(row.accuracy for row in reversed(history) if row.split == "train") or 0.0
    chance = 1 / (2 * min(batch_size, len(train)) - 1)
    return Pretrained(run, count_parameters(body), len(train), found, chance, (before, after, of), metrics.timing.total_s)
