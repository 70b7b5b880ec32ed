"""ONNX Runtime: the default. Quick to open, quick to run, and in every place that a bundle has to go."""

from typing import Any

import numpy as np

from fovea.engines.engine import ENGINES, Engine, EngineInfo
from fovea.errors import BundleError
from fovea.types import Floats, Pixels


class OnnxRuntimeEngine(Engine):
    def __init__(self, model: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: its warnings speak of graph details that no user can act on
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # idle threads leave the core to others
        try:
            self._session: Any = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exception types share no public base class
            raise BundleError(
                "the model cannot be opened by ONNX Runtime",
                got=str(error).splitlines()[0][:300],
                expected="a whole ONNX file that this version of ONNX Runtime knows",
                fix="make it again, or update onnxruntime",
            ) from error
        self._input = self._session.get_inputs()[0].name
        self.input_size_px = int(self._session.get_inputs()[0].shape[1])
        self.output_names = tuple(output.name for output in self._session.get_outputs())

    def __call__(self, pixels: Pixels, outputs: tuple[str, ...] | None = None) -> dict[str, Floats]:
        names = outputs or self.output_names
        values = self._session.run(list(names), {self._input: np.ascontiguousarray(pixels)})
        return dict(zip(names, values, strict=True))


@ENGINES.add(
    EngineInfo(source="onnxruntime.ai", purpose="the default: fastest fp32 on the processors measured, opens in a tenth of a second")
)
def onnxruntime(model: bytes, *, threads: int = 1) -> OnnxRuntimeEngine:
    """Opens an ONNX model in ONNX Runtime, on the processor."""
    return OnnxRuntimeEngine(model, threads)
