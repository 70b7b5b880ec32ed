"""AlexNet: five convolutions and three dense layers (Krizhevsky et al. 2012, NIPS 25; one column: Krizhevsky 2014, arXiv:1404.5997).

Where this deviates from 2012: one column of 64-192-384-256-256 channels and no response normalisation, as in the author's
later paper and all published weights (61.1 million parameters); `variant="2012"` has the widths 96-256-384-384-256, the
halves of its layers 2, 4 and 5 that do not see each other, and the response normalisation. Key names are torchvision's.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.types import FeatureMaps

Variant = Literal["2014", "2012"]

_WIDTHS: dict[Variant, tuple[int, ...]] = {"2014": (64, 192, 384, 256, 256), "2012": (96, 256, 384, 384, 256)}
_GROUPS: dict[Variant, tuple[int, ...]] = {"2014": (1, 1, 1, 1, 1), "2012": (1, 2, 1, 2, 2)}
_DENSE, _SIDE = 4096, 6  # the dense layers, and the side of the last map at 224 px


class AlexNet(Backbone):
    """Maps: the first, second and last convolution, and the last after its pooling."""

    classifier_name = "classifier.6"
    embedding_parts = ("classifier.1", "classifier.4")
    strides = (4, 8, 16, 32)
    margins_px = (3, 7, 15, 31)
    num_features = _DENSE
    sizes_px = (63, None)

    def __init__(self, num_classes: int, variant: Variant, dropout: float) -> None:
        super().__init__()
        widths, groups = _WIDTHS[variant], _GROUPS[variant]
        # Response normalisation (section 3.3): k = 2, n = 5, alpha = 1e-4, beta = 0.75; torch divides alpha by n
        self.normalise = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) if variant == "2012" else nn.Identity()
        ins = (3, *widths)
        kernels, strides, pads = (11, 5, 3, 3, 3), (4, 1, 1, 1, 1), (2, 2, 1, 1, 1)
        convs = [nn.Conv2d(ins[i], widths[i], kernels[i], strides[i], pads[i], groups=groups[i]) for i in range(5)]
        self.features = nn.Sequential(
            convs[0], nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            convs[1], nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
            convs[2], nn.ReLU(inplace=True), convs[3], nn.ReLU(inplace=True), convs[4], nn.ReLU(inplace=True), nn.MaxPool2d(3, 2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(widths[-1] * _SIDE * _SIDE, _DENSE), nn.ReLU(inplace=True),
            nn.Dropout(dropout), nn.Linear(_DENSE, _DENSE), nn.ReLU(inplace=True),
            nn.Linear(_DENSE, num_classes) if num_classes else nn.Identity(),
        )  # fmt: skip
        self.channels = (widths[0], widths[1], widths[4], widths[4])

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        first = self.normalise(self.features[:2](x))  # (B, 64, (H - 3) / 4, ...)
        second = self.normalise(self.features[3:5](self.features[2](first)))  # (B, 192, (H - 7) / 8, ...)
        last = self.features[6:12](self.features[5](second))  # (B, 256, (H - 15) / 16, ...)
        return FeatureMaps((first, second, last, self.features[12](last)), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) -> (B, 4096): brought to 6 x 6 cells, then two dense layers."""
        if tuple(coarsest.shape[2:]) != (_SIDE, _SIDE):
            coarsest = F.adaptive_avg_pool2d(coarsest, _SIDE)
        return self.classifier[:6](coarsest.flatten(1))  # type: ignore[no-any-return]


@BACKBONES.add(
    BackboneInfo(
        channels=(64, 192, 256, 256),
        strides=(4, 8, 16, 32),
        num_parameters=61_100_840,
        image_size_px=224,
        smallest_input_px=63,
        source="arXiv:1404.5997; NIPS 25 (2012)",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
)
def alexnet(*, num_classes: int = 0, variant: Variant = "2014", dropout: float = 0.5) -> AlexNet:
    """AlexNet: the network of 2012 that began it all; fast, and weak by today's measure.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        variant: "2014" is one column, as published weights are; "2012" has the first paper's halves and response normalisation.
        dropout: Share left out before each of the two dense layers in training.
    """
    return AlexNet(num_classes, variant, dropout)
