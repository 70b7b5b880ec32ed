"""One dense layer: logistic regression, when the backbone is frozen."""

import torch
from torch import nn

from fovea.models.heads.head import HEADS, Head, HeadInfo
from fovea.types import Floats


class LinearHead(Head):
    def __init__(self, num_features: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.dense = nn.Linear(num_features, num_classes)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        return self.dense(self.dropout(embedding))  # type: ignore[no-any-return]

    def dense_layers(self) -> list[nn.Linear]:
        return [self.dense]

    @classmethod
    def from_arrays(cls, weight: Floats, bias: Floats, *, dropout: float | None = None) -> "LinearHead":
        """A head with these weights, (K, D) and (K,)."""
        head = cls(weight.shape[1], weight.shape[0], dropout or 0.0)
        with torch.no_grad():
            head.dense.weight.copy_(torch.from_numpy(weight))
            head.dense.bias.copy_(torch.from_numpy(bias))
        return head


@HEADS.add(HeadInfo(source="logistic regression", purpose="few pictures, or a strong backbone"))
def linear(num_features: int, num_classes: int, *, dropout: float | None = None) -> LinearHead:
    """One dense layer."""
    return LinearHead(num_features, num_classes, 0.0 if dropout is None else dropout)
