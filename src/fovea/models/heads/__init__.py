"""Embedding -> logits: one file a head; the registry finds them here."""

from fovea.models.heads.head import HEADS, Head, HeadInfo, create_head

__all__ = ["HEADS", "Head", "HeadInfo", "create_head"]
