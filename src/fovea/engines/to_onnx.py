"""From a torch module to ONNX: pixels in, float32 out, with everything that is known beforehand folded in.

The tracing exporter takes 0.7 s for MobileNetV2 where the newer one takes 7 (2 cores, torch 2.13), which a first run
would wait for. What it leaves (constants computed at run time, pads of "same" convolutions) ONNX Runtime's own constant
folding and `_merge_pads` fold: the result runs as fast as the newer exporter's. Every export is compared with torch on
real inputs before it is used, so that a fault of an exporter is an error and never a wrong answer.
"""

from __future__ import annotations

import errno
import io
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fovea.errors import from_os_error
from fovea.types import Floats

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 18


def module_to_onnx(module: torch.nn.Module, *, size_px: int, outputs: tuple[str, ...] = ("embedding",)) -> bytes:
    """Exports a module from `pixels`, uint8 (B, H, W, 3) RGB, to float32 outputs.

    Args:
        module: Left as it was found: mode and weights.
        size_px: Height and width, fixed in the file; the batch stays open.
        outputs: Their names in the file.
    """
    import torch

    from fovea.models.modes import evaluating

    buffer = io.BytesIO()
    with evaluating(module), warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # that sizes become constants is what we want
        torch.onnx.export(
            module,
            (torch.zeros((2, size_px, size_px, 3), dtype=torch.uint8),),
            buffer,  # type: ignore[arg-type]
            dynamo=False,
            input_names=["pixels"],
            output_names=list(outputs),
            dynamic_axes={name: {0: "B"} for name in ("pixels", *outputs)},
            opset_version=OPSET,
        )
    return _fold(buffer.getvalue())


def append_head(
    model: bytes,
    layers: list[tuple[Floats, Floats]],
    *,
    temperature: float,
    embedding: str = "embedding",
    answer: str = "probabilities",
    activation: str = "softmax",
) -> bytes:
    """Adds a head to an embedding model: dense layers with ReLU between them, calibration, activation.

    Args:
        model: An ONNX file with the output `embedding`, (B, D).
        layers: (weight (out, in), bias (out,)) from the embedding to the logits; where the file gives `logits` itself, none, or what is made of these.
        temperature: The logits are divided by it; folded into the last layer.
        embedding: Name of the output that the head reads.
        answer: Name of the output that it gives.
        activation: What ends it: softmax, sigmoid or identity.

    Returns:
        The file with the outputs `answer` (B, K) and `embedding` (B, D).
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (loaded := onnx.load_from_string(model)).graph
    own = [output for output in graph.output if output.name == "logits"]
    flowing, part = ("logits", "scaling") if own else (embedding, "head")
    for index, (weight, bias) in enumerate(layers):
        last = index == len(layers) - 1
        divide = temperature if last else 1.0
        names = [f"{part}.{index}.weight", f"{part}.{index}.bias"]
        for name, value in zip(names, (weight / divide, bias / divide), strict=True):
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        graph.node.append(helper.make_node("Gemm", [flowing, *names], [f"{part}.{index}"], transB=1))
        flowing = f"{part}.{index}"
        if not last:
            graph.node.append(helper.make_node("Relu", [flowing], [f"{part}.{index}.relu"]))
            flowing = f"{part}.{index}.relu"
    if layers:
        num_classes = len(layers[-1][1])
    else:
        num_classes = own[0].type.tensor_type.shape.dim[1].dim_value
        graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), "temperature"))
        graph.node.append(helper.make_node("Div", ["logits", "temperature"], ["calibrated"]))
        flowing = "calibrated"
    for output in own:
        graph.output.remove(output)
    ending = helper.make_node(activation.capitalize(), [flowing], [answer])
    if activation == "softmax":
        ending.attribute.append(helper.make_attribute("axis", 1))
    graph.node.append(ending)
    graph.output.insert(0, helper.make_tensor_value_info(answer, TensorProto.FLOAT, ["B", num_classes]))
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString())


def read_head(model: bytes) -> list[tuple[Floats, Floats]]:
    """The dense layers that `append_head` wrote, calibration folded in; none where the file has no such head."""
    import onnx
    from onnx import numpy_helper

    values = {tensor.name: tensor for tensor in onnx.load_from_string(model).graph.initializer if tensor.name.startswith("head.")}
    count = sum(name.endswith(".weight") for name in values)
    return [
        (numpy_helper.to_array(values[f"head.{i}.weight"]).copy(), numpy_helper.to_array(values[f"head.{i}.bias"]).copy())
        for i in range(count)
    ]


def show_maps(model: bytes, shape: tuple[int, ...], *, embedding: str = "embedding", maps: str = "features") -> bytes | None:
    """Makes the maps whose means over places are the embedding an output too: they are computed anyway.

    Args:
        model: An ONNX file.
        shape: Of the maps of one picture, (C, h, w).
        embedding: Name of the output that is their mean.
        maps: Name of the new output, (B, C, h, w).

    Returns:
        The file with one more output; None where the embedding is made in another way.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (loaded := onnx.load_from_string(model)).graph
    makers = {output: node for node in graph.node for output in node.output}
    axes = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in graph.initializer if tensor.data_type == TensorProto.INT64}
    node = makers.get(embedding)
    while node is not None and node.op_type in ("Flatten", "Squeeze", "Reshape", "Identity"):
        node = makers.get(node.input[0])
    over_places = node is not None and (
        node.op_type == "GlobalAveragePool"
        or (node.op_type == "ReduceMean" and len(node.input) > 1 and sorted(axis % 4 for axis in axes.get(node.input[1], ())) == [2, 3])
    )
    if node is None or not over_places or node.input[0] in {output.name for output in graph.output}:
        return None
    flowing = node.input[0]
    for each in graph.node:
        for names in (each.input, each.output):
            for index, name in enumerate(names):
                if name == flowing:
                    names[index] = maps
    graph.output.append(helper.make_tensor_value_info(maps, TensorProto.FLOAT, ["B", *shape]))
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString())


def half_weights(model: bytes) -> bytes:
    """The same model with its weights kept as float16, half as large; it computes in float32 as before.

    Each weight becomes float16 and a Cast, which an engine folds away when it opens the file. What few numbers decide for whole
    channels (biases, filters of a single channel) stays exact. For pages that must load over a network.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    graph = (loaded := onnx.load_from_string(model)).graph
    for tensor in [each for each in graph.initializer if each.data_type == TensorProto.FLOAT and len(each.dims) > 1 and each.dims[1] > 1]:
        name = f"{tensor.name}.half"
        graph.node.insert(0, helper.make_node("Cast", [name], [tensor.name], to=TensorProto.FLOAT))
        graph.initializer.append(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name))
        graph.initializer.remove(tensor)
    onnx.checker.check_model(loaded)
    return bytes(loaded.SerializeToString())


def _fold(model: bytes) -> bytes:
    """Constants computed once, here; pads merged into the convolutions that follow them."""
    import onnx
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="fovea-export-") as folder:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        # "basic" is the level whose result is plain ONNX, the same for every processor
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        try:
            onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            folded = onnx.load(options.optimized_model_filepath)
        except Exception as error:  # ONNX Runtime's exceptions share no public class
            if "serialization failed" in str(error):  # all it says when the disk is full
                raise from_os_error(OSError(errno.ENOSPC, "no space left on device"), folder) from error
            raise
    _merge_pads(folded.graph)
    used = {node.domain or "" for node in folded.graph.node}
    for domain in [entry for entry in folded.opset_import if entry.domain not in used]:
        folded.opset_import.remove(domain)
    onnx.checker.check_model(folded)
    return bytes(folded.SerializeToString())


def _merge_pads(graph: onnx.GraphProto) -> None:
    """Pad by constant zeros, then Conv -> Conv with those pads; a Pad of another kind stays as it is."""
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, int] = {}
    for node in graph.node:
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    for conv in [node for node in graph.node if node.op_type == "Conv"]:
        pad = makers.get(conv.input[0])
        if pad is None or pad.op_type != "Pad" or readers[pad.output[0]] != 1 or pad.input[1] not in constants:
            continue
        mode = next((a.s for a in pad.attribute if a.name == "mode"), b"constant")
        value = pad.input[2] if len(pad.input) > 2 else ""
        if value and value not in constants:
            continue
        fill = numpy_helper.to_array(constants[value]) if value else np.zeros(())
        amounts = numpy_helper.to_array(constants[pad.input[1]])  # N C H W begins, then N C H W ends
        if mode != b"constant" or np.any(fill != 0) or len(amounts) != 8 or amounts[[0, 1, 4, 5]].any() or (amounts < 0).any():
            continue
        own = next((a for a in conv.attribute if a.name == "pads"), None)
        before = list(own.ints) if own is not None else [0, 0, 0, 0]
        if own is not None:
            conv.attribute.remove(own)
        added = [int(v) for v in (*amounts[2:4], *amounts[6:8])]
        conv.attribute.append(helper.make_attribute("pads", [a + b for a, b in zip(before, added, strict=True)]))
        conv.input[0] = pad.input[0]
        graph.node.remove(pad)
    still_used = {name for node in graph.node for name in node.input}
    for tensor in [tensor for tensor in graph.initializer if tensor.name not in still_used]:
        graph.initializer.remove(tensor)
