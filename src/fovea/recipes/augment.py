"""Look at what training will see."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fovea.data import Source, decode, open_source
from fovea.errors import InputError, UnreadableImage
from fovea.files import printable, ready_folder, write_atomic
from fovea.loading.margin import Margin
from fovea.recipes._sheet import Tile, draw_sheet
from fovea.transforms import Augmentation, create_augmentation
from fovea.transforms.preprocessing import Preprocessing, square
from fovea.types import Item, Pixels, Sample, Targets

_NUM_DRAWS = 9


@dataclass(frozen=True)
class Sheet:
    """What was drawn: the picture as validation and test receive it, and nine draws as training receives them."""

    picture: str
    label: str | None
    preset: str
    augmentation: Augmentation
    image_size_px: int
    validation: Sample
    draws: list[Sample]
    out: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "picture": printable(self.picture),
            "label": self.label,
            "preset": self.preset,
            "operations": self.augmentation.describe(),
            "image_size_px": self.image_size_px,
            "num_draws": len(self.draws),
            "out": str(self.out),
        }

    def to_text(self) -> str:
        lines = [f"{self.picture}, {_NUM_DRAWS} draws of {self.preset!r} at {self.image_size_px} px:"]
        lines += [f"  {line}" for line in self.augmentation.describe()] or ["  nothing is changed"]
        return printable("\n".join([*lines, f"written to {self.out}"]))


def augment(
    data: str, *, out: str = "sheet.png", preset: str = "light", image_size: int = 180, picture: str | None = None, seed: int = 0
) -> Sheet:
    """Draw a picture as training will see it in its first nine epochs, and as validation and test see it.

    Only training pictures are augmented. Boxes and masks are drawn where the data have them.

    Args:
        data: As for `fovea train`.
        out: The PNG file to write.
        preset: Which augmentation: none, light, standard, strong, tiny_imagenet.
        image_size: Side of the square that the model receives, in pixels.
        picture: Which one, by its path within the data; by default the first training picture that can be read.
        seed: The same seed gives the same draws.

    Returns:
        The pictures, and where they were written.

    Example:
        fovea augment photos/ --preset standard --out sheet.png
    """
    if not 8 <= image_size <= 1024:  # a sheet of larger ones would fill no screen
        raise InputError(f"--image-size cannot be {image_size}", got=image_size, expected="8 to 1024 pixels", fix="leave it out")
    augmentation, path = create_augmentation(preset), Path(out)
    ready_folder(path.parent)
    with open_source(data, seed=seed, for_training=False) as source:
        place, item, pixels = _find(source, picture)
        targets = source.targets(item)
    original = Sample(pixels, path=item.path, label=item.label, targets=targets)
    preprocessing = square(image_size)
    kept = _prepared(original, Margin(preprocessing))  # what the loader keeps of training pictures
    draws = [augmentation(kept, np.random.default_rng([seed % 2**63, epoch, place]), image_size) for epoch in range(_NUM_DRAWS)]
    validation = _prepared(original, preprocessing)
    tiles = [Tile("as it is", original), Tile("validation, test", validation)]
    tiles += [Tile(f"training, epoch {epoch + 1}", draw) for epoch, draw in enumerate(draws)]
    note = f"{item.path} · {preset} · {image_size} px"
    write_atomic(path, draw_sheet(tiles, title=note, lines=augmentation.describe() or ["nothing is changed"]))
    return Sheet(item.path, item.label, preset, augmentation, image_size, validation, draws, path)


def _find(source: Source, wanted: str | None) -> tuple[int, Item, Pixels]:
    """The picture, and its place among those that may be trained on."""
    training = [item for item in source.items if item.split in (None, "train")] or list(source.items)
    problem: UnreadableImage | None = None
    for place, item in enumerate(training):
        if wanted is None or item.path == wanted:
            try:
                return place, item, decode(source.read(item), path=item.path).pixels
            except UnreadableImage as error:
                problem = error
    if problem:
        raise problem
    raise InputError(
        f"{source.location!r} has no training picture {wanted!r}" if wanted else f"{source.location!r} holds no training pictures",
        got=wanted or "0 pictures",
        expected=f"for example {training[0].path!r}" if training else "pictures",
        fix="give --picture a path as the audit shows it, or leave it out",
    )


def _prepared(sample: Sample, preprocessing: Preprocessing | Margin) -> Sample:
    """The picture stretched to the model's square, with its targets."""
    height, width = sample.pixels.shape[:2]
    size, targets = preprocessing.size_px, sample.targets
    scale = np.array([size / width, size / height], np.float32)
    masks = targets.masks
    if masks is not None:
        masks = np.array([cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST_EXACT) for mask in masks], np.uint8)
    moved = Targets(targets.boxes * np.tile(scale, 2), targets.box_labels, masks, targets.points * scale)
    return Sample(preprocessing.apply(sample.pixels), sample.path, sample.label, moved)
