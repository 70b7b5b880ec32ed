"""OpenVINO, in float32: its silent default on recent processors is bfloat16, which changes answers (cosine 0.996)."""

from typing import Any

import numpy as np

from fovea.engines.engine import ENGINES, Engine, EngineInfo
from fovea.errors import missing_extra
from fovea.types import Floats, Pixels


class OpenVinoEngine(Engine):
    def __init__(self, model: bytes, threads: int) -> None:
        try:
            import openvino
        except ImportError as error:
            raise missing_extra("openvino", "openvino", "the engine 'openvino'") from error
        core = openvino.Core()
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        self._model: Any = core.compile_model(core.read_model(model), "CPU", settings)
        self.output_names = tuple(output.get_any_name() for output in self._model.outputs)
        self.input_size_px = int(self._model.inputs[0].get_partial_shape()[1].get_length())

    def __call__(self, pixels: Pixels, outputs: tuple[str, ...] | None = None) -> dict[str, Floats]:
        names = outputs or self.output_names
        request = self._model.create_infer_request()  # one a call: requests are not shared between threads
        answer = request.infer({0: np.ascontiguousarray(pixels)})
        return {name: np.array(answer[name]) for name in names}


@ENGINES.add(EngineInfo(source="docs.openvino.ai", purpose="an alternative on Intel processors; needs the extra 'openvino'"))
def openvino(model: bytes, *, threads: int = 1) -> OpenVinoEngine:
    """Opens an ONNX model in OpenVINO, on the processor, in float32."""
    return OpenVinoEngine(model, threads)
