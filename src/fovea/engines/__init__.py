"""A module or an ONNX file -> a fast callable from uint8 pictures to named float32 arrays."""

from fovea.engines.engine import ENGINES, Engine, EngineInfo, open_engine

__all__ = ["ENGINES", "Engine", "EngineInfo", "open_engine"]
