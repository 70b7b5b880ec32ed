"""Vision Transformer, small: a picture as 14 x 14 words (Dosovitskiy et al. 2020, arXiv:2010.11929; this size: Touvron et al., arXiv:2012.12877).

Key names are timm's (`vit_small_patch16_224`). The feature map is the last layer's tokens laid out as they lie in the picture.
"""

from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from fovea.errors import InputError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.types import FeatureMaps

_WIDTH, _DEPTH, _HEADS, _PATCH_PX, _SIDE_PX = 384, 12, 6, 16, 224
_EPS = 1e-6


class _Attention(nn.Module):
    """Every token looks at all (self-attention with several heads)."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(_WIDTH, 3 * _WIDTH)
        self.proj = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = int(x.shape[1])
        q, k, v = self.qkv(x).reshape(-1, tokens, 3, _HEADS, _WIDTH // _HEADS).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, tokens, _WIDTH))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """Attention, then two dense layers, each behind a layer norm and added to its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(_WIDTH, eps=_EPS)
        self.attn = _Attention()
        self.norm2 = nn.LayerNorm(_WIDTH, eps=_EPS)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(_WIDTH, 4 * _WIDTH)
        self.mlp.fc2 = nn.Linear(4 * _WIDTH, _WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))  # type: ignore[operator, no-any-return]


class VisionTransformer(Backbone):
    classifier_name = "head"
    channels = (_WIDTH,)
    strides = (_PATCH_PX,)
    num_features = _WIDTH

    def __init__(self, num_classes: int, size_px: int, pooling: Literal["token", "mean"]) -> None:
        super().__init__()
        if size_px % _PATCH_PX or size_px < _PATCH_PX:
            raise InputError(
                "vit_small reads a picture in squares of 16 px",
                got=f"size_px={size_px}", expected="a multiple of 16", fix=f"take {max(1, round(size_px / 16)) * 16}",
            )  # fmt: skip
        self.pooling, self.sizes_px = pooling, (size_px, size_px)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, _WIDTH, _PATCH_PX, _PATCH_PX)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, _WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size_px // _PATCH_PX) ** 2, _WIDTH))
        self.blocks = nn.Sequential(*(_Layer() for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(_WIDTH, eps=_EPS)
        self.head = nn.Linear(_WIDTH, num_classes) if num_classes else nn.Identity()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, 1 + (S / 16)^2, 384): the class token, then one for each square."""
        side = self.sizes_px[0] if self.sizes_px else 0
        if tuple(x.shape[2:]) != (side, side):
            raise InputError(
                "the pictures are of a size that this vit_small cannot take",
                got=f"{x.shape[2]} x {x.shape[3]} px",
                expected=f"{side} x {side} px",
                fix=f"choose --image-size {side}",
            )
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)  # type: ignore[operator]
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))  # type: ignore[no-any-return]

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        return FeatureMaps((self._laid_out(self.tokens(x)),), self.strides)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, 384): the class token, or the mean of the others."""
        tokens = self.tokens(x)
        return tokens[:, 0] if self.pooling == "token" else tokens[:, 1:].mean(1)

    def freeze_points(self) -> tuple[str, ...]:
        return ("patch_embed.proj", "cls_token", "pos_embed", *(f"blocks.{i}" for i in range(_DEPTH)), "norm")

    def _laid_out(self, tokens: torch.Tensor) -> torch.Tensor:
        side = (int(tokens.shape[1]) - 1) ** 0.5
        return tokens[:, 1:].transpose(1, 2).reshape(-1, _WIDTH, int(side), int(side))


@BACKBONES.add(
    BackboneInfo(
        channels=(_WIDTH,),
        strides=(_PATCH_PX,),
        num_parameters=22_050_664,
        image_size_px=_SIDE_PX,
        smallest_input_px=_SIDE_PX,
        source="arXiv:2010.11929, arXiv:2012.12877",
    )
)
def vit_small(*, num_classes: int = 0, size_px: int = _SIDE_PX, pooling: Literal["token", "mean"] = "token") -> VisionTransformer:
    """A small Vision Transformer (ViT-S/16): strong with weights from much data, weak from nothing on little.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        size_px: Side of the pictures, a multiple of 16; the weights are for 224.
        pooling: "token", the class token as in the paper, or the "mean" of the others.
    """
    return VisionTransformer(num_classes, size_px, pooling)
