"""Look at what training will see."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fovea.data import Source, decode, open_source
from fovea.errors import InputError, UnreadableImage
from fovea.files import check_new_file, printable, ready_folder, write_atomic
from fovea.loading.margin import Margin
from fovea.recipes._sheet import Tile, draw_sheet
from fovea.transforms import Augmentation, create_augmentation
from fovea.transforms.op import chance_of
from fovea.transforms.preprocessing import Preprocessing, square
from fovea.types import Item, Pixels, Sample, Targets

_NUM_DRAWS = 9
_NUM_OTHERS = 7  # pictures that the shown one is mixed with


@dataclass(frozen=True)
class Sheet:
    """What was drawn: the picture as validation and test receive it, and nine draws as training receives them.

    Where pictures are mixed, `shares` has for each draw what part of it is the picture itself, and draws have no boxes or masks.
    """

    picture: str
    label: str | None
    preset: str
    augmentation: Augmentation
    image_size_px: int
    validation: Sample
    draws: list[Sample]
    out: Path
    shares: tuple[float, ...] = ()

    @property
    def lines(self) -> list[str]:
        """What the augmentation does."""
        return self.augmentation.describe() or ["nothing is changed"]

    def to_json(self) -> dict[str, Any]:
        return {
            "picture": printable(self.picture),
            "label": self.label,
            "preset": self.preset,
            "operations": self.augmentation.describe(),
            "image_size_px": self.image_size_px,
            "num_draws": len(self.draws),
            "shares": list(self.shares),
            "out": str(self.out),
        }

    def to_text(self) -> str:
        lines = [f"{self.picture}, {_NUM_DRAWS} draws of {self.preset!r} at {self.image_size_px} px:"]
        lines += [f"  {line}" for line in self.lines]
        return printable("\n".join([*lines, f"written to {self.out}"]))


def augment(
    data: str,
    *,
    out: str = "sheet.png",
    preset: str = "light",
    image_size: int = 180,
    picture: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Sheet:
    """Draw a picture as training will see it in its first nine epochs, and as validation and test see it.

    Only training pictures are varied. With "+mixup" or "+cutmix" the picture is mixed with seven others, and below it stands
    how much of it is left. Where the data have boxes or masks, as the built-in "shapes" do, they are drawn too.

    Args:
        data: As for `fovea train`.
        out: The PNG file to write.
        preset: Which augmentation: none, light, standard, strong, tiny_imagenet; and what mixes pictures with one another:
            +mixup, +cutmix or both, as in standard+cutmix.
        image_size: Side of the square that the model receives, in pixels.
        picture: Which one, by its path within the data; by default the first training picture that can be read.
        seed: The same seed gives the same draws.
        overwrite: Replace a file that stands there already.

    Returns:
        The pictures, and where they were written.

    Example:
        fovea augment photos/ --preset standard --out sheet.png
    """
    if not 8 <= image_size <= 1024:  # a sheet of larger ones would fill no screen
        raise InputError(f"--image-size cannot be {image_size}", got=image_size, expected="8 to 1024 pixels", fix="leave it out")
    augmentation, path = create_augmentation(preset), check_new_file(out, overwrite=overwrite)
    ready_folder(path.parent)
    with open_source(data, seed=seed, for_training=False) as source:
        training = [item for item in source.items if item.split in (None, "train")] or list(source.items)
        place, item, pixels = _find(source, training, picture)
        targets = source.targets(item)
        others = _others(source, training, place) if augmentation.mixes else {}
    original = Sample(pixels, path=item.path, label=item.label, targets=targets)
    preprocessing = square(image_size)
    kept = _prepared(original, Margin(preprocessing))  # what the loader keeps of training pictures
    draws = [augmentation(kept, chance_of(seed, epoch, place), image_size) for epoch in range(_NUM_DRAWS)]
    shares: tuple[float, ...] = ()
    if augmentation.mixes:
        beside = {at: Margin(preprocessing).apply(other) for at, other in others.items()}
        mixed = [_mixed(augmentation, draw, beside, [seed % 2**64, epoch], len(training)) for epoch, draw in enumerate(draws)]
        draws, shares = [draw for draw, _ in mixed], tuple(share for _, share in mixed)
    validation = _prepared(original, preprocessing)
    sheet = Sheet(item.path, item.label, preset, augmentation, image_size, validation, draws, path, shares)
    tiles = [Tile("as it is", original), Tile("validation, test", validation)]
    words = [f", {share:.0%} of it" for share in shares] or [""] * _NUM_DRAWS
    tiles += [Tile(f"training, epoch {epoch + 1}{words[epoch]}", draw) for epoch, draw in enumerate(draws)]
    write_atomic(path, draw_sheet(tiles, title=f"{item.path} · {preset} · {image_size} px", lines=sheet.lines))
    return sheet


def _mixed(
    augmentation: Augmentation, draw: Sample, others: dict[int, Pixels], chance: list[int], num_training: int
) -> tuple[Sample, float]:
    """The draw as it leaves a batch with these others, and how much of it is left; as the loader mixes the first batch of an epoch."""
    beside = [augmentation.pixels(other, chance_of(*chance, at), len(draw.pixels)) for at, other in others.items()]
    batch = np.stack([draw.pixels, *beside])
    each = np.eye(len(batch), dtype=np.float32)  # as if each picture were a class of its own
    pixels, shares = augmentation.mixed(batch, each, np.random.default_rng([*chance, num_training]))
    return Sample(pixels[0], draw.path, draw.label), float(shares[0, 0])


def _others(source: Source, training: list[Item], place: int) -> dict[int, Pixels]:
    """Some more training pictures from all over the data, by their places."""
    found = {}
    for at in np.linspace(place, place + len(training), _NUM_OTHERS + 1, endpoint=False).astype(int)[1:] % len(training):
        if at != place:
            with suppress(UnreadableImage):  # the audit names it
                found[int(at)] = decode(source.read(training[at]), path=training[at].path).pixels
    return found


def _find(source: Source, training: list[Item], wanted: str | None) -> tuple[int, Item, Pixels]:
    """The picture, and its place among those that may be trained on."""
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
