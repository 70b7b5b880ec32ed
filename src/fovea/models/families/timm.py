"""Models of the package timm, by their names there or from a folder with config.json: `timm:resnet18d`, `timm:FOLDER`.

They are made with `features_only`: its feature maps are ours, and the embedding is the mean of the coarsest, which for some networks
(EfficientNet, MobileNetV3) lies before a last 1x1 convolution. Weights are fetched as `model.safetensors` alone.
"""

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from fovea.errors import FoveaError, InputError, UnknownName, WeightsError
from fovea.models.families._files import Reference, own_weights_file
from fovea.models.family import FAMILIES, FamilyInfo
from fovea.models.foreign import Facts, ForeignBackbone, foreign_info, measure
from fovea.models.passport import Passport
from fovea.registry import Entry


@FAMILIES.add(
    FamilyInfo(
        package="timm", names="a name that timm.list_models() gives, or a folder with the files of its hub", example="timm:resnet18d"
    )
)
def timm(name: str, rest: str) -> Entry[Any]:
    """Networks for pictures of timm."""
    folder = Path(rest).expanduser()
    if folder.is_dir():
        said = json.loads(Reference(name, folder.absolute()).file("config.json").read_text(encoding="utf-8"))
        model_name, overlay = str(said["architecture"]), dict(said.get("pretrained_cfg", {}))
    else:
        model_name, overlay = rest, {}
    facts, config = _facts(model_name, name)
    fed = {**config, **overlay}
    mean, std = tuple(map(float, fed["mean"])), tuple(map(float, fed["std"]))
    size_px = facts.sizes_px[0] if facts.sizes_px else int(fed["input_size"][-1])

    def build(*, num_classes: int = 0) -> ForeignBackbone:
        return ForeignBackbone(_model(model_name, facts.wanted), _look, facts, num_classes)

    build.__doc__ = f"{model_name} of timm.\n\n    Args:\n        num_classes: Outputs of the classifier; 0 leaves it off."
    repo = str(fed.get("hf_hub_id") or "")
    reference = Reference(name, folder.absolute()) if folder.is_dir() else Reference(name, None, _whole(repo, fed))
    info = foreign_info(
        facts,
        size_px=size_px,
        source=f"timm, {model_name}; {fed.get('origin_url') or fed.get('paper_name') or 'its source file names the paper'}",
        licence=str(fed.get("license") or "not stated"),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        own_weights=partial(_own_weights, name, model_name, reference, build, facts, fed),
    )
    return Entry(name, build, info, f"timm:{model_name}")


def _whole(repo: str, fed: dict[str, Any]) -> str:
    """The repository: timm shortens the names of its own repositories to "timm/"."""
    tag = fed.get("tag")
    return f"{repo}{fed['architecture']}{f'.{tag}' if tag else ''}" if repo.endswith("/") else repo


def _model(model_name: str, wanted: Sequence[int] | None, **more: Any) -> nn.Module:
    from timm import create_model

    chosen = {} if wanted is None else {"out_indices": tuple(wanted)}
    return create_model(model_name, features_only=True, exportable=True, **chosen, **more)  # type: ignore[no-any-return]


def _look(model: nn.Module, x: torch.Tensor) -> Sequence[torch.Tensor]:
    maps = model(x)
    # some networks (Swin) keep their channels last
    return [
        feature.permute(0, 3, 1, 2) if channels_last(feature, n) else feature for feature, n in zip(maps, _channels(model), strict=True)
    ]


def channels_last(feature: torch.Tensor, channels: int) -> bool:
    """Whether a map is (B, H, W, C)."""
    return int(feature.shape[1]) != channels and int(feature.shape[-1]) == channels


def _channels(model: nn.Module) -> list[int]:
    return list(model.feature_info.channels())  # type: ignore[union-attr, operator]


@lru_cache(maxsize=8)
def _facts(model_name: str, name: str) -> tuple[Facts, dict[str, Any]]:
    from timm import is_model, list_models
    from timm.models import get_pretrained_cfg

    plain = model_name.partition(".")[0]
    if not is_model(model_name):
        near = difflib.get_close_matches(plain, list_models(), n=3)
        raise UnknownName(
            f"timm has no model {model_name!r}",
            got=repr(name),
            expected="a name that timm.list_models() gives, or a folder with config.json",
            fix=f"did you mean {' or '.join(f'timm:{one}' for one in near)}?" if near else "look at timm.list_models()",
        )
    known = get_pretrained_cfg(model_name, allow_unregistered=True)
    config = known.to_dict() if known else {}
    config = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "input_size": (3, 224, 224), **config}
    try:
        with torch.random.fork_rng(devices=[]):
            usual: Any = _model(model_name, None).feature_info
        indices = list(usual.out_indices)  # of the 12 layers of a ViT, the last three
        facts = measure(
            lambda wanted: _model(model_name, None if wanted is None else [indices[index] for index in wanted]),
            _look,
            size_px=int(config["input_size"][-1]),
            who=f"the model {name!r}",
        )
        facts = replace(facts, wanted=tuple(indices[index] for index in facts.wanted))
    except FoveaError:
        raise
    except Exception as error:  # a network that cannot be made with features_only says so in a way of its own
        raise InputError(
            f"timm gives no feature maps of {model_name!r}",
            got=(str(error).splitlines() or [type(error).__name__])[0],
            expected="a model that can be made with features_only",
            fix="choose another model",
        ) from error
    return facts, config


def _own_weights(
    name: str, model_name: str, reference: Reference, build: Callable[[], ForeignBackbone], facts: Facts, fed: dict[str, Any]
) -> tuple[Path, tuple[str, ...]]:
    """Fetches the published file and lets timm read it, and writes it down under our names."""
    if not reference.folder and not reference.repo:
        raise WeightsError(
            f"timm knows no published weights of {model_name!r}",
            got="no repository on the hub",
            expected="a model with weights",
            fix="choose another one, or a name with a tag (timm.list_pretrained()), or start from nothing: --strategy scratch --weights none",
        )
    path = reference.file("model.safetensors")
    try:
        with torch.random.fork_rng(devices=[]):
            backbone = build()
            backbone.model = _model(
                model_name, facts.wanted, pretrained=True, pretrained_cfg_overlay={"file": str(path), "hf_hub_id": None}
            )
    except Exception as error:  # whatever it raises, these are no weights for this model
        raise WeightsError(
            f"the weights of {name!r} cannot be loaded",
            got=(str(error).strip().splitlines() or [type(error).__name__])[0],
            expected=f"a model.safetensors of timm's {model_name}",
            fix="fetch it again, or start from nothing: --strategy scratch --weights none",
        ) from error
    interpolation: Literal["bilinear", "bicubic"] = "bicubic" if fed.get("interpolation") == "bicubic" else "bilinear"
    passport = Passport(
        name=reference.said,
        sha256="",
        licence=str(fed.get("license") or "not stated"),
        trained_on=f"not stated here: see {reference.page}",
        image_size_px=int(fed["input_size"][-1]),
        score=f"not measured here: see {reference.page}",
        backbone=name,
        crop_fraction=float(fed.get("crop_pct") or 0.875),
        interpolation=interpolation,
        mean=tuple(map(float, fed["mean"])),  # type: ignore[arg-type]
        std=tuple(map(float, fed["std"])),  # type: ignore[arg-type]
    )
    return own_weights_file(backbone, passport), ()
