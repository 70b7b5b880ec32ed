"""What every engine is, and how one is chosen."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from fovea.registry import Registry
from fovea.types import Floats, Pixels


@dataclass(frozen=True)
class EngineInfo:
    """What an engine states of itself: where it comes from, and why one would choose it."""

    source: str
    purpose: str


class Engine(ABC):
    """An opened model. Safe to call from several threads at once: that is how all cores are kept busy.

    One call runs on one core; callers run as many calls side by side as there are cores. Measured on two cores this
    is a tenth faster than one call on both, and each picture's result does not depend on its neighbours in the batch.
    """

    output_names: tuple[str, ...]
    input_size_px: int

    @abstractmethod
    def __call__(self, pixels: Pixels, outputs: tuple[str, ...] | None = None) -> dict[str, Floats]:
        """uint8 (B, H, W, 3) RGB -> the named outputs (all, unless asked for some), float32."""


ENGINES: Registry[EngineInfo] = Registry("engine", "fovea.engines.runtimes")


def open_engine(model: bytes, *, name: str = "onnxruntime", threads: int = 1) -> Engine:
    """Opens an ONNX model (its bytes) in the engine called `name`.

    Args:
        model: The content of an ONNX file whose first input is `pixels`, uint8 (B, H, W, 3).
        name: One of `ENGINES.names()`.
        threads: Cores that one call uses: 1 where calls run side by side, more where one call at a time has to be quick.
    """
    engine = ENGINES[name].build(model, threads=threads)
    assert_engine: Engine = engine  # type: ignore[assignment]
    return assert_engine
