"""Ask a bundle without Fovea: NumPy and ONNX Runtime run it, OpenCV decodes and resizes.

    python examples/ask_a_bundle_with_onnxruntime_only.py run/bundle new.jpg

Everything that is needed stands in bundle.json. This follows it for the bundles that `fovea train` writes. Fovea itself
decodes large JPEGs at a smaller scale, which is quicker and changes a probability by a little; small ones and PNGs give
the same answer here.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

TOLERANCE = 1e-4  # what the golden answers may differ by


def prepare(path: str, preprocessing: dict) -> np.ndarray:
    """A picture file -> uint8 (S, S, 3) RGB, as `preprocessing` in bundle.json says."""
    pixels = cv2.imread(path, cv2.IMREAD_COLOR)  # turns it the right way up, too
    if pixels is None:
        raise SystemExit(f"{path} cannot be decoded")
    resize = preprocessing["resize"]
    if resize["rule"] != "stretch" or preprocessing["crop"]:
        raise SystemExit(f"this example knows the rule 'stretch' without a crop, and the bundle wants {preprocessing}")
    side, (height, width) = resize["size_px"], pixels.shape[:2]
    if resize["antialias"] and max(height, width) > side:  # a side that shrinks is averaged, then one that grows interpolated
        pixels = cv2.resize(pixels, (min(side, width), min(side, height)), interpolation=cv2.INTER_AREA)
    pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_LINEAR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def main() -> None:
    if len(sys.argv) < 3 or sys.argv[1] in ("-h", "--help"):
        raise SystemExit(f"usage: python {sys.argv[0]} BUNDLE PICTURE...\nfor example: python {sys.argv[0]} run/bundle new.jpg")
    bundle, *pictures = sys.argv[1:]
    if not Path(bundle, "bundle.json").is_file():
        raise SystemExit(f"{bundle} is not the folder of a bundle: it holds no bundle.json")
    info = json.loads(Path(bundle, "bundle.json").read_text(encoding="utf-8"))
    session = onnxruntime.InferenceSession(Path(bundle, "model.onnx"), providers=["CPUExecutionProvider"])

    # The bundle brings pictures with their right answers: does it answer here as it did where it was made?
    with np.load(Path(bundle, "golden.npz")) as golden:
        (probabilities,) = session.run(["probabilities"], {"pixels": golden["pixels"]})
        difference = np.abs(probabilities - golden["probabilities"]).max()
    if not difference < TOLERANCE:
        raise SystemExit(f"the model answers differently here, by {difference:.2g}")

    for picture in pictures:
        pixels = prepare(picture, info["preprocessing"])[None]  # (1, S, S, 3)
        (probabilities,) = session.run(["probabilities"], {"pixels": pixels})
        best = int(probabilities[0].argmax())
        print(f"{picture}: {info['class_names'][best]} {probabilities[0, best]:.6f}")


if __name__ == "__main__":
    main()
