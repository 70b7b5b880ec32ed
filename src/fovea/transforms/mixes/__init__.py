"""One file a mix; each is registered where it stands, and no list names them."""

from fovea.transforms.mix import MIXES, Mix, MixInfo

__all__ = ["MIXES", "Mix", "MixInfo"]
