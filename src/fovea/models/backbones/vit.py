"""Vision Transformers, tiny and small: a picture as 14 x 14 words (Dosovitskiy et al. 2020, arXiv:2010.11929; sizes: Touvron et al., arXiv:2012.12877).

Key names are timm's (`vit_tiny_patch16_224`, `vit_small_patch16_224`). The feature map is the last layer's tokens laid out as they lie in the picture.
"""

import torch
from torch import nn
from torch.nn import functional as F

from fovea.errors import InputError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo
from fovea.types import FeatureMaps

_DEPTH, _PATCH_PX, _SIDE_PX = 12, 16, 224
_EPS = 1e-6


class _Attention(nn.Module):
    """Every token looks at all (self-attention with several heads)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens, width = int(x.shape[1]), int(x.shape[2])
        q, k, v = self.qkv(x).reshape(-1, tokens, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(-1, tokens, width))  # type: ignore[no-any-return]


class _Layer(nn.Module):
    """Attention, then two dense layers, each behind a layer norm and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=_EPS)
        self.attn = _Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=_EPS)
        self.mlp = nn.Module()
        self.mlp.fc1 = nn.Linear(width, 4 * width)
        self.mlp.fc2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))  # type: ignore[operator, no-any-return]


class VisionTransformer(Backbone):
    classifier_name = "head"
    strides = (_PATCH_PX,)

    def __init__(self, num_classes: int, width: int, heads: int, size_px: int) -> None:
        super().__init__()
        if size_px % _PATCH_PX or size_px < _PATCH_PX:
            raise InputError(
                "a Vision Transformer reads a picture in squares of 16 px",
                got=f"size_px={size_px}", expected="a multiple of 16", fix=f"take {max(1, round(size_px / 16)) * 16}",
            )  # fmt: skip
        self.channels, self.num_features, self.sizes_px = (width,), width, (size_px, size_px)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, width, _PATCH_PX, _PATCH_PX)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size_px // _PATCH_PX) ** 2, width))
        self.blocks = nn.Sequential(*(_Layer(width, heads) for _ in range(_DEPTH)))
        self.norm = nn.LayerNorm(width, eps=_EPS)
        self.head = nn.Linear(width, num_classes) if num_classes else nn.Identity()
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        nn.init.normal_(self.cls_token, std=1e-6)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def tokens(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, 1 + (S / 16)^2, D): the class token, then one for each square."""
        self.check_size(x)
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)  # type: ignore[operator]
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))  # type: ignore[no-any-return]

    def forward_maps(self, x: torch.Tensor) -> FeatureMaps:
        """The tokens of the squares, laid out as these lie in the picture: (B, D, S / 16, S / 16)."""
        return FeatureMaps((self.lay_out(self.tokens(x)),), self.strides)

    def own_embedding(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 3, S, S) -> (B, D): the class token."""
        return self.tokens(x)[:, 0]

    def freeze_points(self) -> tuple[str, ...]:
        return ("patch_embed.proj", "cls_token", "pos_embed", *(f"blocks.{i}" for i in range(_DEPTH)), "norm")


def _info(width: int, num_parameters: int) -> BackboneInfo:
    return BackboneInfo(
        channels=(width,),
        strides=(_PATCH_PX,),
        num_parameters=num_parameters,
        image_size_px=_SIDE_PX,
        smallest_input_px=_SIDE_PX,
        source="arXiv:2010.11929, arXiv:2012.12877",
    )


@BACKBONES.add(_info(192, 5_717_416))
def vit_tiny(*, num_classes: int = 0, size_px: int = _SIDE_PX) -> VisionTransformer:
    """A tiny Vision Transformer (ViT-Ti/16): strong with weights from much data, weak from nothing on little.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        size_px: Side of the pictures, a multiple of 16; the weights are for 224.
    """
    return VisionTransformer(num_classes, 192, 3, size_px)


@BACKBONES.add(_info(384, 22_050_664))
def vit_small(*, num_classes: int = 0, size_px: int = _SIDE_PX) -> VisionTransformer:
    """A small Vision Transformer (ViT-S/16), twice as wide as the tiny one.

    Args:
        num_classes: Outputs of the classifier; 0 leaves it off.
        size_px: Side of the pictures, a multiple of 16; the weights are for 224.
    """
    return VisionTransformer(num_classes, 384, 6, size_px)
