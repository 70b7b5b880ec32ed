"""From settings with "auto" in them to a plan without: what was chosen is said, and why."""

import inspect
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from fovea.data import Source, decode
from fovea.engines import ENGINES
from fovea.errors import InputError, UnreadableImage, WeightsError
from fovea.losses.classification import AUXILIARY_WEIGHT
from fovea.models.backbone import BACKBONES, Backbone, create_backbone, normalisation, read_backbone
from fovea.models.heads import HEADS, create_head
from fovea.models.network import Network, PixelBackbone
from fovea.models.passport import Passport, Triple
from fovea.models.surgery import check_stage, truncate
from fovea.models.weights import ResolvedWeights, backbone_of, candidates, load_weights, resolve_weights, weights_hash
from fovea.tasks import TASKS, create_task
from fovea.training.augment import choose_augment, is_centred
from fovea.training.goal import check_method
from fovea.training.method import Method
from fovea.training.settings import TrainSettings
from fovea.training.strategy import STRATEGIES, Plan, uses
from fovea.transforms.preprocessing import square
from fovea.types import Item

_PREFERRED = "mobilenet_v2"  # of several backbones with weights at hand: the quickest on a processor for its accuracy
_FROM_SCRATCH = "convnet"
_SMALL_PX = 64  # pictures of at most this side are met by the small network for 28 px
_PEEK = 32  # pictures that are decoded to learn how large they are


def choose(settings: TrainSettings, source: Source) -> Plan:
    """The plan for these settings and this data. Weights are found and loaded here.

    Raises:
        WeightsError: Weights were asked for and are not at hand, or do not fit.
        UnknownName: No task, strategy, backbone, head or engine has that name.
    """
    for registry, asked in ((TASKS, settings.task), (STRATEGIES, settings.strategy), (HEADS, settings.head), (ENGINES, settings.engine)):
        if asked not in registry and registry in (TASKS, STRATEGIES) and asked != "auto":
            raise registry.unknown(asked, also=["auto"])
        if asked != "auto":
            registry[asked]
    task = choose_task(settings.task, source)
    check_method(settings.method(Method(epochs=1)), create_task(task, source.class_names).loss)  # names of optimizer and schedule, too
    notes = [*source.notes]
    name, made_with = (_pick_backbone(settings, notes), {}) if settings.backbone == "auto" else read_backbone(settings.backbone)
    if settings.strategy == "scratch" and settings.weights not in ("auto", "none") and settings.weights_pattern is None:
        raise InputError(
            "--strategy scratch begins with fresh weights, and --weights names some",
            got=f"--weights {settings.weights}",
            expected="--strategy finetune, frozen or probe; or no --weights; or a part of them, with --weights-pattern",
            fix="leave one of the two out",
        )
    resolved = _resolve(settings, name, notes)
    strategy = settings.strategy if settings.strategy != "auto" else ("scratch" if resolved is None else "probe")
    if settings.strategy == "auto":
        notes.append(
            f"strategy {strategy}: "
            + ("pretrained weights are at hand" if resolved else "there are no pretrained weights to transfer from")
        )
    if STRATEGIES[strategy].info.needs_weights and resolved is None:
        notes.append(f"--weights none: {name} sees through random weights, which is only a baseline to compare with")

    given = settings.model_dump(exclude_defaults=True)
    if settings.weights_pattern is not None:
        given.pop("weights", None)  # every strategy takes a part of them
    if unused := [
        f"--{word.replace('_', '-')}" for word, value in given.items() if value != "none" and not uses(strategy, word, head=settings.head)
    ]:
        notes.append(f"{strategy} does not use {', '.join(unused)}, which changed nothing")
    info = BACKBONES[name].info
    options = _options(name, made_with, resolved)
    # weights of a whole network are loaded whole, and what lies behind the stage then goes
    stage = None if resolved and "stage" in resolved.passport.options else options.pop("stage", None)
    size_px = settings.image_size or (resolved.passport.image_size_px if resolved else info.image_size_px)
    if name == _FROM_SCRATCH and resolved is None:
        side = settings.image_size or _typical_side(source)
        if "variant" not in options:
            options["variant"] = "28" if side <= _SMALL_PX else "180"
            why = f"--image-size is {side}" if settings.image_size else f"the pictures' shorter side is about {side} px"
            notes.append(f"convnet's variant for {options['variant']} px, since {why}")
        size_px = settings.image_size or (180 if options["variant"] == "180" else 28)
    if size_px < info.smallest_input_px and not options.get("variant"):
        raise InputError(
            f"--image-size {size_px} is too small for {name}",
            got=f"{size_px} px",
            expected=f"at least {info.smallest_input_px} px",
            fix="give a larger --image-size",
        )
    augments = STRATEGIES[strategy].info.augments
    augment = choose_augment(settings.augment, strategy=strategy, augments=augments, size_px=size_px, notes=notes)
    mean, std = normalisation(info, resolved.passport if resolved else None)
    centred = resolved.passport.centred if resolved else is_centred(augment)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        backbone = _made(name, options, len(source.class_names), settings, STRATEGIES[strategy].info.needs_weights, notes)
        num_features = backbone.num_features if stage is None else backbone.channels[check_stage(backbone, stage)]
        head = create_head(settings.head, num_features=num_features, num_classes=len(source.class_names), dropout=settings.dropout)
    if settings.weights_pattern is not None:
        if resolved is None:
            raise InputError(
                "--weights-pattern takes a part of some weights, and there are none to take it of", got=f"--weights {settings.weights}",
                expected="--weights FILE, or the folder of a run", fix="name them, or leave --weights-pattern out",
            )  # fmt: skip
        resolved = replace(resolved, passport=replace(resolved.passport, golden=()))  # a part of them answers otherwise
    if resolved:
        report = load_weights(backbone, resolved, pattern=settings.weights_pattern)
        notes += [note for note in report.notes if note not in notes]
        if settings.weights_pattern is not None:
            notes.append(
                f"a warm start: {len(report.loaded):,} tensors that match {settings.weights_pattern!r} were loaded, and {len(report.new):,} begin fresh"
            )
    if stage is not None:
        options = {**backbone.made_with, "stage": stage}
        backbone = truncate(backbone, stage)
        backbone.made_as, backbone.made_with = name, options
        notes.append(f"{name} up to its feature map {stage} of {len(backbone.body.channels) - 1}, and no farther")
    return Plan(
        settings=settings,
        task=task,
        strategy=strategy,
        backbone_name=name,
        # channels-last: torch's convolutions are 5 to 15 times slower otherwise on a processor
        network=Network(PixelBackbone(backbone, mean, std, centred=centred), head).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        passport=_passport(resolved.passport if resolved else None, settings, name, options, size_px, (mean, std), centred),
        weights_hash=weights_hash(backbone),
        weights_said=resolved.said if resolved else "none: fresh random weights",
        licences=(f"{resolved.passport.name}: {resolved.passport.licence}",) if resolved else (),
        preprocessing=square(size_px),
        augment=augment,
        notes=tuple(notes),
        class_names=tuple(source.class_names),
    )


def choose_task(asked: str, source: Source) -> str:
    """The task: as asked, or the one that learns from the kind of target that the data has.

    Raises:
        UnknownName: No task has that name.
        InputError: It learns from another kind of target than the data has, or no task learns from that.
    """
    if asked != "auto":
        if (kind := TASKS[asked].info.kind) not in ("", source.kind.name):
            raise InputError(
                f"--task {asked} learns from {TASKS[asked].info.targets}, and {source.location!r} has {source.kind.name}",
                got=f"--task {asked}, and data with {source.kind.name}",
                expected=f"data with {kind}",
                fix="leave --task out; or give a CSV with a column 'label' for classes, 'labels' for several labels, 'target' for a number",
            )
        return asked
    fitting = sorted((not entry.where.startswith("fovea."), entry.name) for entry in TASKS if entry.info.kind == source.kind.name)
    if not fitting:
        raise InputError(
            f"no task learns from {source.kind.name}, which {source.location!r} has",
            got=source.kind.name,
            expected="one of " + ", ".join(sorted({entry.info.kind for entry in TASKS} - {""})),
            fix="name a task with --task",
        )
    return fitting[0][1]  # ours where a plug-in has one for the same kind: that one is taken by its name


def _options(name: str, asked: dict[str, Any], resolved: ResolvedWeights | None) -> dict[str, Any]:
    """How the network is made: as its weights say, else as was asked.

    Raises:
        InputError: The two differ.
    """
    if resolved is None:
        return dict(asked)
    known = dict(resolved.passport.options)
    for key, value in asked.items():
        own = known.get(key, value)  # what a file does not say, its shapes decide
        if own != value:
            raise InputError(
                f"the weights are of {name} with {key} {own}, and {value} was asked for",
                got=f"{key}={value}",
                expected=f"{key}={own}",
                fix=f"leave {key} out, or add --weights none",
            )
    return known | asked


def _made(name: str, options: dict[str, Any], num_classes: int, settings: TrainSettings, needs_weights: bool, notes: list[str]) -> Backbone:
    """The backbone; one that learns from nothing and can have auxiliary heads gets them."""
    if needs_weights or "auxiliary" not in inspect.signature(BACKBONES[name].build).parameters:
        return create_backbone(name, **options)
    backbone = create_backbone(name, num_classes=num_classes, **({"auxiliary": True} | options))
    backbone.set_submodule(backbone.classifier_name, nn.Identity())  # the run has a head of its own
    if backbone.made_with["auxiliary"]:
        weight = AUXILIARY_WEIGHT if settings.auxiliary_weight is None else settings.auxiliary_weight
        notes.append(
            f"auxiliary heads answer halfway while it trains, and their losses count for {weight:g} of the last one's; they are not shipped"
        )
    return backbone


def _passport(
    found: Passport | None,
    settings: TrainSettings,
    name: str,
    options: dict[str, Any],
    size_px: int,
    scaling: tuple[Triple, Triple],
    centred: bool,
) -> Passport:
    """Of the backbone as the run keeps it: without a classifier, and fed as it was here."""
    mean, std = scaling
    if found:
        return replace(
            found, backbone=name, options={**found.options, **options}, classes=None, class_names=(), mean=mean, std=std, centred=centred
        )
    return Passport(
        name=f"{name} trained by fovea",
        sha256="",
        licence="that of your pictures",
        trained_on=settings.data,
        image_size_px=size_px,
        score="see metrics.json of the run",
        backbone=name,
        options=options,
        mean=mean,
        std=std,
        centred=centred,
    )


def _pick_backbone(settings: TrainSettings, notes: list[str]) -> str:
    if (settings.strategy == "scratch" and settings.weights_pattern is None) or settings.weights == "none":
        notes.append(f"backbone {_FROM_SCRATCH}: a small network, for learning from these pictures alone")
        return _FROM_SCRATCH
    if settings.weights != "auto":
        name = _named_by(settings.weights)
        notes.append(f"backbone {name}: the weights are for it")
        return name
    at_hand = candidates()
    packaged = [name for name, where in at_hand.items() if where == "packaged"]
    if others := [name for name in at_hand if name not in packaged]:
        name = _PREFERRED if _PREFERRED in others else others[0]
        notes.append(f"backbone {name}: its weights are at hand ({at_hand[name]})")
        return name
    try:
        resolve_weights(_PREFERRED)
    except WeightsError as error:
        if packaged:
            notes.append(
                f"backbone {packaged[0]}: small, and its weights come with Fovea; larger ones know more, and none are at hand ({error.problem})"
            )
            return packaged[0]
        if settings.strategy == "probe":
            raise
        notes.append(f"backbone {_FROM_SCRATCH}: no pretrained weights are at hand ({error.problem})")
        return _FROM_SCRATCH
    notes.append(f"backbone {_PREFERRED}: its weights came from the hub")
    return _PREFERRED


def _resolve(settings: TrainSettings, name: str, notes: list[str]) -> ResolvedWeights | None:
    fresh = settings.strategy == "scratch" and settings.weights_pattern is None
    if fresh or settings.weights == "none" or (name == _FROM_SCRATCH and settings.weights == "auto"):
        return None
    try:
        return resolve_weights(name, settings.weights)
    except WeightsError as error:
        named = settings.backbone != "auto" and BACKBONES[name].info.passports  # whoever names a pretrained one wants what it knows
        if settings.strategy == "auto" and settings.weights == "auto" and not named:
            notes.append(f"no pretrained weights of {name} are at hand: {error.problem}; {error.fix}")
            return None
        raise


def _named_by(weights: str) -> str:
    """Which backbone the weights are for, where only they were named."""
    name = None if weights.startswith("hub:") else backbone_of(weights)
    if name is None:
        raise InputError(
            f"which backbone the weights {weights!r} are for cannot be told from them",
            got="--backbone auto",
            expected="one of " + ", ".join(BACKBONES.names()),
            fix="name it with --backbone",
        )
    return name


def _typical_side(source: Source) -> int:
    """The median of the shorter sides of some pictures, in pixels."""
    sides = []
    step = max(1, len(source.items) // _PEEK)
    items: Sequence[Item] = source.items[::step]
    for item in items:
        try:
            decoded = decode(source.read(item), path=item.path, min_side_px=_SMALL_PX)
        except UnreadableImage:
            continue
        sides.append(min(decoded.width_px, decoded.height_px))
    return sorted(sides)[len(sides) // 2] if sides else 180
