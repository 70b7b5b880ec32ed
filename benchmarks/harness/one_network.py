"""Measures one backbone in a process of its own, and prints what it found as one line of JSON: `python -m ... NAME BATCH PASSES`."""

import json
import resource
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode

from fovea.engines import ENGINES
from fovea.engines.to_onnx import module_to_onnx
from fovea.loading.parallel import num_threads
from fovea.models.backbone import BACKBONES, count_parameters, create_backbone
from fovea.models.network import PixelBackbone

_ENOUGH_S = 4.0  # no more passes of one kind after so long
_MATRIX = 2048  # the side of the matrices that the peak is measured with
_EXPORTED = 70_000_000  # parameters: larger networks are not exported here, which takes longer than all the rest


def main(name: str, batch: int, passes: int) -> dict[str, Any]:
    """Images a second and memory of one backbone; where its time goes."""
    torch.manual_seed(0)
    info = BACKBONES[name].info
    network = create_backbone(name, num_classes=1000).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    side = (network.sizes_px or (0, None))[1] or info.image_size_px
    x = torch.randn(batch, 3, side, side).to(memory_format=torch.channels_last)
    targets = torch.arange(batch) % 1000
    network.eval()
    with torch.inference_mode():
        forward = _rates(lambda: network(x), batch, passes)
        forward_mib = _peak_mib()
        where = _where(network, x)
        counter = FlopCounterMode(display=False)
        with counter, sdpa_kernel(SDPBackend.MATH):  # of the other ways to attend it counts nothing
            network(x[:1])
    network.train()

    def step() -> None:
        for parameter in network.parameters():
            parameter.grad = None
        nn.functional.cross_entropy(network(x), targets).backward()

    both = _rates(step, batch, passes)
    both_mib = _peak_mib()
    macs = counter.get_total_flops() / 2
    return {
        "name": name,
        "batch": batch,
        "image_size_px": side,
        "num_parameters": count_parameters(network),
        "macs": macs,
        "forward": forward,
        "both": both,
        "forward_mib": forward_mib,
        "both_mib": both_mib,
        "onnx": _onnx_rates(network.eval(), info.mean, info.std, side, passes) if info.num_parameters < _EXPORTED else [],
        "sgemm_gflops": _sgemm(passes),
        **where,
    }


def _rates(work: Callable[[], object], batch: int, passes: int) -> list[float]:
    """Images a second of each pass, after one that does not count."""
    started = time.perf_counter()
    work()
    rates: list[float] = []
    while len(rates) < passes and (len(rates) < 2 or time.perf_counter() - started < _ENOUGH_S):
        before = time.perf_counter()
        work()
        rates.append(batch / (time.perf_counter() - before))
    return rates


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)


def _where(network: nn.Module, x: torch.Tensor) -> dict[str, Any]:
    """Which operators take most of a forward pass, and what each kind of layer has of its time and of the multiply-adds."""
    seconds, macs = defaultdict[str, float](float), defaultdict[str, float](float)
    before = time.perf_counter()
    with _watched(network, seconds, macs):
        network(x)
    whole = time.perf_counter() - before
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        network(x)
    operators = sorted(seen.key_averages(), key=lambda event: event.self_cpu_time_total, reverse=True)
    total = sum(event.self_cpu_time_total for event in operators)
    return {
        "operators": [(event.key.removeprefix("aten::"), event.self_cpu_time_total / total) for event in operators[:3]],
        "kinds": {kind: value / whole for kind, value in seconds.items()},
        "kinds_of_macs": {kind: value / max(1.0, sum(macs.values())) for kind, value in macs.items()},
    }


@contextmanager
def _watched(network: nn.Module, seconds: dict[str, float], macs: dict[str, float]) -> Iterator[None]:
    """Clocks every convolution and dense layer by its kind."""
    started: dict[nn.Module, float] = {}

    def begin(layer: nn.Module, _: object) -> None:
        started[layer] = time.perf_counter()

    def end(layer: nn.Module, _: object, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            kind = "depthwise" if layer.groups == layer.in_channels > 1 else "convolution"
            each = layer.kernel_size[0] * layer.kernel_size[1] * layer.in_channels / layer.groups
        else:
            kind, each = "dense", float(layer.get_parameter("weight").shape[1])
        seconds[kind] += time.perf_counter() - started[layer]
        macs[kind] += output.numel() * each

    hooks = []
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            hooks += [layer.register_forward_pre_hook(begin), layer.register_forward_hook(end)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _onnx_rates(network: Any, mean: Any, std: Any, side: int, passes: int) -> list[float]:
    """The embedding by ONNX Runtime, all cores on one batch of 8."""
    body = PixelBackbone(network, mean, std)
    engine: Any = ENGINES["onnxruntime"].build(module_to_onnx(body, size_px=side), threads=num_threads())
    pixels = torch.randint(0, 256, (8, side, side, 3), dtype=torch.uint8).numpy()
    return _rates(lambda: engine(pixels), len(pixels), passes)


def _sgemm(passes: int) -> list[float]:
    """10^9 multiplications and additions a second of a large product of matrices."""
    a, b = torch.randn(_MATRIX, _MATRIX), torch.randn(_MATRIX, _MATRIX)
    return [rate * 2 * _MATRIX**3 / 1e9 for rate in _rates(lambda: torch.mm(a, b), 1, passes)]


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
