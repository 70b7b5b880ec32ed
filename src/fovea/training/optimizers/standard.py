"""Torch's optimizers under the names of the texts."""

from typing import Any

from torch import optim

from fovea.training.optimizers import OPTIMIZERS, OptimizerInfo

_MOMENTUM = 0.9
Groups = list[dict[str, Any]]


@OPTIMIZERS.add(OptimizerInfo("Robbins and Monro 1951", lr=0.1))
def sgd(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Plain stochastic gradient descent."""
    return optim.SGD(groups, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("Polyak 1964", lr=0.01))
def momentum(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """SGD that keeps nine tenths of its last step."""
    return optim.SGD(groups, lr=lr, momentum=_MOMENTUM, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("Nesterov 1983; Sutskever et al. 2013", lr=0.01))
def nesterov(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Momentum whose gradient is taken where the step would lead."""
    return optim.SGD(groups, lr=lr, momentum=_MOMENTUM, nesterov=True, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("Duchi et al. 2011", lr=0.01))
def adagrad(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Steps shrink where gradients were large."""
    return optim.Adagrad(groups, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("arXiv:1212.5701", lr=1.0))
def adadelta(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Adagrad that forgets, with units that fit."""
    return optim.Adadelta(groups, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("Hinton 2012, lecture 6e", lr=1e-3))
def rmsprop(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Adagrad that forgets."""
    return optim.RMSprop(groups, lr=lr, alpha=0.9, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("arXiv:1412.6980", lr=1e-3))
def adam(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """RMSprop with momentum, both without their bias at the start."""
    return optim.Adam(groups, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("Dozat 2016", lr=1e-3))
def nadam(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Adam with Nesterov's momentum."""
    return optim.NAdam(groups, lr=lr, weight_decay=weight_decay)


@OPTIMIZERS.add(OptimizerInfo("arXiv:1711.05101", lr=1e-3))
def adamw(groups: Groups, *, lr: float, weight_decay: float) -> optim.Optimizer:
    """Adam with weight decay beside the gradient, and not in it."""
    return optim.AdamW(groups, lr=lr, weight_decay=weight_decay)
