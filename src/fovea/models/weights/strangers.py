"""Weights that nobody here knows and that carry no passport: what is taken for granted of them, and said."""

import inspect
from pathlib import Path
from typing import Any

from fovea.models.backbone import BackboneInfo
from fovea.models.origins import IMAGENET, Origin
from fovea.models.passport import Passport, Triple
from fovea.models.weights.naming import fit_of, sketch
from fovea.models.weights.tensor_files import TensorFile
from fovea.registry import Entry


def options_of(entry: Entry[BackboneInfo]) -> set[str]:
    """The names of a backbone's options; `stage` is everyone's."""
    return {*inspect.signature(entry.build).parameters, "stage"} - {"num_classes"}


def stranger(entry: Entry[BackboneInfo], path: Path, digest: str, file: TensorFile) -> tuple[Passport, tuple[str, ...]]:
    """A passport for a file that nobody here knows: the preprocessing of the library that named its tensors, else the backbone's own.

    The options that the library's weights need stand in the passport. Whatever is taken for granted stands in the notes.
    """
    info, options, scaling = entry.info, dict[str, Any](), None
    notes = []
    same = "same" in file.metadata.get("padding", "").lower() and "padding" in options_of(entry)
    origin = None if same else _origin(entry, file)
    if origin:
        options = {**origin.options, **origin.feeding}
        scaling = _keras_scaling(file) or origin.scaling
        made = ", ".join(f"{name}={value!r}" for name, value in options.items())
        notes += [f"its tensors are named as {origin.called}'s: the backbone is made with {made}"] if made else []
    mean, std = scaling or (info.mean, info.std)
    fed = f"{origin.called}'s weights of {entry.name} are" if origin and scaling else f"{entry.name} is by default"
    known = [tuple(round(value, 4) for value in values) for values in (mean, std)]
    notes.insert(0, f"{path.name} is unknown here and carries no passport: it is fed as {fed} (mean {known[0]}, std {known[1]})")
    if same:
        options["padding"] = "same"
        notes.append("its metadata speaks of 'same' padding: the backbone is made with padding='same'")
    passport = Passport(
        name=path.stem,
        sha256=digest,
        licence=file.metadata.get("licence") or file.metadata.get("license") or "not stated",
        trained_on="not stated",
        image_size_px=info.image_size_px,
        score="not stated",
        options=options,
        mean=scaling[0] if scaling else None,
        std=scaling[1] if scaling else None,
    )
    return passport, tuple(notes)


def _origin(entry: Entry[BackboneInfo], file: TensorFile) -> Origin | None:
    """The library that a file of this backbone is from. Our names are timm's, and what we save ourselves carries a passport."""
    if not (fit := fit_of(entry, file)):
        return None
    return fit.origin or next((origin for origin in sketch(entry.name).origins if origin.library == "timm"), None)


def _keras_scaling(file: TensorFile) -> tuple[Triple, Triple] | None:
    """What a Keras model's own layer of normalisation does to pixels of 0..1 (EfficientNet's); None where it has none."""
    for layer in file.keras or ():
        if layer.kind == "normalization" and len(layer.variables) == 3:
            mean, variance = (part.read().flatten().tolist() for part in layer.variables[:2])
            if len(mean) == 3:
                # Published weights hold the deviation where its square is due; another layer, without weights, mends that
                # (keras/src/applications/efficientnet.py, tensorflow#49930)
                known = all(abs(a - b) < 1e-3 for a, b in zip(variance, IMAGENET[1], strict=True))
                std = variance if known else [value**0.5 for value in variance]
                return (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])
    return None
