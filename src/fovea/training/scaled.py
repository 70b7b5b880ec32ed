"""Learning at a scale of its own: numbers at mean 0 and deviation 1, whatever their units, and the scale folded into the head."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from fovea.loading.stored import Inputs
from fovea.tasks import Task
from fovea.training.standardise import Standardised
from fovea.training.strategy import Learned, Strategy
from fovea.types import Ints, TargetArray


def scale_of(goal: Task, targets: TargetArray, train: Ints) -> Standardised | None:
    """The scale at which a task's targets are learned, of the training rows; None where they are learned as they are."""
    return Standardised(targets[train].astype(np.float32)) if goal.standardised else None


def learn(
    learner: Strategy,
    goal: Task,
    inputs: Inputs,
    targets: TargetArray,
    groups: Ints,
    *,
    train: Ints,
    validation: Ints,
    checkpoint: Path,
    key: str,
) -> Learned:
    """As `learner.learn`; logits and the network's head are in the units of the targets."""
    scale = scale_of(goal, targets, train)
    scaled = targets if scale is None else scale.apply(targets.astype(np.float32))
    learned = learner.learn(inputs, scaled, groups, train=train, validation=validation, checkpoint=checkpoint, key=key)
    if scale is None:
        return learned
    scale.restore_from(learner.plan.network.head.dense_layers()[-1])
    return replace(learned, logits=scale.restore(learned.logits))
