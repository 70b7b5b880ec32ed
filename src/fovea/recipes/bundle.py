"""Ship pretrained weights as they are."""

from pathlib import Path

import numpy as np
import torch

from fovea.bundle import Bundle, load_bundle
from fovea.data import decode, open_source
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError, OutputError, WeightsError
from fovea.export.bundles import NUM_COMPARED, Trained, write_bundle
from fovea.files import ready_folder
from fovea.models.backbone import BACKBONES, create_backbone, normalisation
from fovea.models.classes import class_names_of
from fovea.models.golden import check_golden
from fovea.models.network import PixelBackbone, Published
from fovea.models.weights import load_weights, resolve_weights
from fovea.progress import say
from fovea.tasks import create_task
from fovea.transforms.preprocessing import central_crop
from fovea.types import Pixels


def bundle(backbone: str, *, weights: str = "auto", out: str, image_size: int | None = None, overwrite: bool = False) -> Bundle:
    """Make a bundle of pretrained weights as they are, with their own classes.

    Args:
        backbone: A name from `fovea models`.
        weights: "auto", or a safetensors file.
        out: The folder, or the .fovea file, to write.
        image_size: Side in pixels; by default the weights' own.
        overwrite: Replace a bundle in `out`.

    Returns:
        The bundle, opened.
    """
    place = _free_place(out, overwrite)
    resolved = resolve_weights(backbone, weights)
    if resolved is None:
        raise InputError(
            "a bundle of no weights would know nothing", got="--weights none", expected="weights", fix="name a file with --weights"
        )
    passport = resolved.passport
    names = class_names_of(passport)
    module = create_backbone(backbone, num_classes=len(names), **passport.options)
    report = load_weights(module, resolved)
    for note in report.notes:
        say(note)
    if report.new:
        raise WeightsError(
            f"{str(resolved.path)!r} holds no classifier, so a bundle of it could name no classes",
            got=f"{len(report.loaded)} tensors; new: {', '.join(report.new[:5])}",
            expected="weights with their classifier",
            fix="train a head on pictures of your own: fovea train DATA --weights FILE --out RUN",
        )
    size_px = image_size or passport.image_size_px
    body = PixelBackbone(module, *normalisation(BACKBONES[backbone].info, passport), centred=passport.centred)
    check_golden(body, passport)
    network = Published(body).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trained = Trained(
        network,
        module_to_onnx(network, size_px=size_px, outputs=("embedding", "logits")),
        backbone,
        1.0,
        central_crop(size_px, fraction=passport.crop_fraction),
        create_task("classification", names),
        (f"{passport.name}: {passport.licence}",),
    )
    write_bundle(place, trained, pictures=_drawn(trained), strategy="pretrained", metrics={"published": passport.score})
    return load_bundle(place)


def _free_place(out: str, overwrite: bool) -> Path:
    """Where the bundle goes, once it is clear that nothing else stands there."""
    place = Path(out)
    if place.suffix == ".fovea":
        ready_folder(place.parent)
        taken = place.exists()
    else:
        taken = any(ready_folder(place).iterdir())
    if taken and not overwrite:
        raise OutputError(
            f"{out!r} is already there",
            got="something in that place",
            expected="a new or empty folder, or a new .fovea name",
            fix="choose another --out, or add --overwrite",
        )
    return place


def _drawn(trained: Trained) -> Pixels:
    """Pictures to compare torch and the engine on, where there is no data: drawn scenes, as the model sees them."""
    with open_source("shapes", max_items=NUM_COMPARED) as source:
        pictures = [decode(source.read(item), path=item.path).pixels for item in source.items]
    return np.stack([trained.preprocessing.apply(pixels) for pixels in pictures])
