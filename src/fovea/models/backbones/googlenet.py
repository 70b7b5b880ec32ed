"""GoogLeNet, Inception v1: nine modules that look through windows of several sizes at once (Szegedy et al. 2014, arXiv:1409.4842).

Table 1 of the paper gives each module's widths. Key names are torchvision's, whose weights need `variant="torchvision"`: its third
branch has 3x3 where the paper has 5x5, and its last pooling 2x2 where the paper has 3x3.

Where this deviates: batch norm by default, as everybody trains it since (arXiv:1502.03167); `norm="response"` is the paper's.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.models.layers.conv import ConvReLU, initialise_convolutions
from fovea.models.origins import HALVES, Origin
from fovea.types import FeatureMaps

Norm = Literal["batch", "response", "none"]
Module = Literal["bottleneck", "naive"]
Variant = Literal["paper", "torchvision"]

# 1x1 | 1x1, 3x3 | 1x1, 5x5 | 1x1 after pooling
_MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
_AUXILIARY = {"4a": "aux1", "4d": "aux2"}  # the heads that stand after these modules
_HALVED_BEFORE = ("4a", "5a")


class Inception(nn.Module):
    """Four branches over the same map, concatenated: 1x1, 3x3, 5x5 (each of the latter behind a narrow 1x1), and pooling.

    With `naive` there are no narrow 1x1 convolutions, and pooling keeps its channels: figure 2a of the paper.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, tuple[int, int], tuple[int, int], int],
        *,
        large_kernel: int = 5,
        batch_norm: bool = True,
        naive: bool = False,
    ) -> None:
        super().__init__()
        one, (narrow, three), (narrower, five), pooled = widths

        def conv(ins: int, outs: int, kernel: int) -> ConvReLU:
            return ConvReLU(ins, outs, kernel, batch_norm=batch_norm)

        self.branch1 = conv(in_channels, one, 1)
        if naive:
            self.branch2: nn.Module = conv(in_channels, three, 3)
            self.branch3: nn.Module = conv(in_channels, five, large_kernel)
            self.branch4: nn.Module = nn.MaxPool2d(3, 1, 1)
            self.out_channels = one + three + five + in_channels
        else:
            self.branch2 = nn.Sequential(conv(in_channels, narrow, 1), conv(narrow, three, 3))
            self.branch3 = nn.Sequential(conv(in_channels, narrower, 1), conv(narrower, five, large_kernel))
            self.branch4 = nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(in_channels, pooled, 1))
            self.out_channels = one + three + five + pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class _Auxiliary(nn.Module):
    """A second classifier halfway, so that gradients reach the first layers: section 5 of the paper."""

    def __init__(self, in_channels: int, num_classes: int, *, batch_norm: bool) -> None:
        super().__init__()
        self.conv = ConvReLU(in_channels, 128, 1, batch_norm=batch_norm)
        self.fc1 = nn.Linear(128 * 16, 1024)
        self.dropout = nn.Dropout(0.7)
        self.fc2 = nn.Linear(1024, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.avg_pool2d(x, 5, 3) if min(x.shape[-2:]) >= 5 else x  # (B, C, 14, 14) -> (B, C, 4, 4)
        x = self.conv(x if x.shape[-2:] == (4, 4) else F.adaptive_avg_pool2d(x, 4))
        return self.fc2(self.dropout(F.relu(self.fc1(x.flatten(1)))))  # type: ignore[no-any-return]


class GoogLeNet(Backbone):
    classifier_name = "fc"
    auxiliary_parts = ("aux1", "aux2")
    strides = (2, 4, 8, 16, 32)
    # with its own weights, torchvision's network turns ImageNet's scaling into that by halves, before its first layer
    origins = (Origin("torchvision", options={"variant": "torchvision"}, scaling=HALVES, auxiliary=("aux1.", "aux2.")),)

    def __init__(self, num_classes: int, *, norm: Norm, module: Module, variant: Variant, auxiliary: bool, dropout: float) -> None:
        super().__init__()
        large_kernel, self.last_pooling = (5, 3) if variant == "paper" else (3, 2)
        # the first convolution rounds up, poolings of 3x3 after it down, one of 2x2 up
        self.margins_px = (-1, -1, -1, -1, -1 if variant == "paper" else -17)
        batch_norm = norm == "batch"
        # arXiv:1409.4842 leaves the response normalisation to AlexNet's figures; torch divides alpha by the 5 channels
        self.normalise = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0) if norm == "response" else nn.Identity()
        self.conv1 = ConvReLU(3, 64, 7, stride=2, batch_norm=batch_norm)
        self.conv2 = ConvReLU(64, 64, 1, batch_norm=batch_norm)
        self.conv3 = ConvReLU(64, 192, 3, batch_norm=batch_norm)
        channels = 192
        for name, widths in _MODULES.items():
            module_ = Inception(channels, widths, large_kernel=large_kernel, batch_norm=batch_norm, naive=module == "naive")
            self.add_module(f"inception{name}", module_)
            channels = module_.out_channels
            if auxiliary and num_classes and name in _AUXILIARY:
                self.add_module(_AUXILIARY[name], _Auxiliary(channels, num_classes, batch_norm=batch_norm))
        self.num_features = channels
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(channels, num_classes) if num_classes else nn.Identity()
        self.channels = (64, 192, *(self._module(name).out_channels for name in ("3b", "4e", "5b")))
        initialise_convolutions(self)

    def _module(self, name: str) -> Inception:
        return self.get_submodule(f"inception{name}")  # type: ignore[return-value]

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        return self._flow(x, {})

    def pool(self, coarsest: torch.Tensor) -> torch.Tensor:
        """(B, 1024, h, w) -> (B, 1024): the mean over places."""
        return self.dropout(coarsest.mean(dim=(2, 3)))  # type: ignore[no-any-return]

    def forward_auxiliary(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """(B, 3, H, W) -> logits (B, K), and those of the auxiliary heads by name; the paper weighs their losses by 0.3."""
        embedding, heads = self.embed_auxiliary(x)
        return self.fc(embedding), heads

    def embed_auxiliary(self, x: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """(B, 3, H, W) -> embedding (B, D), and the logits of the auxiliary heads by name."""
        self.check_size(x)
        taps: dict[str, torch.Tensor] = {head: x for head in _AUXILIARY.values() if hasattr(self, head)}
        maps = self._flow(x, taps)
        return self.pool(maps[-1]), {head: self.get_submodule(head)(tapped) for head, tapped in taps.items()}

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:  # type: ignore[override]
        """Logits (B, K); while it trains with auxiliary heads, theirs too, as `training.loop.fit` takes them."""
        return self.forward_auxiliary(x) if self.training and hasattr(self, "aux1") else super().forward(x)

    def _flow(self, x: torch.Tensor, taps: dict[str, torch.Tensor]) -> FeatureMaps:
        """The maps; what each auxiliary head in `taps` reads is put there."""
        first = self.conv1(x)  # (B, 64, H/2, W/2)
        x = self.normalise(F.max_pool2d(first, 3, 2, ceil_mode=True))
        second = self.normalise(self.conv3(self.conv2(x)))  # (B, 192, H/4, W/4)
        maps = [first, second]
        x = F.max_pool2d(second, 3, 2, ceil_mode=True)
        for name in _MODULES:
            if name in _HALVED_BEFORE:
                maps.append(x)  # (B, 480, H/8, ...), (B, 832, H/16, ...)
                x = F.max_pool2d(x, self.last_pooling if name == "5a" else 3, 2, ceil_mode=True)
            x = self._module(name)(x)
            if (head := _AUXILIARY.get(name)) in taps:
                taps[head] = x
        return FeatureMaps((*maps, x), self.strides)


@BACKBONES.add(
    BackboneInfo(
        channels=(64, 192, 480, 832, 1024),
        strides=(2, 4, 8, 16, 32),
        num_parameters=7_005_832,
        image_size_px=224,
        smallest_input_px=32,
        source="arXiv:1409.4842",
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )
)
def googlenet(
    *,
    num_classes: int = 0,
    norm: Norm = "batch",
    module: Module = "bottleneck",
    variant: Variant = "paper",
    auxiliary: bool = False,
    dropout: float = 0.4,
) -> GoogLeNet:
    """GoogLeNet (Inception v1): 22 layers deep, and twelve times smaller than AlexNet.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        norm: "batch", or the paper's "response", or "none".
        module: "bottleneck" as in the network, or the paper's "naive" one, to compare.
        variant: "paper", or "torchvision" for its weights.
        auxiliary: Two more classifiers halfway, for training from nothing (`forward_auxiliary`).
        dropout: Share of the embedding left out in training.
    """
    return GoogLeNet(num_classes, norm=norm, module=module, variant=variant, auxiliary=auxiliary, dropout=dropout)
