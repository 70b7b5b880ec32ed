"""Ship pretrained weights as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from fovea.bundle import Bundle, load_bundle
from fovea.data import decode, open_source
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError, OutputError, WeightsError
from fovea.evaluation.answers import Answering
from fovea.export.bundles import NUM_COMPARED, Trained, write_bundle
from fovea.files import ready_folder
from fovea.models.backbone import BACKBONES, create_backbone, normalisation
from fovea.models.classes import class_names_of, load_classes
from fovea.models.network import PixelBackbone, Published
from fovea.models.weights import load_weights, resolve_weights
from fovea.models.weights.golden import check_golden
from fovea.models.weights.load import pack_weights
from fovea.progress import say
from fovea.tasks import create_task
from fovea.transforms.preprocessing import central_crop
from fovea.types import Pixels


def bundle(
    backbone: str,
    *,
    weights: str = "auto",
    out: str,
    classes: str | None = None,
    image_size: int | None = None,
    keep_weights: bool = False,
    overwrite: bool = False,
) -> Bundle:
    """Make a bundle of pretrained weights as they are, with their own classes.

    Args:
        backbone: A name from `fovea models`.
        weights: "auto", or a file: .safetensors, .pth, or .weights.h5 of Keras.
        out: The folder, or the .fovea file, to write.
        classes: Names of the classes, where the weights come without: "imagenet_1k", or a text file with one name a line.
        image_size: Side in pixels; by default the weights' own.
        keep_weights: Put the weights into the bundle too, about as large once more: for `fovea explain` by gradients.
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
    names = _class_names(classes) if classes else class_names_of(passport)
    if not names:
        raise WeightsError(
            f"the weights {str(resolved.path)!r} do not say what their classes are called",
            got="no class names",
            expected="a name for each output of the classifier, in its order",
            fix="add --classes imagenet_1k, or --classes FILE with one name a line; or train a head on pictures of your own",
        )
    module = create_backbone(backbone, num_classes=len(names), **passport.options)
    report = load_weights(module, resolved)
    for note in report.notes:
        say(note)
    if new := [name for name in report.new if not name.endswith("num_batches_tracked")]:
        raise WeightsError(
            f"{str(resolved.path)!r} holds no classifier, so a bundle of it could name no classes",
            got=f"{len(report.loaded)} tensors; new: {', '.join(new[:5])}",
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
        Answering(),
        central_crop(size_px, fraction=passport.crop_fraction),
        create_task("classification", names),
        (f"{passport.name}: {passport.licence}",),
    )
    write_bundle(
        place,
        trained,
        pictures=_drawn(trained),
        strategy="pretrained",
        metrics={"published": passport.score},
        weights=pack_weights(module, replace(passport, backbone=backbone)) if keep_weights else None,
    )
    return load_bundle(place)


def _class_names(classes: str) -> tuple[str, ...]:
    """A published list, or the lines of a file."""
    path = Path(classes)
    if not path.is_file():
        return load_classes(classes).class_names
    names = tuple(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    if len(set(names)) != len(names) or not names:
        twice = next((name for name in names if names.count(name) > 1), "")
        raise InputError(
            f"{classes!r} is no list of classes",
            got=f"{twice!r} twice" if twice else "no names",
            expected="one name a line, each once",
            fix="mend it",
        )
    return names


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
