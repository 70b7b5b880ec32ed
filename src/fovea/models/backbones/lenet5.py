"""LeNet-5: two convolutions and three dense layers for handwritten digits (LeCun et al. 1998, Proc. IEEE 86:2278, figure 2).

Where this deviates, as the texts do: the first convolution is padded, so that pictures of 28 px need not be framed to 32; relu in
place of scaled tanh; max pooling in place of trained averaging; the second convolution sees all maps of the first; softmax in
place of radial basis functions. Grey pictures: the channels are averaged first.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.types import FeatureMaps

_SIDE_PX = 28


class LeNet5(Backbone):
    classifier_name = "fc3"
    embedding_parts = ("fc1", "fc2")
    channels = (6, 16)
    strides = (2, 4)
    margins_px = (0, 8)
    num_features = 84
    sizes_px = (_SIDE_PX, _SIDE_PX)

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5, padding=2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes) if num_classes else nn.Identity()
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):  # Glorot's rule, as the texts' (Keras' default)
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        self.check_size(x)
        first = F.max_pool2d(F.relu(self.conv1(x.mean(1, keepdim=True))), 2)  # (B, 6, 14, 14)
        return FeatureMaps((first, F.max_pool2d(F.relu(self.conv2(first)), 2)), self.strides)  # (B, 16, 5, 5)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 16, 5, 5) -> (B, 84), through two dense layers."""
        return F.relu(self.fc2(F.relu(self.fc1(coarsest.flatten(1)))))


@BACKBONES.add(
    BackboneInfo(
        channels=LeNet5.channels,
        strides=LeNet5.strides,
        num_parameters=145_856,
        image_size_px=_SIDE_PX,
        smallest_input_px=_SIDE_PX,
        source="Proc. IEEE 86:2278 (1998)",
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
    )
)
def lenet5(*, num_classes: int = 0) -> LeNet5:
    """LeNet-5: the network that read cheques; for grey pictures of 28 px. 61,706 parameters with 10 classes.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
    """
    return LeNet5(num_classes)
