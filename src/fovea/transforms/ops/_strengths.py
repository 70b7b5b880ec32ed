"""The table that RandAugment and TrivialAugment choose from: every registered operation that states how it grows."""

from dataclasses import replace
from functools import cache

from fovea.transforms.op import OPS, FilledGeometry, Lots, Op, Strength
from fovea.transforms.steps import FillMode, SizePx, Step


@cache
def table() -> tuple[Strength | None, ...]:
    """All of them by name, after None, which leaves the picture as it is."""
    found = [strength for entry in OPS for strength in entry.info.strengths]
    return (None, *sorted(found, key=lambda strength: strength.name))


def at_strength(strength: Strength, share: float, strongest: float, lot: float) -> Op:
    """The operation at a share (0 to 1) of the way from its weakest to `strongest`; `lot` gives the sign where it has one."""
    value = strength.weakest + share * (strongest - strength.weakest)
    return strength.build(-value if strength.signed and lot < 0.5 else value)


def steps_of(op: Op, lots: Lots, size_px: SizePx, fill: FillMode, fill_value: int) -> tuple[Step, ...]:
    """The steps of an operation that takes a policy's fill."""
    if isinstance(op, FilledGeometry):
        op = replace(op, fill=fill, fill_value=fill_value)
    return op.steps(lots[: op.num_draws], size_px)
