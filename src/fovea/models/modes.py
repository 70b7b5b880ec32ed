"""A network is looked at in evaluation mode, and is then left in the modes in which it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

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
