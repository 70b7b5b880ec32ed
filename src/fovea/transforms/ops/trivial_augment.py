"""One operation at a random strength: nothing to tune."""

from dataclasses import dataclass

from fovea.transforms.limits import limited, one_of
from fovea.transforms.op import OPS, Lots, Op, OpInfo, generator, pick_whole
from fovea.transforms.ops._strengths import at_strength, steps_of, table
from fovea.transforms.steps import FillMode, SizePx, Step


@OPS.add(OpInfo("policy", source="arXiv:2103.10158"), name="trivial_augment")
@dataclass(frozen=True, kw_only=True)
class TrivialAugment(Op):
    """Applies one operation of all that state a strength, at a strength drawn anew: TrivialAugment with its wide table.

    Strengths are drawn from the whole range (the paper: from 31 steps of it).

    Args:
        fill, fill_value: What geometric operations show outside the picture; the paper's code has a middle grey.
    """

    num_draws = 1

    fill: FillMode = one_of("constant", "reflect", "nearest", "constant", "wrap")
    fill_value: int = limited(128, low=0, high=255, whole=True)

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        choices = table()
        choice, share, sign, *rest = generator(lots[0]).random(16).tolist()
        strength = choices[pick_whole(0, len(choices) - 1, choice)]
        if strength is None:
            return ()
        return steps_of(at_strength(strength, share, strength.trivial, sign), rest, size_px, self.fill, self.fill_value)
