"""Augmentations by the names that people give them, and operations by name with settings."""

import difflib
import inspect
from collections.abc import Callable
from typing import Any, cast

from fovea.errors import InputError, UnknownName
from fovea.transforms.augmentation import Augmentation
from fovea.transforms.mix import MIXES, Mix
from fovea.transforms.op import OPS, Op


def create_op(name: str, **settings: Any) -> Op:
    """An operation by its name.

    Args:
        name: One of the registry OPS, for example "rotation".
        settings: The operation's own, for example `turn_range=(-0.1, 0.1), chance=0.5`; an unknown one is an error.

    Raises:
        UnknownName: No operation is called so.
        InputError: It has no such setting, lacks one that it needs, or cannot have such a value.
    """
    build = OPS[name].build
    known = inspect.signature(build).parameters
    if unknown := sorted(set(settings) - set(known)):
        near = difflib.get_close_matches(unknown[0], known, n=3, cutoff=0.4)
        raise InputError(
            f"{name} has no setting {unknown[0]!r}",
            got=unknown[0],
            expected="one of " + ", ".join(known),
            fix=f"did you mean {' or '.join(near)}?" if near else "leave it out",
        )
    if missing := [key for key, parameter in known.items() if parameter.default is parameter.empty and key not in settings]:
        raise InputError(
            f"{name} needs {missing[0]}", got=f"{name}()", expected=f"{missing[0]}=...", fix=f"give it a value for {missing[0]}"
        )
    return cast(Op, build(**settings))


def _none() -> list[Op]:
    """Pictures as they are."""
    return []


def _light() -> list[Op]:
    """The texts' cats and dogs: RandomFlip("horizontal"), RandomRotation(0.1), RandomZoom(0.2), each filled by reflection."""
    return [create_op("horizontal_flip"), create_op("rotation", turn_range=(-0.1, 0.1)), create_op("zoom", part_range=(0.8, 1.2))]


def _standard() -> list[Op]:
    """For photos of things: parts of half the picture or more, small turns, and the light of another day."""
    return [
        create_op("horizontal_flip"),
        create_op("rotation", turn_range=(-1 / 36, 1 / 36)),
        create_op("random_resized_crop", area_range=(0.5, 1.0)),
        create_op("brightness", factor_range=(0.75, 1.25)),
        create_op("contrast", factor_range=(0.75, 1.25)),
        create_op("saturation", factor_range=(0.7, 1.3)),
        create_op("hue", turn_range=(-0.02, 0.02)),
    ]


def _strong() -> list[Op]:
    """For long training: ImageNet's crops, TrivialAugment, and Random Erasing with the chance that torchvision's recipe has."""
    return [
        create_op("horizontal_flip"),
        create_op("random_resized_crop", area_range=(0.25, 1.0)),
        create_op("trivial_augment"),
        create_op("erasing", chance=0.1, area_range=(0.02, 0.33)),
    ]


def _tiny_imagenet() -> list[Op]:
    """The texts' Tiny-ImageNet recipe, in the order in which Keras's ImageDataGenerator applies it.

    The last operation, the centring, belongs to every split alike, and to production: `fovea train` makes it part of the network.
    """
    return [
        create_op("rotation", turn_range=(-30 / 360, 30 / 360)),
        create_op("shift", x_range=(-0.2, 0.2), y_range=(-0.2, 0.2)),
        create_op("shear", x_range=(0, 0), y_range=(-5 / 360, 5 / 360)),  # Keras lets columns slide
        create_op("zoom", part_range=(0.8, 1.2), keep_proportions=False),
        create_op("horizontal_flip"),
        create_op("brightness", factor_range=(0.5, 1.5)),
        create_op("gamma", gamma_range=(0.9, 1.08)),
        create_op("occlusion", patch_px=10, greys=(0, 128, 255)),
        create_op("samplewise", centre=True, scale=False),
    ]


PRESETS: dict[str, Callable[[], list[Op]]] = {
    "none": _none,
    "light": _light,
    "standard": _standard,
    "strong": _strong,
    "tiny_imagenet": _tiny_imagenet,
}


def create_augmentation(preset: str) -> Augmentation:
    """An augmentation by name.

    Args:
        preset: "none", "light", "standard", "strong" or "tiny_imagenet", and "+mixup" or "+cutmix" or both behind it where
            the pictures of a batch are to be mixed: of both, one is drawn for each batch. For operations of your own choice:
            `Augmentation((create_op("rotation"), ...))`.

    Raises:
        UnknownName: There is no such preset, or no such mix; the near ones are named.

    Example:
        >>> create_augmentation("light").describe()[0]
        'horizontal_flip(chance=0.5)'
    """
    name, *mixes = preset.split("+")
    if name not in PRESETS:
        near = [f"none+{name}"] if name in MIXES else difflib.get_close_matches(name, PRESETS, n=3, cutoff=0.4)
        raise UnknownName(
            f"no augmentation preset is called {name!r}",
            got=repr(preset),
            expected="one of " + ", ".join(PRESETS),
            fix=f"did you mean {' or '.join(near)}?" if near else "choose one of these presets",
        )
    return Augmentation(tuple(PRESETS[name]()), tuple(cast(Mix, MIXES[mix].build()) for mix in mixes))
