"""A weights file's passport: where it comes from, what it was taught, and how it must be fed. Imports no torch."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Triple = tuple[float, float, float]

METADATA_KEY = "fovea_passport"  # under which a safetensors file carries its passport, as JSON


@dataclass(frozen=True)
class Passport:
    """Where a weights file comes from and how it must be fed: it travels with the weights.

    Args:
        name: What people call these weights, for example "imagenet".
        sha256: Of the file, 64 hex digits; how a file on disk is recognised. Empty where it is not known.
        licence: SPDX name, or the terms in words.
        trained_on: The data, in words.
        image_size_px: Side of the square that they were trained at.
        score: What was measured with them, on what, by whom, in words.
        classes: Name of the class list in `models/classes`, or None.
        class_names: The classes spelt out in the classifier's order, where they are no published list.
        backbone: Which one they are of, as in the registry; empty in the registry's own passports, which stand with it.
        options: The backbone's options that these weights need.
        crop_fraction: Share of the short side that the central crop keeps in their own evaluation.
        interpolation: How their own evaluation resizes.
        mean, std: Per channel, of pixels scaled to 0..1, that their own training subtracted and divided by; None
            where that is not known, and the backbone's are taken.
        centred: Whether each picture's own mean is taken away, once it is scaled.
        repo: Hub repository, with `revision` (a commit, pinned) and `filename`; None where they are on no hub. Without
            a revision nothing is downloaded until the user names one.
        num_bytes: Size of the file on the hub, where known: what a download announces.
        golden: What the network answered on a drawn picture when its score was measured (`models/weights/golden.py`).
    """

    name: str
    sha256: str
    licence: str
    trained_on: str
    image_size_px: int
    score: str
    classes: str | None = None
    class_names: tuple[str, ...] = ()
    backbone: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    crop_fraction: float = 0.875
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    mean: Triple | None = None
    std: Triple | None = None
    centred: bool = False
    repo: str | None = None
    revision: str | None = None
    filename: str = "model.safetensors"
    num_bytes: int | None = None
    golden: tuple[float, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """All fields, as they are written into a file's metadata and shown by `fovea models`."""
        return asdict(self)


def read_passport(text: str) -> Passport:
    """The passport that a file's metadata holds (written by `save_weights`).

    Raises:
        ValueError: The text is no JSON, or a field is missing or of another type; says which.
    """
    from pydantic import TypeAdapter  # 0.1 s to import, and only files that others wrote need the check

    return TypeAdapter(Passport).validate_python(json.loads(text))
