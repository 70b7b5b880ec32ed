"""What an explanation costs beside an answer."""

import tempfile
import time
from pathlib import Path

from benchmarks.harness.figures import Answer, Limit, Options, repeated
from benchmarks.harness.places import PHOTOS, WEIGHTS, shared

ASKS = "What does Grad-CAM of 100 photos cost beside 100 forward passes, with MobileNetV2 at 224 px; and CAM from a bundle, without torch, beside a prediction?"
REPEATS = 7
NEEDS = (PHOTOS, WEIGHTS)
_PHOTOS = 100


def measure(options: Options) -> Answer:
    """Times both ways in turns, on the same prepared photos."""
    import numpy as np
    import torch

    import fovea
    from fovea.explain import explain_picture
    from fovea.explain.bundle_subject import BundleSubject
    from fovea.explain.opening import open_subject
    from fovea.versions import versions

    files = sorted((shared(PHOTOS) / "train").rglob("*.jpg"))[::20][:_PHOTOS]
    with tempfile.TemporaryDirectory(prefix="fovea-speed-") as folder:
        made = fovea.bundle("mobilenet_v2", weights=str(shared(WEIGHTS)), out=str(Path(folder) / "b"), keep_weights=True)
        network = open_subject(made, method="gradcam").subject
        pixels = [made.prepare(file.read_bytes(), path=str(file)) for file in files]
        module = network.module  # type: ignore[attr-defined]

        def forward() -> None:
            with torch.inference_mode():
                for each in pixels:
                    module(torch.from_numpy(each[None]))

        def gradcam() -> None:
            for each in pixels:
                explain_picture(network, each, method="gradcam")

        def predict() -> None:
            for each in pixels:
                made.task.decode(made.outputs(each[None]))

        def cam() -> None:
            subject = BundleSubject(made)
            for each in pixels:
                explain_picture(subject, each, method="cam")

        paths = [str(file) for file in files]
        ways = {
            "forward": forward, "gradcam": gradcam, "predict": predict, "cam": cam,
            "predict files": lambda: fovea.predict(made.path, paths), "cam files": lambda: fovea.explain(str(made.path), paths, method="cam"),
        }  # fmt: skip
        for way in ways.values():
            way()
        took: dict[str, list[float]] = {name: [] for name in ways}
        for turn in range(options.repeats):
            for name, way in ways.items():
                began = time.perf_counter()
                way()
                took[name].append(time.perf_counter() - began)
            options.say(f"{turn + 1} of {options.repeats}: " + ", ".join(f"{name} {times[-1]:.2f} s" for name, times in took.items()))

    def ratios(one: str, other: str) -> list[float]:
        return [a / b for a, b in zip(took[one], took[other], strict=True)]

    return Answer(
        figures=[
            repeated("Grad-CAM over a forward pass", ratios("gradcam", "forward"), "", limit=Limit(2.5), of="rounds"),
            repeated("CAM from the bundle over a prediction", ratios("cam", "predict"), "", limit=Limit(1.1), of="rounds"),
            repeated(
                "fovea explain --method cam over fovea predict, from files",
                ratios("cam files", "predict files"),
                "",
                limit=Limit(1.1),
                of="rounds",
            ),
            *(repeated(f"{name}, {_PHOTOS} photos", times, "s", of="rounds") for name, times in took.items()),
        ],
        notes=[
            "One picture at a time, decoded before (the last two figures: from files, decoded, in threads, the bundle opened anew). A forward pass and Grad-CAM in torch on all "
            f"cores ({torch.get_num_threads()}), gradients kept only behind the last maps; prediction and CAM by ONNX Runtime. Heat maps of 224 x 224, no files written.",
        ],
        versions=versions("torch", "onnxruntime", "numpy") | {"numpy": np.__version__},
    )
