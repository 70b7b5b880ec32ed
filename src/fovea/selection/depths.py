"""What a backbone sees at each of its depths, in one pass: early layers know edges and textures, late ones the things that it was taught."""

import torch
from torch import nn

from fovea.models.backbone import Backbone
from fovea.models.network import PixelBackbone
from fovea.types import Floats


class Depths(PixelBackbone):
    """A body that gives the means of all its feature maps and last the embedding, one after the other: uint8 (B, H, W, 3) -> (B, C0 + C1 + ... + D).

    Args:
        body: Shared, not copied.
    """

    def __init__(self, body: PixelBackbone) -> None:
        nn.Module.__init__(self)
        self.backbone, self.centred = body.backbone, body.centred
        self.register_buffer("shift", torch.as_tensor(body.shift), persistent=False)
        self.register_buffer("scale", torch.as_tensor(body.scale), persistent=False)
        self.stages = early_stages(body.backbone)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.scaled(pixels)
        if not self.stages:
            return self.backbone.embed(x)
        maps = self.backbone.forward_maps(x)
        return torch.cat([*(maps[stage].mean(dim=(2, 3)) for stage in self.stages), self.backbone.pool(maps[-1])], dim=1)

    def apart(self, vectors: Floats) -> dict[int | None, Floats]:
        """(N, C0 + C1 + ... + D) -> by stage (N, C); under None the embedding."""
        widths = [self.backbone.channels[stage] for stage in self.stages]
        starts = [sum(widths[:i]) for i in range(len(widths) + 1)]
        parts: dict[int | None, Floats] = {
            stage: vectors[:, at : at + width] for stage, at, width in zip(self.stages, starts, widths, strict=False)
        }
        return {None: vectors[:, starts[-1] :], **parts}


def early_stages(backbone: Backbone) -> tuple[int, ...]:
    """The maps before the last; none where the embedding is made otherwise than from the last map, so that one pass would not give both."""
    kind = type(backbone)
    if backbone.pooling is not None or kind.own_embedding is not Backbone.own_embedding or kind.embed is not Backbone.embed:
        return ()
    return tuple(range(len(backbone.channels) - 1))
