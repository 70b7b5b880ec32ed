"""Every backbone by every explanation method that can be used on it: the common exam."""

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks.harness.figures import Answer, Grid, Options, count
from benchmarks.harness.figures import Limit as _Limit

ASKS = (
    "Does every explanation method pass the common exam on every registered backbone that it can be used on: heat in 0..1 and of the picture's size, model, "
    "gradients, hooks, modes and chance untouched, another heat with other weights?"
)
REPEATS = 1
NEEDS = ()

_ONLY = "FOVEA_BENCH_NETWORKS"  # names with commas between them, to try it out
# What a backbone cannot offer, told from its design and not from what tracing finds: attention there is in Vision Transformers alone,
# which have no ReLUs and read a class token; CAM wants one linear layer on the means of the last maps.
_NO_CAM = ("alexnet", "lenet5", "mobilenet_v3_large", "mobilenet_v3_small", "vgg11", "vgg13", "vgg16", "vgg16_1x1", "vgg19")
_WITHOUT = {
    **{name: {"attention_rollout", "cam"} for name in _NO_CAM},
    "efficientnet_b0": {"attention_rollout", "guided_backprop"},  # SiLU
    "vit_tiny": {"cam", "guided_backprop"},
    "vit_small": {"cam", "guided_backprop"},
}
_SMALLER = {"vit_tiny": "vit_tiny:size_px=64", "vit_small": "vit_small:size_px=64"}  # at 224 px a method of 500 passes takes minutes


def measure(options: Options) -> Answer:
    """Examines all pairs, at the smallest size with several places in the last map."""
    from fovea.explain import METHODS
    from fovea.models.backbone import BACKBONES
    from fovea.versions import versions

    names = [name for name in os.environ.get(_ONLY, "").split(",") if name] or BACKBONES.names()
    rows, failed, passed = [], [], 0
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for name, (can, problems, seconds) in zip(names, pool.map(_examined, names), strict=True):
            passed += len(can) - sum(problem.split(" on ")[0] in can for problem in problems)
            failed += problems
            rows.append((_SMALLER.get(name, name), ", ".join(can)))
            options.say(f"{name}: {len(can)} methods in {seconds:.0f} s" + "".join(f"\n  {each}" for each in problems))
    return Answer(
        figures=[
            count("pairs that fail", len(failed), passed + len(failed), limit=_Limit(0), of="pairs"),
            count("backbones", len(names), len(names), of="backbones"),
            count("methods", len(METHODS), len(METHODS), of="methods"),
        ],
        notes=[*failed],
        versions=versions("torch", "numpy"),
        grid=Grid(("backbone", "methods that can be used"), rows, [{"backbone": name, "methods": can.split(", ")} for name, can in rows]),
    )


def _examined(name: str) -> tuple[list[str], list[str], float]:
    """In a process of its own: the methods that can be used on a backbone, what fails, and how many seconds it took."""
    from fovea.explain import METHODS
    from fovea.models.modes import one_thread
    from fovea.testing.explanations import check_method, methods_for

    asked, began, failed = _SMALLER.get(name, name), time.perf_counter(), []
    with one_thread():  # as many processes as cores
        can = methods_for(asked)
        missing = set(METHODS.names()) - set(can) - _WITHOUT.get(name, {"attention_rollout"})
        failed += [f"{method} on {name}: it should be offered" for method in sorted(missing)]
        for method in can:
            try:
                check_method(method, backbone=asked)
            except Exception as error:
                failed.append(f"{method} on {name}: {str(error).splitlines()[0]}")
    return can, failed, time.perf_counter() - began
