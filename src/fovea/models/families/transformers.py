"""Models of the package transformers, from a folder or from the hub: `transformers:FOLDER`, `transformers:OWNER/NAME[@REVISION]`.

Where a model type has an `AutoBackbone`, all its stages are feature maps; where it has only an `AutoModel` (ViT, MobileNetV2), its last
map is the only one: what is shown to be a row of tokens is laid out as these lie in the picture. Weights are read from
`model.safetensors` alone, and no code that a repository brings is run.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from fovea.errors import FoveaError, InputError, WeightsError
from fovea.models.families._files import (
    Reference,
    licence_of,
    local_or_hub,
    nothing_new,
    own_weights_file,
)
from fovea.models.family import FAMILIES, FamilyInfo
from fovea.models.foreign import Facts, ForeignBackbone, foreign_info, measure
from fovea.models.passport import Passport, Triple
from fovea.registry import Entry

_SIZE_PX = 224  # where neither the configuration nor its preprocessing says a size


@FAMILIES.add(
    FamilyInfo(
        package="transformers",
        names="the path of a folder that save_pretrained wrote, or OWNER/NAME on the hub, with @REVISION behind it to pin it",
        example="transformers:microsoft/resnet-18",
    )
)
def transformers(name: str, rest: str) -> Entry[Any]:
    """Networks for pictures of Hugging Face's transformers."""
    reference = local_or_hub(name, rest)
    config_path = reference.file("config.json")
    text = config_path.read_text(encoding="utf-8")
    config = _config(config_path.parent, name)
    feeding = _feeding(reference, config)
    facts = _facts(text, config_path.parent, feeding.size_px, name)

    def build(*, num_classes: int = 0) -> ForeignBackbone:
        return ForeignBackbone(_model(config, facts.wanted), _look, facts, num_classes)

    build.__doc__ = f"A {config.model_type} of transformers.\n\n    Args:\n        num_classes: Outputs of the classifier; 0 leaves it off."
    info = foreign_info(
        facts,
        size_px=feeding.size_px,
        source=f"transformers, model type {config.model_type}",
        licence=licence_of(reference),
        mean=feeding.mean,
        std=feeding.std,
        own_weights=partial(_own_weights, name, reference, build, config, facts, feeding),
    )
    return Entry(name, build, info, str(config_path.parent))


@dataclass(frozen=True)
class _Feeding:
    """How its own preprocessing feeds it."""

    size_px: int
    mean: Triple
    std: Triple
    crop_fraction: float
    interpolation: Literal["bilinear", "bicubic"]


def _config(folder: Path, name: str) -> Any:
    from transformers import AutoConfig

    try:
        with _quiet():
            return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever it raises, the file is not one that it can use
        raise InputError(
            f"the configuration of {name!r} cannot be used",
            got=(str(error).strip().splitlines() or [type(error).__name__])[0],
            expected="a config.json of a model type that this version of transformers knows by itself, without code from elsewhere",
            fix="choose another model, or upgrade: pip install --upgrade transformers",
        ) from error


def _kind(config: Any) -> tuple[Any, bool]:
    """The class of the model, and whether it gives feature maps of all stages."""
    from transformers import MODEL_FOR_BACKBONE_MAPPING, MODEL_MAPPING

    if type(config) in MODEL_FOR_BACKBONE_MAPPING:
        return MODEL_FOR_BACKBONE_MAPPING[type(config)], True
    kind = MODEL_MAPPING.get(type(config), None)
    if isinstance(kind, tuple) or kind is None or kind.main_input_name != "pixel_values":
        raise InputError(
            f"models of the type {config.model_type!r} give no feature maps of pictures",
            got=f"model type {config.model_type!r}",
            expected="a model type with an AutoBackbone, or one whose AutoModel takes pictures alone",
            fix="choose a network for pictures, for example of the types resnet, convnext, swin, dinov2 or vit",
        )
    return kind, False


def _model(config: Any, wanted: Sequence[int] | None) -> nn.Module:
    """With fresh weights, and `wanted` of its stages (None: all); a model without stages has one map."""
    kind, staged = _kind(config)
    return kind(_with_stages(config, wanted) if staged else config)  # type: ignore[no-any-return]


def _with_stages(config: Any, wanted: Sequence[int] | None) -> Any:
    own = type(config).from_dict(config.to_dict())
    own.out_indices = list(range(len(own.stage_names)) if wanted is None else wanted)
    return own


def _look(model: nn.Module, x: torch.Tensor) -> Sequence[torch.Tensor]:
    more: dict[str, Any] = (
        {"interpolate_pos_encoding": True} if "interpolate_pos_encoding" in inspect.signature(model.forward).parameters else {}
    )
    output: dict[str, Any] = model(pixel_values=x, **more)
    if "feature_maps" in output:
        return tuple(output["feature_maps"])
    last: torch.Tensor = output["last_hidden_state"]
    if last.dim() != 3:
        return (last,)
    config: Any = model.config
    patch = config.patch_size
    height, width = (int(side) // (patch if isinstance(patch, int) else patch[axis]) for axis, side in enumerate(x.shape[2:]))
    tokens = last[:, int(last.shape[1]) - height * width :]  # (B, L, D): the class token and others come before those of the picture
    return (tokens.transpose(1, 2).reshape(-1, int(last.shape[2]), height, width),)


@lru_cache(maxsize=8)
def _facts(text: str, folder: Path, size_px: int, name: str) -> Facts:  # `text` is in the key: the file may change
    config = _config(folder, name)
    _kind(config)
    try:
        with _quiet():
            return measure(lambda wanted: _model(config, wanted), _look, size_px=size_px, who=f"the model {name!r}")
    except FoveaError:
        raise
    except Exception as error:  # a model that cannot be made says so in a way of its own
        raise InputError(
            f"transformers cannot make the model {name!r}",
            got=(str(error).strip().splitlines() or [type(error).__name__])[0],
            expected="a config.json from which AutoBackbone or AutoModel makes a network",
            fix="choose another model",
        ) from error


def _feeding(reference: Reference, config: Any) -> _Feeding:
    """From preprocessor_config.json; what it does not say is taken for granted, as transformers does."""
    path = reference.optional("preprocessor_config.json")
    said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path else {}
    if said.get("do_flip_channel_order"):
        raise InputError(
            f"{reference.name!r} wants pictures with blue first, which is not supported here",
            got="do_flip_channel_order in preprocessor_config.json",
            expected="a model that takes red, green, blue",
            fix="choose another model",
        )
    configured = getattr(config, "image_size", None)
    default = (max(configured) if isinstance(configured, list | tuple) else configured) or _SIZE_PX
    resized = _side(said.get("size"))
    cropped = _side(said.get("crop_size")) if said.get("do_center_crop", True) else None
    size_px = cropped or resized or int(default)
    fraction = said.get("crop_pct") or (cropped / resized if cropped and resized else 1.0)
    return _Feeding(
        size_px,
        *_scaling(said),
        crop_fraction=min(1.0, float(fraction)),
        interpolation="bicubic" if said.get("resample") == 3 else "bilinear",  # 3 is Pillow's number for bicubic
    )


def _scaling(said: dict[str, Any]) -> tuple[Triple, Triple]:
    """Mean and deviation for pixels of 0..1: theirs are for pixels times `rescale_factor`, less 1 with `rescale_offset`."""
    factor = 255 * float(said.get("rescale_factor", 1 / 255)) if said.get("do_rescale", True) else 255.0
    offset = 1.0 if said.get("rescale_offset") else 0.0
    normalised = bool(said) and said.get("do_normalize", True)
    mean = said.get("image_mean", (0.5,) * 3) if normalised else (0.0,) * 3
    std = said.get("image_std", (0.5,) * 3) if normalised else (1.0,) * 3
    if not said:  # nothing is known: as ImageNet's own, which most are fed by
        mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    red, green, blue = ((float(m) + offset) / factor for m in mean)
    of_red, of_green, of_blue = (float(s) / factor for s in std)
    return (red, green, blue), (of_red, of_green, of_blue)


def _side(size: Any) -> int | None:
    if isinstance(size, dict):
        size = size.get("shortest_edge") or size.get("height")
    return int(size) if size else None


def _own_weights(
    name: str, reference: Reference, build: Callable[[], ForeignBackbone], config: Any, facts: Facts, feeding: _Feeding
) -> tuple[Path, tuple[str, ...]]:
    """Reads the model with its weights, as transformers does, and writes them under our names."""
    kind, staged = _kind(config)
    weights = reference.file("model.safetensors")
    try:
        with _quiet(), torch.random.fork_rng(devices=[]):
            model, found = kind.from_pretrained(
                weights.parent,
                config=_with_stages(config, facts.wanted) if staged else config,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
                dtype=torch.float32,
                output_loading_info=True,
            )
            backbone = build()
            backbone.model = model
    except Exception as error:  # whatever it raises, these are no weights for this configuration
        raise WeightsError(
            f"the weights of {name!r} cannot be loaded",
            got=(str(error).strip().splitlines() or [type(error).__name__])[0],
            expected="a model.safetensors that belongs to the config.json beside it",
            fix="save the model again with save_pretrained, or start from nothing: --weights none --strategy scratch",
        ) from error
    notes = nothing_new(name, model, [key for key in found["missing_keys"] if f"model.{key}" not in facts.unused])
    passport = Passport(
        name=reference.said,
        sha256="",
        licence=licence_of(reference),
        trained_on=f"not stated here: see {reference.page}",
        image_size_px=feeding.size_px,
        score=f"not measured here: see {reference.page}",
        backbone=name,
        crop_fraction=feeding.crop_fraction,
        interpolation=feeding.interpolation,
        mean=feeding.mean,
        std=feeding.std,
    )
    return own_weights_file(backbone, passport), notes


@contextmanager
def _quiet() -> Iterator[None]:
    """Without its progress bars and reports: what there is to say is said here. Left as it was found."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
