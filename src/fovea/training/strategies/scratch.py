"""Scratch: a network learns everything from these pictures alone."""

from fovea.training.end_to_end import EndToEnd
from fovea.training.method import Method
from fovea.training.settings import OF_EPOCHS
from fovea.training.strategy import STRATEGIES, Plan, StrategyInfo


class Scratch(EndToEnd):
    default = Method(epochs=50, lr=1e-3)  # as the texts; early stopping mostly ends it sooner


@STRATEGIES.add(
    StrategyInfo(
        purpose="pictures unlike any that weights exist for, and many of them",
        needs_weights=False,
        options=(*OF_EPOCHS, "augment", "device", "tensorboard"),
    )
)
def scratch(plan: Plan) -> Scratch:
    """A fresh network, trained end to end."""
    return Scratch(plan)
