"""SqueezeNet 1.0: AlexNet's accuracy from 50 times fewer parameters (Iandola et al. 2016, arXiv:1602.07360, table 1).

Fire modules squeeze the channels by 1x1 and expand them by 1x1 and 3x3 side by side. Key names are torchvision's.

The classifier is a 1x1 convolution with relu, averaged over places afterwards. The relu stands between, so that the logits are
no linear function of the mean of the last fire module: the logits follow the paper, and `embed` gives that mean.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, Passport
from fovea.types import FeatureMaps


class _Fire(nn.Module):
    def __init__(self, in_channels: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, narrow, 1)
        self.expand1x1 = nn.Conv2d(narrow, wide, 1)
        self.expand3x3 = nn.Conv2d(narrow, wide, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.squeeze(x))
        return torch.cat([F.relu(self.expand1x1(x)), F.relu(self.expand3x3(x))], 1)


class SqueezeNet(Backbone):
    """Maps: the first convolution, and the fire modules before each halving."""

    classifier_name = "classifier.1"
    channels = (96, 256, 512, 512)
    strides = (2, 4, 8, 16)
    margins_px = (5, 5, 5, 5)  # an unpadded first convolution, then halvings that round down
    num_features = 512
    sizes_px = (21, None)

    def __init__(self, num_classes: int, bgr: bool, dropout: float) -> None:
        super().__init__()
        self.bgr = bgr
        fires = {3: (96, 16, 64), 4: (128, 16, 64), 5: (128, 32, 128), 7: (256, 32, 128), 8: (256, 48, 192), 9: (384, 48, 192)}
        fires |= {10: (384, 64, 256), 12: (512, 64, 256)}
        others = {0: nn.Conv2d(3, 96, 7, 2), 1: nn.ReLU(inplace=True)} | {i: nn.MaxPool2d(3, 2, ceil_mode=True) for i in (2, 6, 11)}
        self.features = nn.Sequential(*(_Fire(*fires[i]) if i in fires else others[i] for i in range(13)))
        last = nn.Conv2d(512, num_classes, 1) if num_classes else nn.Identity()
        self.classifier = nn.Sequential(nn.Dropout(dropout), last)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # He's rule, and the last one small, as the authors
                nn.init.kaiming_uniform_(layer.weight) if layer is not last else nn.init.normal_(layer.weight, 0, 0.01)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        x = self.features[:2](x.flip(1) if self.bgr else x)
        maps = [x]  # (B, 96, (H - 5) / 2, ...)
        for start, end in ((2, 6), (6, 11), (11, 13)):
            x = self.features[start:end](x)
            maps.append(x)  # (B, 256 or 512, (H - 5) / 4 ... (H - 5) / 16, ...)
        return FeatureMaps(tuple(maps), self.strides)

    def answers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(B, 3, H, W) -> embedding (B, 512), and logits (B, K): the classifier at every place, relu, the mean over places."""
        if not isinstance(self.classifier[1], nn.Conv2d):  # another head, or none, reads the embedding
            return super().answers(x)
        self.check_size(x)
        last = self.forward_maps(x)[-1]
        return self.pool(last), F.relu(self.classifier(last)).mean(dim=(2, 3))


# Preprocessing as the authors' Caffe model: blue first, levels minus (104, 117, 123).
_COMPRESSED = Passport(
    name="imagenet (Deep Compression, decoded)",
    sha256="89b8ce50dfcad35d5d1df161c59b9b84b77d44fd8da5bd3d8511965752384ec8",
    licence="BSD-2-Clause",
    trained_on="ImageNet-1k (1,281,167 photos, 1,000 classes)",
    image_size_px=227,
    score="62.5 % top-1 on one photo of each ImageNet class (n = 1,000), as the file's own metadata say",
    classes="imagenet_1k",
    options={"bgr": True},
    mean=(123 / 255, 117 / 255, 104 / 255),
    std=(1 / 255, 1 / 255, 1 / 255),
    golden=(
        39.1054,
        -5.10044,
        -29.6558,
        7.77086,
        4.90578,
        -3.21277,
        -23.42214,
        -3.75333,
        -8.53984,
        -2.67404,
        1.80021,
        1.36246,
        2.25478,
        -1.18553,
        0.91087,
        0.23471,
    ),
)


@BACKBONES.add(
    BackboneInfo(
        channels=SqueezeNet.channels,
        strides=SqueezeNet.strides,
        num_parameters=1_248_424,
        image_size_px=227,
        smallest_input_px=21,
        source="arXiv:1602.07360",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        passports=(_COMPRESSED,),
    )
)
def squeezenet1_0(*, num_classes: int = 0, bgr: bool = False, dropout: float = 0.5) -> SqueezeNet:
    """SqueezeNet 1.0: tiny for its time, and quick to load.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        bgr: Blue comes first, for weights that were trained in Caffe.
        dropout: Share left out before the classifier in training.
    """
    return SqueezeNet(num_classes, bgr, dropout)
