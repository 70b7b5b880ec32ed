"""Embeddings brought to mean 0 and deviation 1 while a head learns, and the scaling folded into the head afterwards."""

import numpy as np
import torch
from torch import nn

from fovea.types import Floats

_ROUNDING = 1e-5  # of the mean: a hundred times what float32 rounds


class Standardised:
    """The scaling of the training rows, (N, D). A feature that never changes is left as it is."""

    def __init__(self, train: Floats) -> None:
        self.mean = train.mean(axis=0)
        deviation = train.std(axis=0)
        # what is constant but for rounding would be blown up to noise, and another engine rounds otherwise
        self.deviation = np.where(deviation <= _ROUNDING * np.abs(self.mean), 1, deviation).astype(train.dtype)

    def apply(self, inputs: Floats) -> Floats:
        """(N, D) -> (N, D), a new array."""
        return (inputs - self.mean) / self.deviation  # type: ignore[no-any-return]

    def restore(self, values: Floats) -> Floats:
        """(N, D) at mean 0 and deviation 1 -> as they were, a new array."""
        return values * self.deviation + self.mean  # type: ignore[no-any-return]

    def restore_from(self, layer: nn.Linear) -> None:
        """A dense layer whose outputs are scaled by this gives them, in place, as they are."""
        with torch.no_grad():
            scale = torch.from_numpy(self.deviation).to(layer.weight)
            layer.weight.mul_(scale[:, None])
            layer.bias.mul_(scale).add_(torch.from_numpy(self.mean).to(layer.bias))

    def fold(self, weight: Floats, bias: Floats) -> tuple[Floats, Floats]:
        """Weights that were learned on scaled features -> weights that take the features as they are."""
        weight = weight / self.deviation
        return weight, bias - weight @ self.mean

    def fold_into(self, layer: nn.Linear) -> None:
        """The same for a dense layer, in place."""
        weight, bias = self.fold(layer.weight.detach().numpy(), layer.bias.detach().numpy())
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight))
            layer.bias.copy_(torch.from_numpy(bias))
