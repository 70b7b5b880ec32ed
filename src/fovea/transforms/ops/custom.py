"""A function of the user's own."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fovea.errors import InputError
from fovea.transforms.op import OPS, Lots, OpInfo, PixelOp, generator
from fovea.types import Pixels

Function = Callable[[Pixels, np.random.Generator], Pixels]


def shuffle_channels(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """An example of such a function, which the exam takes."""
    return pixels[:, :, rng.permutation(3)]


@OPS.add(
    OpInfo("pixels", source="Keras ImageDataGenerator's preprocessing_function", example=lambda: Custom(function=shuffle_channels)),
    name="custom",
)
@dataclass(frozen=True, kw_only=True)
class Custom(PixelOp):
    """Calls a function of your own.

    It leaves places as they are: boxes, masks and points stay. For one that moves them, extend `Geometry`.

    Args:
        function: Takes uint8 (H, W, 3) pixels that it may write into, and a generator for its chance; gives the same shape.
            It is called in several threads at once. To be pickled it must stand at the top of a module.
        version: Raise it when the function changes: it is part of the key of what is cached.
    """

    num_draws = 1

    function: Function
    version: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not callable(self.function):
            raise InputError(
                f"{self.name} needs a function",
                got=repr(self.function),
                expected="a function of (pixels, rng) that gives pixels",
                fix="Custom(function=my_function)",
            )

    def paint(self, pixels: Pixels, lots: Lots) -> Pixels:
        """Raises InputError where the function gives something else than such a picture."""
        shape = pixels.shape
        result = self.function(pixels, generator(lots[0]))
        if not isinstance(result, np.ndarray) or result.dtype != np.uint8 or result.shape != shape:
            got = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
            raise InputError(
                f"{self.settings()['function']} does not give a picture of the same size",
                got=got,
                expected=f"uint8 {shape}",
                fix="return pixels of the shape that came in; extend fovea.transforms.Geometry to change places or sizes",
            )
        return result
