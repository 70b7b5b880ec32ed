"""What every explanation method states of itself, and the registry of them."""

from dataclasses import dataclass
from typing import Literal

from fovea.explain.subject import Need, Subject
from fovea.registry import Entry, Registry


@dataclass(frozen=True)
class MethodInfo:
    """What a method states of itself.

    A method is a function `(subject, pixels, target, *, seed=0) -> evidence`: of one picture (H, W, 3), float32 (h, w) at any
    resolution, larger where more speaks for `target`. `explain_picture` turns it into a heat map in [0, 1] of the picture's size.

    Args:
        purpose: What it shows, in words.
        source: The paper.
        needs: What it asks of the model beyond scores.
        tells: What is warm: what speaks "for" the target, what "matters" to it for or against, or what is "seen", whatever the target.
    """

    purpose: str
    source: str
    needs: tuple[Need, ...] = ()
    tells: Literal["for", "matters", "seen"] = "for"

    def title(self, target: str) -> str:
        """What stands above a drawing of its heat."""
        return {"for": f"what speaks for {target}", "matters": f"what matters to {target}", "seen": "what is looked at"}[self.tells]


def _of_captum(name: str) -> Entry[MethodInfo]:
    from fovea.explain.captum import captum_entry  # it needs this module

    return captum_entry(name)


METHODS: Registry[MethodInfo] = Registry("explanation method", "fovea.explain.methods", elsewhere=_of_captum)


def applicable(subject: Subject) -> list[str]:
    """The names of the methods that can be used on a model."""
    return [entry.name for entry in METHODS if subject.offers.issuperset(entry.info.needs)]
