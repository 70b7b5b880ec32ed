"""Several operations at one strength."""

from dataclasses import dataclass

from fovea.transforms.limits import limited, one_of
from fovea.transforms.op import OPS, Lots, Op, OpInfo, generator, pick_whole
from fovea.transforms.ops._strengths import at_strength, steps_of, table
from fovea.transforms.steps import FillMode, SizePx, Step, Warp


@OPS.add(OpInfo("policy", source="arXiv:1909.13719"), name="rand_augment")
@dataclass(frozen=True, kw_only=True)
class RandAugment(Op):
    """Applies a few operations of all that state a strength, chosen anew for each picture, all at the same strength.

    Args:
        num_ops: How many, one after the other; one may be chosen twice.
        strength: 0 (nothing) to 1 (the paper's M of 10); the paper takes 0.9 for a ResNet-50 on ImageNet.
        fill, fill_value: What geometric operations show outside the picture; the paper's code has a middle grey.
    """

    num_draws = 1

    num_ops: int = limited(2, low=1, high=20, whole=True)
    strength: float = limited(0.9, low=0, high=1)
    fill: FillMode = one_of("constant", "reflect", "nearest", "constant", "wrap")
    fill_value: int = limited(128, low=0, high=255, whole=True)

    def steps(self, lots: Lots, size_px: SizePx) -> tuple[Step, ...]:
        choices, found = table(), list[Step]()
        for choice, sign, *rest in generator(lots[0]).random((self.num_ops, 16)).tolist():
            strength = choices[pick_whole(0, len(choices) - 1, choice)]
            if strength is not None:
                op = at_strength(strength, self.strength, strength.rand, sign)
                found += steps_of(op, rest, size_px, self.fill, self.fill_value)
                size_px = next((step.size_px for step in reversed(found) if isinstance(step, Warp)), size_px)
        return tuple(found)
