"""Our explanations against captum's: the same heat from the same weights."""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Failed, measured, plain_environment
from benchmarks.harness.figures import Answer, Figure, Limit, Options
from benchmarks.harness.peers import PEERS, peer_python, peer_versions

ASKS = (
    "Is our Grad-CAM captum's, within 1e-5, on ResNet-50, VGG-16, MobileNetV2 and Inception v3 with the same weights; and are our gradients, integrated "
    "gradients and guided backpropagation?"
)
REPEATS = 1
NEEDS = ()

LIMIT_PPM = 10.0  # 1e-5 of the largest value


@dataclass(frozen=True)
class _Case:
    """A network, and what torchvision calls the module whose output is ours' last map."""

    name: str
    layer: str
    side_px: int = 224


CASES = (
    _Case("resnet50", "layer4"),
    _Case("vgg16", "features.29"),
    _Case("mobilenet_v2", "features.18"),
    _Case("inception_v3", "Mixed_7c", 299),
)
PLAIN = ("gradients", "integrated_gradients", "guided_backprop")


def measure(options: Options) -> Answer:
    """Asks every network.

    Raises:
        Failed: The peer did not run, or ours does not take its weights.
    """
    from fovea.versions import versions

    python = peer_python("captum", chosen=options.peer_python, say=options.say)
    figures, layers = [], []
    for case in CASES:
        with tempfile.TemporaryDirectory(prefix="fovea-gradcam-") as name:
            found, layer = _one(case, python, Path(name))
        layers.append(f"{case.name}: {layer}")
        options.say(f"{case.name} ({layer}): " + ", ".join(f"{what} {ppm:.3f} ppm" for what, (ppm, _, _) in found.items()))
        figures += [
            Figure(f"{case.name}: {what}", ppm, ppm, ppm, n, "places", "ppm", Limit(LIMIT_PPM) if needed else None)
            for what, (ppm, n, needed) in found.items()
        ]
    return Answer(
        figures=figures,
        notes=[
            "A figure is the largest difference over two pictures, in millionths of the largest value. Ours finds the layer by itself; captum is told it. "
            f"The layers: {'; '.join(layers)}. Both in double precision (in single, rounding flips a ReLU here and there, and gradients jump by up to some thousand ppm). Random weights, batch norm with the statistics of the pictures; the most probable class of each.",
            "Captum's guided backpropagation hooks ReLUs that are modules, and writes no sum of a residual block's: it is compared on VGG-16, where all are. "
            "Integrated gradients on MobileNetV2, the quickest. Methods that go back through the whole network are told without a limit: rounding in many layers is amplified on the way.",
        ],
        versions=versions("torch") | peer_versions(python, ["torch", "torchvision", "captum"]),
    )


def _one(case: _Case, python: str, folder: Path) -> tuple[dict[str, tuple[float, int, bool]], str]:
    import numpy as np

    from fovea.explain import explain_picture
    from fovea.explain.network_subject import NetworkSubject
    from fovea.models.backbone import create_backbone
    from fovea.models.weights import load_weights

    words = [python, str(PEERS / "parity_gradcam.py"), case.name, str(case.side_px), case.layer, str(folder)]
    measured(words, environment=plain_environment(), folder=folder)
    origins = create_backbone(case.name).origins
    declared: dict[str, Any] = next((dict(origin.options) for origin in origins if origin.library == "torchvision"), {})
    network = create_backbone(case.name, num_classes=1000, **declared).eval()
    report = load_weights(network, folder / f"{case.name}.pth")
    if new := [name for name in report.new if not name.endswith("num_batches_tracked")]:
        raise Failed(f"torchvision's {case.name} left parts of ours as they were: {', '.join(new)}")
    with np.load(folder / f"{case.name}.npz") as saved:
        theirs = dict(saved)
    subject = NetworkSubject(network.double())
    pairs: dict[str, list[tuple[Any, Any]]] = {}
    for index, target in enumerate(theirs["targets"].tolist()):
        picture = np.ascontiguousarray(theirs["pixels"][index].transpose(1, 2, 0).astype(np.float32))
        ours = explain_picture(subject, picture, method="gradcam", target=target)
        largest = theirs["resized"][index].max()
        if not largest > 0:
            raise Failed(f"nothing speaks for class {target} of {case.name}: a heat of zeros would prove nothing")
        pairs.setdefault("Grad-CAM, raw", []).append((ours.evidence, theirs["raw"][index]))
        pairs.setdefault("Grad-CAM, heat", []).append((ours.heat, theirs["resized"][index] / largest))
        for method in PLAIN:
            if method in theirs:
                plain = explain_picture(subject, picture, method=method, target=target).evidence
                pairs.setdefault(method, []).append((plain, theirs[method][index]))
    return {
        what: (max(_apart(a, b) for a, b in both) * 1e6, sum(a.size for a, _ in both), what.startswith("Grad-CAM"))
        for what, both in pairs.items()
    }, subject.layer


def _apart(ours: Any, theirs: Any) -> float:
    import numpy as np

    return float(np.abs(ours.astype(np.float64) - theirs).max() / np.abs(theirs).max())
