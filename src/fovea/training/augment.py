"""Which augmentation a training uses: what was asked, or what "auto" makes of it, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fovea.errors import InputError

if TYPE_CHECKING:
    from fovea.transforms import Augmentation

# The texts' own for photos: flip, rotation by 0.1 of a turn, zoom by 0.2. On 2,000 cats and dogs, together with dropout,
# it lifts a network from nothing from 78.6 to 83.9 % (Deep Learning with Python, chapter 8).
DEFAULT = "light"
_CHARACTERS_PX = 32  # pictures as small as these are often of characters (MNIST 28 px, digits 8 px)


def augmentation_of(preset: str) -> Augmentation | None:
    """The augmentation of a preset, with its mixes ("standard+cutmix"); None where it changes nothing.

    Raises:
        UnknownName: No preset has that name, or no mix.
    """
    if preset == "none":
        return None
    from fovea.transforms import create_augmentation

    augmentation = create_augmentation(preset)
    return None if augmentation.is_identity and not augmentation.mixes else augmentation


def is_centred(preset: str) -> bool:
    """Whether each picture's own mean is taken away: by the network itself, so that it is in production as it was in training."""
    augmentation = augmentation_of(preset)
    return augmentation is not None and bool(augmentation.float_ops)  # a preset has no other operation on floats: a test says so


def choose_augment(asked: str, *, strategy: str, augments: bool, size_px: int, notes: list[str]) -> str:
    """The preset for a training; what "auto" chose is added to `notes`.

    Args:
        asked: `--augment`.
        strategy: Its name.
        augments: Whether it sees each picture anew in each epoch.
        size_px: Side of what the network sees.
        notes: Plain sentences of what was chosen and why.

    Raises:
        UnknownName: No preset has that name.
        InputError: A preset was asked for, and the strategy looks at each picture only once.
    """
    if asked == "auto":
        if not augments:
            return "none"
        if size_px <= _CHARACTERS_PX:
            notes.append(
                f"augmentation none: pictures of {size_px} px are often characters, which a flip would turn into others; --augment chooses"
            )
            return "none"
        notes.append(f"augmentation {DEFAULT}: each epoch sees the training pictures flipped, turned and zoomed anew; --augment chooses")
        return DEFAULT
    augmentation = augmentation_of(asked)
    if augmentation is not None and not augments:
        raise InputError(
            f"--augment {asked} cannot be used with the strategy {strategy}, which looks at each picture once",
            got=f"--augment {asked}",
            expected="a strategy that sees the pictures anew in each epoch, or no --augment",
            fix="add --strategy scratch, or leave --augment out",
        )
    if augmentation is not None:
        notes += [f"--augment {asked}: {said}" for said in (_of_centring(augmentation), _of_mixes(augmentation)) if said]
    return asked


def _of_centring(augmentation: Augmentation) -> str:
    return "the network takes each picture's own mean away, in training and wherever it is used" if augmentation.float_ops else ""


def _of_mixes(augmentation: Augmentation) -> str:
    names = " or ".join(mix.name for mix in augmentation.mixes)
    return names and (
        f"{names} blends the pictures of each batch, and loss and accuracy of training are those of blended pictures: "
        "of classes, right is the class with the largest share"
    )
