"""The texts' head for feature extraction: dense 256 with ReLU, dropout 0.25, dense."""

import torch
from torch import nn

from fovea.models.heads.head import HEADS, Head, HeadInfo


class MlpHead(Head):
    def __init__(self, num_features: int, num_classes: int, width: int, dropout: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(num_features, width)
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(width, num_classes)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.dense(self.dropout(torch.relu(self.hidden(embedding))))  # type: ignore[no-any-return]

    def dense_layers(self) -> list[nn.Linear]:
        return [self.hidden, self.dense]


@HEADS.add(HeadInfo(source="the texts' fast feature extraction", purpose="classes that no straight line separates, with pictures enough"))
def mlp(num_features: int, num_classes: int, *, dropout: float | None = None) -> MlpHead:
    """Dense 256 ReLU, dropout 0.25, dense."""
    return MlpHead(num_features, num_classes, 256, 0.25 if dropout is None else dropout)
