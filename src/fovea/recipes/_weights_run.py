"""What the recipes share that make weights: pictures with or without labels, a run folder, and the file that `--weights RUN` takes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field

from fovea.data import Source, assign_folds
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import DataError
from fovea.files import hash_json, write_csv, write_json
from fovea.loading.loader import Loader
from fovea.loading.margin import Margin
from fovea.loading.pixel_store import PixelStore
from fovea.loading.scan import scan
from fovea.loading.stored import StoredPictures
from fovea.models.backbone import BACKBONES, create_backbone, normalisation, read_backbone
from fovea.models.network import PixelBackbone
from fovea.models.passport import Passport
from fovea.models.weights import load_weights, resolve_weights
from fovea.progress import say
from fovea.report.plots import save_learning_curves
from fovea.timing import Stopwatch
from fovea.training.contrast import Pairs
from fovea.training.run import Metrics, RunFolder, Timing
from fovea.training.state import Epoch, history_table
from fovea.transforms import Augmentation
from fovea.transforms.preprocessing import square
from fovea.types import Floats, Ints
from fovea.versions import versions

_NUM_FOLDS = 10  # one of them is watched, where the data have no splits of their own
_FEWEST = 8


class WeightsSettings(BaseModel):
    """The arguments that the recipes share and that change their result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: str
    weights: str
    image_size: int | None = Field(ge=16, le=2048)
    augment: str
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=2, le=65_536)
    lr: float = Field(gt=0, lt=100, allow_inf_nan=False)
    seed: int = Field(ge=0, lt=2**32)


@dataclass(frozen=True)
class Kept:
    """Pictures that were looked at once and are kept at one size.

    Args:
        pictures: All of them.
        rows: Those that can be read, by split; what has a split of its own keeps it.
    """

    pictures: StoredPictures
    rows: dict[str, Ints]

    def key(self, rows: Ints) -> str:
        """What a training of these rows depends on."""
        return hash_json([self.pictures.hashes[row] for row in rows])

    def batches(
        self,
        rows: Ints,
        size_px: int,
        *,
        batch_size: int,
        targets: Ints | Floats | None = None,
        augmentation: Augmentation | None = None,
        seed: int | None = None,
        kind: type[Loader] = Loader,
    ) -> Loader:
        """Some of them in batches of bytes at any size: as they are, or shuffled and varied where there is a seed.

        Args:
            rows: Which.
            targets: Of these rows, in their order.
            kind: What puts the batches together; `Pairs` is given the rows twice.
        """
        whole, way = self.pictures, square(size_px)
        moved = augmentation is not None and not augmentation.is_identity  # pictures that are only mixed have their size already
        part = StoredPictures(
            whole.store, whole.source, [whole.items[row] for row in rows], [whole.hashes[row] for row in rows],
            preprocessing=Margin(way) if moved else way,
        )  # fmt: skip
        places = np.tile(np.arange(len(rows)), 2 if kind is Pairs else 1)
        return kind(
            part, places, np.zeros(len(rows), np.int64) if targets is None else targets,
            batch_size=batch_size, size_px=size_px, augmentation=augmentation, num_classes=1, shuffle=seed is not None, seed=seed or 0,
        )  # fmt: skip


def look(source: Source, store: EmbeddingStore, *, size_px: int, seed: int) -> Kept:
    """Decodes every picture once, leaves out what is broken, and sets a tenth aside where the data have no splits.

    Raises:
        DataError: Hardly any picture can be read.
    """
    seen, way = scan(source), square(size_px)
    pictures = StoredPictures(PixelStore(), source, seen.items, seen.hashes, preprocessing=way)
    _, problems = pictures.keep(known=store.get_facts(seen.hashes, min_side_px=way.min_side_px), note=store.put_facts)
    whole = [row for row in range(len(pictures)) if row not in problems and row not in seen.problems]
    if len(whole) < _FEWEST:
        raise DataError(
            f"{source.location!r} holds too few pictures to learn to see from",
            got=f"{len(whole)} that can be read, of {len(pictures)}",
            expected=f"{_FEWEST} or more, better thousands",
            fix="add pictures; they need no labels",
        )
    if unreadable := len(pictures) - len(whole):
        say(f"{unreadable:,} of {len(pictures):,} files cannot be read and are left out; `fovea audit` names each")
    splits: list[str]
    if any(pictures.items[row].split for row in whole):
        splits = [pictures.items[row].split or "train" for row in whole]
    else:
        folds = min(_NUM_FOLDS, len(whole) // 2)
        dealt = assign_folds([seen.items[row] for row in whole], [seen.hashes[row] for row in whole], num_folds=folds, seed=seed)
        splits = ["validation" if fold == 0 else "train" for fold in dealt]
    order = sorted(range(len(whole)), key=lambda place: seen.hashes[whole[place]])  # renamed files change nothing that is learned
    rows = {split: np.array([whole[i] for i in order if splits[i] == split], np.int64) for split in ("train", "validation", "test")}
    return Kept(pictures, rows)


@contextmanager
def drawn_from(seed: int) -> Iterator[None]:
    """What torch draws by chance comes from the seed; the caller's chance is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def fresh_body(name: str, weights: str, image_size: int | None, *, seed: int) -> tuple[PixelBackbone, str, int]:
    """A backbone behind its scaling, its name, and the side of what it sees in pixels."""
    name, options = read_backbone(name)
    resolved = None if weights == "none" else resolve_weights(name, weights)
    info = BACKBONES[name].info
    with drawn_from(seed):
        backbone = create_backbone(name, **(options | (resolved.passport.options if resolved else {})))
    if resolved:
        load_weights(backbone, resolved)
    body = PixelBackbone(backbone, *normalisation(info, resolved.passport if resolved else None))
    return body.to(memory_format=torch.channels_last), name, image_size or info.image_size_px  # type: ignore[call-overload]


def passport_of(body: PixelBackbone, name: str, size_px: int, trained_on: str, licences: Sequence[str] = ()) -> Passport:
    """Of the weights that a recipe has made."""
    shift, scale = body.shift.flatten().tolist(), body.scale.flatten().tolist()  # type: ignore[operator]
    return Passport(
        name=f"{name} made by fovea", sha256="", licence="that of your pictures" + (f"; the teacher's: {', '.join(licences)}" if licences else ""),
        trained_on=trained_on, image_size_px=size_px, score="see metrics.json of the run", backbone=name, options=dict(body.backbone.made_with),
        mean=(shift[0] / 255, shift[1] / 255, shift[2] / 255), std=(1 / scale[0] / 255, 1 / scale[1] / 255, 1 / scale[2] / 255),
    )  # fmt: skip


def finish(
    run: RunFolder, history: Sequence[Epoch], *, strategy: str, backbone: str, num_files: dict[str, int], class_names: Sequence[str], command: str,
    watch: Stopwatch, seed: int, **measured: Any,
) -> Metrics:  # fmt: skip
    """Writes the history, its curves, and last of all metrics.json, with what else was measured. There is no report: no classifier was measured."""
    write_csv(run.history, *history_table(history))
    save_learning_curves([row.row() for row in history], run.curves)
    metrics = Metrics(
        task="classification", strategy=strategy, backbone=backbone, class_names=list(class_names), num_files=num_files, validation=None, test=None,
        timing=Timing(**watch.seconds()), seed=seed, command=command, versions=versions("fovea", "numpy", "onnxruntime", "torch"), **measured,
    )  # fmt: skip
    write_json(run.metrics, metrics.model_dump(mode="json"))
    return metrics
