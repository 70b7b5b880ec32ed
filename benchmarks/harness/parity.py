"""Parity: a peer makes a network, and writes its weights, pictures and answers; ours must load the file and answer alike."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Failed, measured, plain_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options, count
from benchmarks.harness.peers import PEERS

LIMIT_PPM = 100.0  # 1e-4 of the largest logit
_NUM_CLASSES = 1000


@dataclass(frozen=True)
class Case:
    """A network of a peer, and ours.

    Args:
        library: keras, torchvision or timm.
        theirs, ours: What each calls it.
        side_px: Of the pictures.
        options: That ours is made with, beside those that it declares for this library (`Backbone.origins`).
        their_options: That theirs is made with.
    """

    library: str
    theirs: str
    ours: str
    side_px: int = 224
    options: tuple[tuple[str, Any], ...] = ()
    their_options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class _Parity:
    case: Case
    difference_ppm: float
    apart: float  # how far the answers to the two pictures are apart, as a share of the largest logit
    num_parameters: tuple[int, int]  # theirs, ours
    num_logits: int


def compare(cases: Sequence[Case], python: str, options: Options) -> Answer:
    """Asks each case; one figure each, and one for the numbers of parameters.

    Raises:
        Failed: A peer did not run, or a file was refused.
    """
    found = []
    for case in cases:
        with tempfile.TemporaryDirectory(prefix="fovea-parity-") as name:
            found.append(_one(case, python, Path(name)))
        last = found[-1]
        theirs, ours = last.num_parameters
        options.say(f"{case.library} {case.theirs}: {last.difference_ppm:.3f} ppm, {theirs:,} parameters, ours {ours:,}")
    other = [parity.case for parity in found if parity.num_parameters[0] != parity.num_parameters[1]]
    return Answer(
        figures=[
            *(
                Figure(
                    f"{_told(parity.case)} = {parity.case.library}'s {parity.case.theirs}",
                    *[parity.difference_ppm] * 3,
                    parity.num_logits,
                    "logits",
                    "ppm",
                    Limit(LIMIT_PPM),
                )
                for parity in found
            ),
            Figure(
                "answers to the two pictures, apart",
                *[min(parity.apart for parity in found)] * 3,
                len(found),
                "networks",
                "%",
                Limit(0.01, "at least"),
            ),
            count("networks of another number of trainable parameters", len(other), len(found), limit=Limit(0), of="networks"),
        ],
        notes=[
            "A figure is the largest difference of a logit, in millionths of the largest logit, with 1,000 classes. The weights are random, their "
            "biases and statistics moved away from where they begin; two pictures of coarse and fine noise; both on the CPU in float32.",
            "How far the answers to the two pictures are apart is told of the network where they are nearest, as a share of its largest logit: "
            "answers that were alike for whatever comes in would prove nothing.",
            f"Other numbers of parameters: {', '.join(case.theirs for case in other)}." if other else "",
        ],
    )


def _told(case: Case) -> str:
    return case.ours + (f" ({', '.join(f'{name}={value}' for name, value in case.options)})" if case.options else "")


def _one(case: Case, python: str, folder: Path) -> _Parity:
    import numpy as np
    import torch

    from fovea.errors import FoveaError
    from fovea.models.backbone import count_parameters, create_backbone
    from fovea.models.weights import backbone_of, load_weights

    keras = case.library == "keras"
    script = [str(PEERS / "parity_keras.py")] if keras else [str(PEERS / "parity_torch.py"), case.library]
    words = [python, *script, case.theirs, str(case.side_px), str(folder), json.dumps(dict(case.their_options))]
    ended = measured(words, environment=plain_environment(), folder=folder)
    said = json.loads(ended.output.splitlines()[-1])
    suffix = {"keras": ".weights.h5", "torchvision": ".pth", "timm": ".safetensors"}[case.library]
    file = folder / f"{case.theirs}{suffix}"
    origins = create_backbone(case.ours).origins
    declared = next((dict(origin.options) for origin in origins if origin.library == case.library), {})
    network = create_backbone(case.ours, num_classes=_NUM_CLASSES, **(declared | dict(case.options))).eval()
    try:
        report = load_weights(network, file)
    except FoveaError as error:
        raise Failed(f"{case.ours} does not take the weights of {case.library}'s {case.theirs}:\n{error}") from error
    if new := [name for name in report.new if not name.endswith("num_batches_tracked")]:
        raise Failed(f"{case.theirs} left parts of {case.ours} as they were: {', '.join(new)}")
    if not case.options and backbone_of(file) != case.ours:  # other options may give other shapes
        raise Failed(f"the file of {case.theirs} is taken for {backbone_of(file)}, not for {case.ours}")
    with np.load(folder / f"{case.theirs}.npz") as saved:
        pixels, theirs = saved["pixels"], saved["logits"]
    with torch.inference_mode():
        ours = network(torch.from_numpy(pixels)).numpy()
    difference = float(np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max())
    return _Parity(case, difference * 1e6, said["apart"], (said["num_parameters"], count_parameters(network)), theirs.size)
