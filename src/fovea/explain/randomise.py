"""A network that forgets from the top: the sanity check of an explanation (Adebayo et al. 2018, arXiv:1810.03292)."""

import copy
from collections.abc import Iterator

import torch
from torch import nn


def cascade(model: nn.Module, *, num_stages: int = 3, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Copies of a model whose layers hold random weights from the last one down: a share of them at each stage, at the end all.

    Each weight is drawn from a normal of its own tensor's mean and deviation, so that activations keep their scale; statistics of
    batch norm stay. The model itself, and torch's random state, are left as they were.

    Args:
        model: Any module; "last" is by the order in which its layers were made.
        num_stages: In how many steps.
        seed: Draws the weights.

    Yields:
        The name of the layer down to which all are random, and the copy; it is one and the same module, changed from step to step.
    """
    forgetful = copy.deepcopy(model)
    layers = [(name, part) for name, part in forgetful.named_modules() if any(True for _ in part.parameters(recurse=False))][::-1]
    generator = torch.Generator().manual_seed(seed)
    stages = max(1, min(num_stages, len(layers)))
    done = 0
    for stage in range(1, stages + 1):
        upto = round(stage * len(layers) / stages)
        for _, part in layers[done:upto]:
            _forget(part, generator)
        done = upto
        yield layers[done - 1][0], forgetful


@torch.no_grad()
def _forget(part: nn.Module, generator: torch.Generator) -> None:
    for weight in part.parameters(recurse=False):
        spread = float(weight.float().std(correction=0)) if weight.numel() > 1 else 0.0
        if weight.ndim == 1:  # a bias or a norm's scale: the order of its numbers is what was learned
            weight.copy_(weight[torch.randperm(len(weight), generator=generator)])
        else:
            drawn = torch.randn(weight.shape, generator=generator) * spread + float(weight.float().mean())
            weight.copy_(drawn.to(weight))
