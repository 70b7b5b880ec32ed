"""Other libraries' versions of our networks: what a network states of them, so that their files can be read. Imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, Literal

from fovea.models.passport import Triple


@dataclass(frozen=True)
class Origin:
    """A library whose weights a network can take, and what is different there.

    Args:
        library: Whose version it is: Keras Applications, torchvision, or timm.
        options: Those that ours must be made with to compute the same from the same numbers.
        feeding: Further options, that only say how pixels come in.
        scaling: Mean and deviation per channel, of pixels scaled to 0..1, that the library's own preprocessing takes; None
            where they are ours.
        gamma: Whether its batch norms scale; where they do not, a scale of one is taken.
        renames: Patterns and replacements for layers that it calls otherwise than we do.
        auxiliary: What the names of its second classifiers begin with: left out where ours has none.
    """

    library: Literal["keras", "torchvision", "timm"]
    options: Mapping[str, Any] = field(default_factory=dict)
    feeding: Mapping[str, Any] = field(default_factory=dict)
    scaling: tuple[Triple, Triple] | None = None
    gamma: bool = True
    renames: tuple[tuple[str, str], ...] = ()
    auxiliary: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """The library's name, as people write it."""
        return "Keras" if self.library == "keras" else self.library


# How pixels of 0..1 are scaled: by halves, with ImageNet's statistics (torchvision's way too), and as Caffe did. These are the
# three modes of `keras.applications.imagenet_utils.preprocess_input`, which calls them tf, torch and caffe.
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Caffe's takes (103.939, 116.779, 123.68) from levels with blue first; ours are normalised before their order is turned
CAFFE = ((123.68 / 255, 116.779 / 255, 103.939 / 255), (1 / 255, 1 / 255, 1 / 255))


def keras_order(*branches: tuple[str, ...]) -> tuple[str, ...]:
    """The order in which Keras saves the layers of branches side by side: by how far each is from where the branches meet.

    >>> keras_order(("one",), ("narrow", "three"))
    ('narrow', 'one', 'three')
    """
    columns = list(zip_longest(*(reversed(branch) for branch in branches)))
    return tuple(name for column in reversed(columns) for name in column if name is not None)
