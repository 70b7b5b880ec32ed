"""A whole network: uint8 pictures in, logits out. Scaling is part of it, so that nobody can feed it wrongly."""

import torch
from torch import nn

from fovea.models.backbone import Backbone
from fovea.models.heads import Head


class PixelBackbone(nn.Module):
    """A backbone behind its own normalisation: uint8 (B, H, W, 3) RGB -> embedding (B, D).

    Args:
        backbone: Its classifier, if it has one, is not used.
        mean, std: Of pixels scaled to 0..1, as its weights were trained with.
        centred: Whether each picture's own mean, over all places and channels, is taken away after that.
    """

    def __init__(self, backbone: Backbone, mean: tuple[float, ...], std: tuple[float, ...], *, centred: bool = False) -> None:
        super().__init__()
        self.backbone, self.centred = backbone, centred
        self.register_buffer("shift", torch.tensor(mean, dtype=torch.float32).view(1, 3, 1, 1) * 255, persistent=False)
        self.register_buffer("scale", 1 / (torch.tensor(std, dtype=torch.float32).view(1, 3, 1, 1) * 255), persistent=False)

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, 3) -> float32 (B, 3, H, W) in channels-last memory (convolutions are 5 to 15 times faster so).

        float32 (B, H, W, 3) was normalised while it was loaded (`loading.scaling`), and only changes its shape.
        """
        if pixels.dtype == torch.float32:
            return pixels.permute(0, 3, 1, 2)
        x = pixels.permute(0, 3, 1, 2).float()
        return (x - self.shift) * self.scale  # type: ignore[operator]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.backbone.embed(self.scaled(pixels))

    def answers(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding (B, D), and the logits (B, K) of the backbone's own classifier."""
        return self.backbone.answers(self.scaled(pixels))

    def with_auxiliary(self, pixels: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """The embedding (B, D), and what auxiliary heads halfway answer."""
        return self.backbone.embed_auxiliary(self.scaled(pixels))

    def scaled(self, pixels: torch.Tensor) -> torch.Tensor:
        """uint8 (B, H, W, 3) -> float32 (B, 3, H, W): what the backbone reads, each picture's own mean taken away where that is asked."""
        x = self.normalise(pixels)
        return x - x.mean(dim=(1, 2, 3), keepdim=True) if self.centred else x


class Network(nn.Module):
    """A body and a head, pictures to logits: uint8 (B, H, W, 3) RGB -> (B, K). While it trains with auxiliary heads, theirs come too."""

    def __init__(self, body: PixelBackbone, head: Head) -> None:
        super().__init__()
        self.body, self.head = body, head

    def answers(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding (B, D) and the logits (B, K)."""
        embedding = self.body(pixels)
        return embedding, self.head(embedding)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, dict[str, torch.Tensor]]:
        if self.training:
            embedding, heads = self.body.with_auxiliary(pixels)
            return (self.head(embedding), heads) if heads else self.head(embedding)
        return self.answers(pixels)[1]


class Published(nn.Module):
    """A body that answers with its own classifier, as its weights were published: uint8 (B, H, W, 3) RGB -> embedding and logits."""

    def __init__(self, body: PixelBackbone) -> None:
        super().__init__()
        self.body = body

    def answers(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding (B, D) and the logits (B, K)."""
        return self.body.answers(pixels)

    def forward(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.answers(pixels)
