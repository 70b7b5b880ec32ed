"""Every backbone by every explanation method that can be used on it: the common exam."""

import os
import time

from benchmarks.harness.figures import Answer, Grid, Options, count
from benchmarks.harness.figures import Limit as _Limit

ASKS = (
    "Does every explanation method pass the common exam on every registered backbone that it can be used on: heat in 0..1 and of the picture's size, model, "
    "gradients, hooks, modes and chance untouched, another heat with other weights?"
)
REPEATS = 1
NEEDS = ()

_ONLY = "FOVEA_BENCH_NETWORKS"  # names with commas between them, to try it out
_SMALLER = {"vit_tiny": "vit_tiny:size_px=64", "vit_small": "vit_small:size_px=64"}  # at 224 px a method of 500 passes takes minutes


def measure(options: Options) -> Answer:
    """Examines all pairs, at the smallest size with several places in the last map."""
    from fovea.explain import METHODS
    from fovea.models.backbone import BACKBONES
    from fovea.testing.explanations import check_method, methods_for
    from fovea.versions import versions

    names = [name for name in os.environ.get(_ONLY, "").split(",") if name] or BACKBONES.names()
    rows, failed, passed = [], [], 0
    for name in names:
        asked, began = _SMALLER.get(name, name), time.perf_counter()
        can = methods_for(asked)
        for method in can:
            try:
                check_method(method, backbone=asked)
                passed += 1
            except Exception as error:
                failed.append(f"{method} on {name}: {str(error).splitlines()[0]}")
        rows.append((asked, ", ".join(can)))
        options.say(
            f"{asked}: {len(can)} methods in {time.perf_counter() - began:.0f} s"
            + "".join(f"\n  {each}" for each in failed if f" on {name}:" in each)
        )
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
