"""How much of a picture a cell of each map looks at: by the formula, and by gradients."""

import cv2
import numpy as np

from fovea.explain.drawing import colour, contact_sheet
from fovea.explain.receptive import Field as Measured
from fovea.explain.receptive import measure_fields
from fovea.explain.view import VIEWS, Asked, Seen, ViewInfo
from fovea.models.summary import Field, fields_of_maps
from fovea.types import Pixels

_LARGEST_PX = 512  # of the pictures of noise: the field of a deeper network reaches beyond, and is then said to
_BRIGHTEST = 0.995  # of the gradients have colours of their own; the few largest would leave the rest dark
_WHITE = (255, 255, 255)


@VIEWS.add(
    ViewInfo(
        shows="how much of a picture a cell of each map looks at",
        needs_pictures=False,
        source="Luo et al. 2016, arXiv:1701.04128; Araujo, Norris and Sim 2019, doi:10.23915/distill.00021",
    )
)
def receptive_field(asked: Asked) -> Seen:
    """For each stage the receptive field by the closed formula, the one that gradients reach, and the effective one that weighs.

    Measured on pictures of noise that are as large as the largest field, up to 512 px, with the network's own weights.
    """
    backbone = asked.backbone
    formula = fields_of_maps(backbone, size_px=asked.size_px)
    smallest, largest = backbone.sizes_px or (1, None)
    wanted = max(asked.size_px, *(field.size_px + 2 * max(field.stride, 1) for field in formula if field.stride), smallest)
    side = largest or min(_LARGEST_PX, -(-wanted // max(backbone.strides)) * max(backbone.strides))
    measured = measure_fields(backbone, side_px=side, num_pictures=1)
    rows, tiles, lines = [], [], []
    for stage, (expected, found) in enumerate(zip(formula, measured, strict=True)):
        field_px = expected.size_px if expected.stride else None
        said = "all of the picture" if field_px is None else f"{field_px} px"
        rows.append(
            {
                "stage": stage,
                "stride_px": found.stride,
                "formula_px": field_px,
                "seen_px": found.support_px,
                "whole": found.whole,
                "effective_px": round(found.effective_px, 1),
            }
        )
        tiles.append((f"stage {stage}: {said}, effective {found.effective_px:.0f}", _drawn(found, expected)))
        beyond = "" if found.whole else f" in a picture of {side} px, which it reaches beyond"
        lines.append(
            f"stage {stage} (stride {found.stride} px): receptive field {said} by the formula, {found.support_px} px seen{beyond}, "
            f"effective {found.effective_px:.0f} px"
        )
    title = f"what the middle cell of each map looks at in a picture of {side} px (white: its receptive field by the formula)"
    return Seen({"receptive_fields": contact_sheet(tiles, title=title)}, {"receptive_fields": rows, "side_px": side}, lines)


def _drawn(found: Measured, expected: Field) -> Pixels:
    """The size of the gradients, with the field of the formula around it."""
    strength = np.sqrt(found.mass)
    seen = strength[strength > 0]
    brightest = float(np.quantile(seen, _BRIGHTEST)) if len(seen) else 1.0
    drawn = colour(np.minimum(strength / brightest, 1).astype(np.float32), colours="inferno")
    if expected.stride:
        first, last = (end + found.cell * expected.stride for end in (expected.first, expected.last))
        cv2.rectangle(drawn, (first, first), (last, last), _WHITE, max(1, len(strength) // 200))
    return drawn
