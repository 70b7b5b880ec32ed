"""The small networks of the standard texts: plain unpadded 3x3 convolutions with relu, halved by max pooling.

Three of them, as variants; each is small enough to learn from nothing on a laptop:

    "180"       32-64-128-256-512, colour, 180 px: cats and dogs from scratch. 1,569,089 parameters with 1 output.
    "28"        64-128-256, grey, 28 px: handwritten digits. 372,234 parameters with 10 classes.
    "transfer"  32-32, pooling, flatten, dense 128, grey, 28 px only: the digits 0-4, then 5-9. 600,165 parameters with
                5 classes, of which 9,568 in the convolutions.

Grey variants take (B, 3, H, W) like every backbone, and average the channels first.
"""

from typing import Literal, get_args

import torch
from torch import nn
from torch.nn import functional as F

from fovea.errors import InputError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.types import FeatureMaps

Variant = Literal["180", "28", "transfer"]

_WIDTHS: dict[str, tuple[int, ...]] = {"180": (32, 64, 128, 256, 512), "28": (64, 128, 256)}
_TRANSFER_SIDE_PX = 28
_TRANSFER_DENSE = 128


class ConvNet(Backbone):
    """Variants "180" and "28": convolution, relu, max 2, again and again; the last map is averaged over its places.

    Each map is a convolution's output before it is halved: strides 1, 2, 4, ...
    """

    classifier_name = "classifier"

    def __init__(self, num_classes: int, widths: tuple[int, ...], *, grey: bool, dropout: float) -> None:
        super().__init__()
        self.grey = grey
        ins = (1 if grey else 3, *widths[:-1])
        self.convs = nn.Sequential(*(nn.Conv2d(i, o, 3) for i, o in zip(ins, widths, strict=True)))
        self.dropout = nn.Dropout(dropout)
        self.num_features = widths[-1]
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        self.channels = widths
        self.strides = tuple(2**i for i in range(len(widths)))
        # A convolution takes 2 pixels of its own stride off a side, a pooling nothing: 2, 2 + 4, 2 + 4 + 8, ...
        self.margins_px = tuple(2 * (2 * s - 1) for s in self.strides)
        self.sizes_px = (self.margins_px[-1] + self.strides[-1], None)
        _initialise(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        self.check_size(x)
        x = x.mean(1, keepdim=True) if self.grey else x
        maps: list[torch.Tensor] = []
        for conv in self.convs:
            x = F.relu(conv(F.max_pool2d(x, 2) if maps else x))  # (B, widths[i], (H - margins_px[i]) / strides[i], ...)
            maps.append(x)
        return FeatureMaps(tuple(maps), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]


class TransferNet(Backbone):
    """Variant "transfer": two convolutions, one pooling, and a dense layer that sees every place, so one input size only."""

    classifier_name = "classifier"
    embedding_parts = ("dense",)
    channels = (32, 32)
    strides = (1, 2)
    margins_px = (2, 4)
    num_features = _TRANSFER_DENSE
    sizes_px = (_TRANSFER_SIDE_PX, _TRANSFER_SIDE_PX)

    def __init__(self, num_classes: int, *, dropout: float) -> None:
        super().__init__()
        self.convs = nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 32, 3))
        self.map_dropout = nn.Dropout(0.25)
        side = (_TRANSFER_SIDE_PX - self.margins_px[-1]) // self.strides[-1]
        self.dense = nn.Linear(self.channels[-1] * side * side, self.num_features)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(self.num_features, num_classes) if num_classes else nn.Identity()
        _initialise(self)

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        self.check_size(x)
        first = F.relu(self.convs[0](x.mean(1, keepdim=True)))  # (B, 32, 26, 26)
        second = F.max_pool2d(F.relu(self.convs[1](first)), 2)  # (B, 32, 12, 12)
        return FeatureMaps((first, second), self.strides)

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 32, 12, 12) -> (B, 128): every place through one dense layer."""
        return self.dropout(F.relu(self.dense(self.map_dropout(coarsest).flatten(1))))  # type: ignore[no-any-return]


def _initialise(module: nn.Module) -> None:
    """Glorot's uniform rule and zero biases, as the texts' (Keras' default)."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


@BACKBONES.add(
    BackboneInfo(
        channels=_WIDTHS["180"],
        strides=(1, 2, 4, 8, 16),
        num_parameters=2_081_576,
        image_size_px=180,
        smallest_input_px=78,
        source="Chollet, Deep Learning with Python, 2nd ed., listings 8.1 and 8.15; Keras example mnist_transfer_cnn",
        mean=(0.0, 0.0, 0.0),  # the texts only divide by 255
        std=(1.0, 1.0, 1.0),
    )
)
def convnet(*, num_classes: int = 0, variant: Variant = "180", dropout: float | None = None) -> ConvNet | TransferNet:
    """The texts' small networks, to learn from nothing: `variant` "180" (colour), "28" (grey) or "transfer" (grey, 28 px).

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        variant: Which of the networks described at the top of this file.
        dropout: Share of the embedding left out in training (not in eval mode); None is the text's own (0, and 0.5
            for "transfer", which leaves out 0.25 of its last map too).

    Raises:
        InputError: No such variant.
    """
    if variant == "transfer":
        return TransferNet(num_classes, dropout=0.5 if dropout is None else dropout)
    if variant not in _WIDTHS:
        raise InputError(
            "no such convnet",
            got=f"variant={variant!r}",
            expected=f"one of {', '.join(get_args(Variant))}",
            fix="choose one of these variants",
        )
    return ConvNet(num_classes, _WIDTHS[variant], grey=variant == "28", dropout=dropout or 0.0)
