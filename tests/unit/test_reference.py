"""What torch says of the pictures that a bundle is checked by: answers and maps of one pass, and the network left as it was."""

import numpy as np
import pytest
import torch

from fovea.evaluation.answers import Answering
from fovea.export.bundles import Trained
from fovea.models.backbone import create_backbone
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.tasks import create_task
from fovea.transforms.preprocessing import square

SIDE = 32


@pytest.mark.parametrize(("pooling", "given"), [(None, True), ("avg", True), ("max", False)])
def test_maps_come_with_the_answers_where_their_means_are_the_embedding(pooling: str | None, given: bool) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = create_backbone("mobilenet_v2", width=0.25, pooling=pooling)
        network = Network(PixelBackbone(backbone, (0.5,) * 3, (0.5,) * 3), LinearHead(backbone.num_features, 2, 0.0)).train()
    pixels = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE, 3), np.uint8)
    trained = Trained(network, b"", "mobilenet_v2", Answering(), square(SIDE), create_task("classification", ("a", "b")))
    threads = torch.get_num_threads()
    found, maps = trained.reference(pixels)
    assert torch.get_num_threads() == threads
    assert network.training
    assert "forward_maps" not in vars(backbone)
    assert (maps is not None) is given
    network.eval()
    with torch.inference_mode():
        body = network.body.scaled(torch.from_numpy(pixels))
        assert found["embedding"] == pytest.approx(backbone.embed(body).numpy(), abs=1e-5)
        if maps is not None:
            assert maps == pytest.approx(backbone.forward_maps(body)[-1].numpy(), abs=1e-5)
