"""What backbones there are."""

from dataclasses import dataclass
from typing import Any

import torch

from fovea.errors import InputError
from fovea.models.backbone import BACKBONES, BackboneInfo, create_backbone
from fovea.models.passport import Passport
from fovea.models.summary import Summary, summarise
from fovea.models.weights import candidates, resolve_weights
from fovea.registry import Entry

_NUM_CLASSES = 1000  # as the parameters are counted
_WHERE = (
    "folder: where FOVEA_WEIGHTS points; hub: fetched from the Hugging Face hub before; -: not here;\n"
    "`fovea train` then asks the hub for it, where a revision of its weights is fixed (`fovea models NAME` says so).\n"
    "README.md says under 'Weights, with and without a network' where weights are looked for and how to get them."
)


@dataclass(frozen=True)
class Models:
    """The backbones, as rows."""

    rows: list[dict[str, Any]]
    table: Summary | None = None

    def to_json(self) -> dict[str, Any]:
        """A row for each backbone; of a single one also its layers."""
        return {
            "models": [row | (self.table.to_json() | {"image_size_px": row["image_size_px"]} if self.table else {}) for row in self.rows]
        }

    def to_text(self) -> str:
        lines = [f"{'name':<22}{'parameters':>14}{'size':>8}  weights at hand"]
        for row in self.rows:
            lines.append(f"{row['name']:<22}{row['num_parameters']:>14,}{row['image_size_px']:>5} px  {row['weights_at_hand'] or '-'}")
        if len(self.rows) == 1:
            row = self.rows[0]
            lines += ["", row["summary"], f"source: {row['source']}", f"channels {row['channels']} at strides {row['strides']}"]
            lines += ["", self.table.to_text(), ""] if self.table else []
            lines += [f"weights {w['name']}: {w['trained_on']}; {w['score']}; {w['licence']}{_fetched(w)}" for w in row["weights"]]
        return "\n".join([*lines, "", _WHERE])


def models(name: str | None = None, *, image_size: int | None = None) -> Models:
    """List the backbones, or show one with its layers.

    Args:
        name: A backbone; by default all are listed.
        image_size: Side of the picture that its layers are shown for; by default its own.

    Returns:
        A row for each: name, parameters, size, known weights, licence. For one also its table of layers, with 1,000 classes:
        output shape, parameters, multiply-adds, and how many pixels of the picture each cell sees.
    """
    if image_size is not None and image_size < 1:
        raise InputError("--image-size is less than one", got=str(image_size), expected="a side in pixels", fix="leave it out for its own")
    at_hand = candidates()
    entries = [BACKBONES[name]] if name else list(BACKBONES)
    rows = [_row(entry, at_hand.get(entry.name)) for entry in entries]
    return Models(rows, _table(entries[0], image_size) if name else None)


def _table(entry: Entry[BackboneInfo], image_size: int | None) -> Summary:
    with torch.device("meta"):  # no numbers are needed
        module = create_backbone(entry.name, num_classes=_NUM_CLASSES)
    return summarise(module, size_px=image_size or entry.info.image_size_px)


def _fetched(weights: dict[str, Any]) -> str:
    if not weights["repo"]:
        return ""
    if weights["revision"]:
        return f"; from hub:{weights['repo']}@{weights['revision'][:12]}"
    return f"; no revision of it is fixed, so that it is only fetched where you name one: --weights hub:{weights['repo']}@REVISION"


def _packaged(name: str, at_hand: str | None) -> tuple[Passport, ...]:
    """The passport that lies with weights in the package."""
    found = resolve_weights(name) if at_hand == "packaged" else None
    return (found.passport,) if found else ()


def _row(entry: Entry[BackboneInfo], at_hand: str | None) -> dict[str, Any]:
    info = entry.info
    return {
        "name": entry.name,
        "summary": (entry.build.__doc__ or "").strip().splitlines()[0],
        "num_parameters": info.num_parameters,
        "image_size_px": info.image_size_px,
        "smallest_input_px": info.smallest_input_px,
        "channels": list(info.channels),
        "strides": list(info.strides),
        "source": info.source,
        "licence": info.licence,
        "weights": [passport.to_json() for passport in (*info.passports, *_packaged(entry.name, at_hand))],
        "weights_at_hand": at_hand,
    }
