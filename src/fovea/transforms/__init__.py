"""Sample -> Sample: preprocessing (always the same) and, for training only, augmentation."""

from fovea.transforms.augmentation import Augmentation, check_targets
from fovea.transforms.mix import MIXES, Mix
from fovea.transforms.op import OPS, Op, OpInfo
from fovea.transforms.presets import PRESETS, create_augmentation, create_op

__all__ = [
    "MIXES",
    "OPS",
    "PRESETS",
    "Augmentation",
    "Mix",
    "Op",
    "OpInfo",
    "check_targets",
    "create_augmentation",
    "create_op",
]
