"""A network is looked at in evaluation mode, and torch and it are then left as they were found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def modes_kept(module: nn.Module) -> Iterator[None]:
    """Puts back the mode of every part at the end of the block: parts may be in different ones, as where batch norm is frozen."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Every part in evaluation mode within the block, and as it was found after it."""
    with modes_kept(module):
        module.eval()
        yield


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch in one thread within the block: of a few pictures more threads gain little, and on a busy machine they wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
