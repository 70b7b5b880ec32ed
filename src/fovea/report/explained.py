"""What the model looks at: some pictures with their heat, and how far that can be believed."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from fovea.report.data import Explained, ReportData
from fovea.report.measured import Measured
from fovea.report.pictures import Embedded, embed

_MOST, _LIKE = 8, 3
_NAMES = {"cam": "class activation maps (CAM)", "gradcam": "Grad-CAM"}


@dataclass(frozen=True)
class Shown:
    """An explained picture, ready for the page."""

    of: Explained
    image: Markup
    like: Sequence[Embedded]


def shown_explanations(data: ReportData, result: Measured | None) -> Mapping[str, Any] | None:
    """What the section shows; None where nothing was explained."""
    if data.explained is None or not data.explained.pictures:
        return None
    pictures = [
        Shown(
            each,
            Markup(f"data:image/jpeg;base64,{base64.b64encode(each.drawing).decode()}"),
            [embed(thumb.pixels, longest_px=72) for thumb in each.like[:_LIKE] if thumb.pixels is not None],
        )
        for each in data.explained.pictures[:_MOST]
    ]
    return {"explained": data.explained, "explained_pictures": pictures, "by": _NAMES.get(data.explained.method, data.explained.method)}
