"""What every head is: dense layers with ReLU between them, so that it can be written into any format."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import nn

from fovea.registry import Registry
from fovea.types import Floats


@dataclass(frozen=True)
class HeadInfo:
    """What a head states of itself."""

    source: str
    purpose: str


class Head(nn.Module, ABC):
    """float32 (B, D) -> logits (B, K). A subclass is final."""

    @abstractmethod
    def dense_layers(self) -> list[nn.Linear]:
        """Its dense layers in order; between two of them stands a ReLU, and dropout does nothing once trained."""

    def arrays(self) -> list[tuple[Floats, Floats]]:
        """(weight (out, in), bias (out,)) of each dense layer, as arrays of their own."""
        return [(layer.weight.detach().float().numpy().copy(), layer.bias.detach().float().numpy().copy()) for layer in self.dense_layers()]


HEADS: Registry[HeadInfo] = Registry("head", "fovea.models.heads")


def create_head(name: str, *, num_features: int, num_classes: int, dropout: float | None = None) -> Head:
    """A head by name, with fresh random weights. `dropout=None` takes the head's own default."""
    head = HEADS[name].build(num_features, num_classes, dropout=dropout)
    if not isinstance(head, Head):
        raise TypeError(f"the head {name!r} builds a {type(head).__name__}, not a Head")
    return head
