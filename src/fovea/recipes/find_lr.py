"""Which learning rate to begin with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fovea.audit.survey import survey
from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import InputError, OutputError
from fovea.files import check_outside, ready_folder, write_json
from fovea.loading.stored import StoredPictures
from fovea.report.plots import save_rate_curve
from fovea.selection.choose import choose
from fovea.timing import Stopwatch
from fovea.training.end_to_end import EndToEnd
from fovea.training.find_rate import RateCurve
from fovea.training.scaled import scale_of
from fovea.training.settings import checked
from fovea.training.strategy import create_strategy


@dataclass(frozen=True)
class FoundRate:
    """The curve, and where its picture lies."""

    curve: RateCurve
    picture: Path

    def to_json(self) -> dict[str, Any]:
        return self.curve.to_json() | {"picture": str(self.picture)}

    def to_text(self) -> str:
        """What to do with it."""
        lowest = min(self.curve.losses)
        return (
            f"try --lr {self.curve.suggested:.1e}: a tenth of the rate at which the loss was lowest ({lowest:.3f}, after {len(self.curve.rates)} steps)\n"
            f"picture: {self.picture}"
        )


def find_lr(
    data: str,
    *,
    out: str,
    strategy: Literal["scratch", "finetune"] = "scratch",
    backbone: str = "auto",
    weights: str = "auto",
    image_size: int | None = None,
    augment: str = "auto",
    batch_size: int = 32,
    optimizer: str | None = None,
    steps: int = 100,
    seed: int = 0,
    overwrite: bool = False,
) -> FoundRate:
    """Try learning rates from far too low to far too high, and show where a network learns.

    Args:
        data: As for `fovea train`.
        out: The folder to write: learning_rate.png and learning_rate.json.
        strategy: "scratch" or "finetune": what the rate is for.
        backbone: As for `fovea train`.
        weights: As for `fovea train`.
        image_size: As for `fovea train`.
        augment: As for `fovea train`.
        batch_size: As for `fovea train`.
        optimizer: As for `fovea train`.
        steps: Batches, at most.
        seed: Of everything that is drawn by chance.
        overwrite: Replace an earlier picture in `out`.

    Returns:
        The curve, and the rate to try.
    """
    if steps < 10:
        raise InputError("--steps is less than ten", got=str(steps), expected="10 or more", fix="leave it out for 100")
    if strategy not in ("scratch", "finetune"):
        raise InputError(
            f"{strategy} has no learning rate to find here", got=strategy, expected="scratch or finetune", fix="choose one of these"
        )
    settings = checked(
        data=str(data), strategy=strategy, backbone=backbone, weights=str(weights), image_size=image_size, augment=augment,
        batch_size=batch_size, optimizer=optimizer, seed=seed,
    )  # fmt: skip
    with open_source(data, seed=seed) as source, EmbeddingStore() as store:
        check_outside(out, source.location)
        folder = ready_folder(out)
        if any(folder.iterdir()) and not overwrite:
            raise OutputError(
                f"{out!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another --out, or add --overwrite"
            )
        learner = create_strategy(choose(settings, source))
        seen = survey(source, learner, store, seed=seed, watch=Stopwatch())
        if not isinstance(learner, EndToEnd) or not isinstance(seen.inputs, StoredPictures):
            raise TypeError(f"{strategy} trains no network")
        goal = learner.plan.goal
        targets = goal.targets(seen.labels)
        if (scale := scale_of(goal, targets, seen.rows["train"])) is not None:
            targets = scale.apply(targets.astype(np.float32))
        curve = learner.rates(seen.inputs, targets, seen.groups, train=seen.rows["train"], validation=seen.rows["validation"], steps=steps)
    write_json(folder / "learning_rate.json", curve.to_json())
    return FoundRate(curve, save_rate_curve(curve.rates, curve.losses, curve.suggested, folder / "learning_rate.png"))
