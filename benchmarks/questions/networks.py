"""How fast every backbone is here, what it needs, and how much of what the machine can compute it uses."""

import json
import os
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.harness.child import measured, our_environment
from benchmarks.harness.figures import Answer, Grid, Options, repeated

ASKS = (
    "How many pictures a second does each backbone see and learn from on the processor, at the size that it is meant for, with how much memory, "
    "and what share of the machine's peak (a large product of matrices) is that? Where it is little: what takes the time?"
)
REPEATS = 5
NEEDS = ()

_ONLY = "FOVEA_BENCH_NETWORKS"  # names with commas between them, to try it out
_BATCH, _SMALL_BATCH = 32, 8
_LARGE = 20_000_000  # parameters from which a batch is small; so it is from _WIDE_PX, for memory and time
_WIDE_PX = 256
_HEADER = (
    "network", "px", "batch", "parameters, M", "multiply-adds, G", "forward, images/s", "forward + backward, images/s",
    "ONNX Runtime, images/s", "memory forward / both, MiB", "of the peak, forward / both", "n",
)  # fmt: skip


def measure(options: Options) -> Answer:
    """One network after the other, each in its own process.

    Raises:
        Failed: One of them did not end well.
    """
    from fovea.models.backbone import BACKBONES
    from fovea.versions import versions

    chosen = [name for name in os.environ.get(_ONLY, "").split(",") if name] or BACKBONES.names()
    rows = []
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        for backbone in chosen:
            info = BACKBONES[backbone].info
            batch = _SMALL_BATCH if info.num_parameters > _LARGE or info.image_size_px >= _WIDE_PX else _BATCH
            words = [sys.executable, "-m", "benchmarks.harness.one_network", backbone, str(batch), str(options.repeats)]
            ended = measured(words, environment=our_environment(folder / "cache"), folder=folder)
            rows.append(json.loads(ended.output.splitlines()[-1]))
            options.say(f"{backbone}: {median(rows[-1]['forward']):.1f} images/s, {ended.seconds:.0f} s")
    for row in rows:
        row["share"] = {kind: _share(row, kind) for kind in ("forward", "both")}
    peaks = [value for row in rows for value in row["sgemm_gflops"]]
    return Answer(
        figures=[
            repeated("peak: product of two 2,048 x 2,048 matrices, single precision", peaks, "GFLOP/s", of="products"),
            repeated("share of the peak, forward", [row["share"]["forward"] for row in rows], "%", of="networks"),
            repeated("share of the peak, forward + backward", [row["share"]["both"] for row in rows], "%", of="networks"),
        ],
        notes=[
            "Fresh weights and a classifier of 1,000, channels-last, all cores; forward in eval mode without gradients, forward + backward in training "
            "mode with cross-entropy and without an optimizer step. Medians, with the least and the most; n is the number of passes of each "
            "(fewer than asked for where they take long). Each network has a process of its own; memory is that process's peak, with torch "
            "itself (about 250 MiB), first after forward passes alone, then after both.",
            "The share is 2 x multiply-adds x images/s over the peak that the same process measures; backward is counted as twice the forward. "
            "Multiply-adds are torch's own count. ONNX Runtime answers batches of 8 with all cores, from bytes to the embedding.",
            *_reasons(rows),
        ],
        versions=versions("torch", "onnxruntime"),
        grid=Grid(_HEADER, [_cells(row) for row in rows], rows),
    )


def _share(row: dict[str, Any], kind: str) -> float:
    times = {"forward": 2, "both": 6}[kind]
    return float(times * row["macs"] * median(row[kind]) / 1e9 / median(row["sgemm_gflops"]))


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["name"],
        str(row["image_size_px"]),
        str(row["batch"]),
        f"{row['num_parameters'] / 1e6:.2f}",
        f"{row['macs'] / 1e9:.2f}",
        _spread(row["forward"]),
        _spread(row["both"]),
        _spread(row["onnx"]) if row["onnx"] else "not exported",
        f"{row['forward_mib']:,.0f} / {row['both_mib']:,.0f}",
        f"{row['share']['forward'] * 100:.0f} % / {row['share']['both'] * 100:.0f} %",
        f"{len(row['forward'])} / {len(row['both'])}",
    )


def _spread(values: list[float]) -> str:
    digits = 0 if median(values) >= 100 else 1
    return f"{median(values):,.{digits}f} ({min(values):,.{digits}f} .. {max(values):,.{digits}f})"


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    """A sentence for each network that reaches less than half of what the middle one does, with what was measured of it."""
    middle = median(row["share"]["forward"] for row in rows)
    found = []
    for row in rows:
        if row["share"]["forward"] >= middle / 2:
            continue
        operators = ", ".join(f"{name} {part * 100:.0f} %" for name, part in row["operators"])
        elsewhere = 1 - sum(row["kinds"].values())
        why = [
            f"by operator a forward pass is {operators}",
            f"{elsewhere * 100:.0f} % of it is neither in convolutions nor in dense layers",
        ]
        if depthwise := row["kinds"].get("depthwise"):
            share = row["kinds_of_macs"]["depthwise"]
            moved = ": few multiplications for each number that is moved" if depthwise > 2 * share else ""
            why.append(
                f"depthwise convolutions have {share * 100:.0f} % of the multiply-adds and take {depthwise * 100:.0f} % of the time{moved}"
            )
        reached = (
            f"{row['name']} reaches {row['share']['forward'] * 100:.0f} % of the peak, where the middle network has {middle * 100:.0f} %"
        )
        found.append(f"{reached}: {'; '.join(why)}.")
    return found
