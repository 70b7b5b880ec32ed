"""Networks that are not ours, to explain: a plain one with branches, and what somebody may do with its answer."""

import torch
from torch import nn
from torch.nn import functional as F


class Own(nn.Module):
    """A user's network: functions between modules, written in place, two branches, and a linear head on means."""

    def __init__(self, *, pooled: bool = True) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.c = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 6, 3, 1, 1), nn.Conv2d(6, 4, 1)
        self.act, self.head = nn.ReLU(inplace=True), nn.Linear(10, 3)
        self.pooled = pooled

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.a(x))
        maps = F.relu(torch.cat([self.b(x), self.c(x)], 1), inplace=True)
        return self.head(maps.mean(dim=(2, 3)) if self.pooled else maps.amax(dim=(2, 3)))


class Gives(nn.Module):
    """The network above, and what somebody's network may do with its answer."""

    def __init__(self, then):
        super().__init__()
        self.own, self.then = Own(), then

    def forward(self, x):
        return self.then(self.own(x))
