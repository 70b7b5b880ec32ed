"""What of the training pictures travels with a bundle, that its card says so, and that it can be left out."""

from pathlib import Path

import numpy as np
import pytest
import torch

from fovea.bundle import load_bundle
from fovea.bundle.format import TrainingData
from fovea.bundle.neighbours import Neighbours
from fovea.engines.to_onnx import module_to_onnx
from fovea.evaluation.answers import Answering
from fovea.export.bundles import Trained, write_bundle
from fovea.models.backbone import create_backbone
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.tasks import create_task
from fovea.transforms.preprocessing import square

SIDE = 28


@pytest.mark.parametrize("private", [False, True])
def test_training_pictures_travel_unless_they_are_private(tmp_path: Path, private: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = create_backbone("convnet", variant="28")
        network = Network(PixelBackbone(backbone, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)), LinearHead(backbone.num_features, 2, 0.0)).eval()
    photos = np.random.default_rng(0).integers(0, 256, (8, SIDE, SIDE, 3), np.uint8)
    trained = Trained(
        network, module_to_onnx(network.body, size_px=SIDE), "convnet", Answering(), square(SIDE), create_task("classification", ("a", "b"))
    )
    near = Neighbours(np.eye(2, backbone.num_features, dtype=np.float32), ("anna/1.jpg", "ben/2.jpg"), ("a", "b"))
    path = write_bundle(
        tmp_path / "bundle", trained, pictures=photos, strategy="probe", training_data=TrainingData(num_files=8), neighbours=near, private=private
    )  # fmt: skip
    load_bundle(path)  # the golden answers hold
    with np.load(path / "golden.npz", allow_pickle=False) as golden:
        shipped = [any(np.array_equal(each, photo) for photo in photos) for each in golden["pixels"]]
    card = (path / "README.md").read_text()
    assert shipped == [not private] * 4
    assert (path / "neighbours.npz").exists() is not private
    assert ("golden.npz` holds 4 training pictures" in card) is not private
    assert ("The pictures in `golden.npz` are drawn" in card) is private
    assert not private or not any(b"anna" in file.read_bytes() for file in path.iterdir())
