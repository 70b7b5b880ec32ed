"""The public exam for backbones: whoever adds one calls `check_backbone("my_backbone")` in a test."""

import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import FoveaError
from fovea.models.backbone import BACKBONES, Backbone, BackboneInfo, count_parameters, create_backbone
from fovea.models.modes import one_thread
from fovea.models.network import PixelBackbone
from fovea.models.passport import Passport
from fovea.models.weights import load_weights, save_weights, weights_hash
from fovea.testing.exam import ExamFailed, require
from fovea.types import FeatureMaps

_CLASSES = 7
_BATCH = 3


def check_backbone(name: str, **options: Any) -> None:
    """Puts a registered backbone through the exam.

    Its declared channels and strides are true at two sizes and at the smallest that it states; its classifier comes off;
    gradients reach every parameter; rows of a batch are independent; its freeze points follow the flow and cut it; saved
    and loaded it is identical; its stated number of parameters is true (at the default options).

    Seeds, modes and threads are left as they were.

    Args:
        name: As in the registry.
        options: The backbone's own, where another variant is to be examined.

    Raises:
        ExamFailed: A fact is not true; the message says which.
    """
    info = BACKBONES[name].info
    spelt = ", ".join(f"{key}={value!r}" for key, value in options.items())
    who = f"backbone {name}({spelt})"
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        backbone = _create(name, options)
        _stir(backbone)
        sizes = _sizes(backbone, info)
        if not options:
            _check_stated(backbone, name, info, who)
        for size in sizes:
            _check_maps(backbone, size, who)
        _check_steps(backbone, sizes[-1], who)
        _check_classifier(backbone, name, options, sizes[0], who)
        _check_gradients(backbone, sizes[0], who)
        _check_rows(backbone, sizes[0], who)
        _check_freeze_points(backbone, sizes[0], who)
        _check_save_load(backbone, name, options, sizes[0], who)


def check_export(name: str, **options: Any) -> None:
    """Exports a registered backbone at the size that it is meant for, and compares the engine's embedding with torch's.

    No padding may be left to be done when it runs: "same" convolutions that compute theirs take twice to three times as long.

    Args:
        name: As in the registry.
        options: The backbone's own.

    Raises:
        ExamFailed: It cannot be exported, answers differently, or pads when it runs.
    """
    info = BACKBONES[name].info
    who = f"backbone {name}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = PixelBackbone(create_backbone(name, **options).eval(), info.mean, info.std).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        _stir(body.backbone)
        size = info.image_size_px
        pixels = torch.randint(0, 256, (2, size, size, 3), dtype=torch.uint8)
        with torch.inference_mode():
            expected = body(pixels).numpy()
    try:
        model = module_to_onnx(body, size_px=size)
    except Exception as error:  # torch's exporter has no one kind of error
        raise ExamFailed(f"{who}: it cannot be exported: {str(error).splitlines()[0]}") from error
    graph = onnx.load_from_string(model).graph
    padded = {output for node in graph.node if node.op_type == "Pad" for output in node.output}
    late = [node for node in graph.node if node.op_type in ("Conv", "MaxPool", "AveragePool") and node.input[0] in padded]
    require(not late, who, "its export pads when it runs; a padding known beforehand belongs to the convolution")
    found = open_engine(model)(pixels.numpy(), ("embedding",))["embedding"]
    difference, scale = float(np.abs(found - expected).max()), float(np.abs(expected).max())
    require(difference <= 1e-4 * scale, who, f"exported, it answers differently by {difference:.2g} (of {scale:.2g})")


def _create(name: str, options: dict[str, Any]) -> Backbone:
    backbone = create_backbone(name, num_classes=_CLASSES, **options).eval()
    backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # true, and missing in torch's stubs
    return backbone


def _sizes(backbone: Backbone, info: BackboneInfo) -> tuple[int, ...]:
    """The sides to examine: the smallest, one that no stride divides, and one that is a coarsest stride larger."""
    smallest, largest = backbone.sizes_px or (info.smallest_input_px, None)
    step = max(backbone.strides)
    sizes = (smallest, smallest + step + 1, smallest + 2 * step + 1)
    return tuple(size for size in sizes if largest is None or size <= largest)


def _stir(backbone: Backbone) -> None:
    """Moves every number a little: what starts at zero on purpose (a last batch norm) would hide what lies behind it."""
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)


def _pictures(size: int, *, height: int | None = None, batch: int = _BATCH) -> torch.Tensor:
    return torch.randn(batch, 3, height or size, size).to(memory_format=torch.channels_last)


def _check_stated(backbone: Backbone, name: str, info: BackboneInfo, who: str) -> None:
    require(backbone.channels == info.channels, who, f"the registry states channels {info.channels}, the network {backbone.channels}")
    require(backbone.strides == info.strides, who, f"the registry states strides {info.strides}, the network {backbone.strides}")
    smallest = (backbone.sizes_px or (info.smallest_input_px, None))[0]
    require(
        smallest == info.smallest_input_px,
        who,
        f"the registry states a smallest input of {info.smallest_input_px} px, the network {smallest}",
    )
    counted = count_parameters(create_backbone(name, num_classes=1000))
    require(
        counted == info.num_parameters,
        who,
        f"num_parameters={info.num_parameters:,} is stated, and {counted:,} are counted with 1,000 classes",
    )


def _check_maps(backbone: Backbone, size: int, who: str) -> None:
    """Channels and sides, on a picture that is not square where sizes are free."""
    height = size if backbone.sizes_px and backbone.sizes_px[1] else size + 3
    with torch.inference_mode():
        maps = _forward(partial(backbone.forward_maps, _pictures(size, height=height, batch=1)), who, f"at {height} x {size} px")
    require(isinstance(maps, FeatureMaps), who, f"forward_maps gives {type(maps).__name__}, not FeatureMaps")
    require(maps.strides == backbone.strides, who, f"strides {backbone.strides} are declared, and its feature maps say {maps.strides}")
    require(len(maps) == len(backbone.channels), who, f"{len(backbone.channels)} maps are declared, and {len(maps)} come")
    margins = backbone.margins_px or (None,) * len(maps)
    for index, (feature, channels, stride, margin) in enumerate(zip(maps.maps, backbone.channels, backbone.strides, margins, strict=True)):
        sides = [math.ceil(side / stride) if margin is None else (side - margin) // stride for side in (height, size)]
        expected = (1, channels, *sides)
        rule = f"stride {stride}" + (f" after a margin of {margin} px" if margin is not None else "")
        require(
            tuple(feature.shape) == expected,
            who,
            f"map {index} is {tuple(feature.shape)} at {height} x {size} px; {channels} channels at {rule} make {expected}",
        )
        require(bool(torch.isfinite(feature).all()), who, f"map {index} holds numbers that are not finite at {size} px")


def _check_steps(backbone: Backbone, size: int, who: str) -> None:
    """The pixels that a cell sees, found by gradients, lie one stride further for the next cell.

    Shapes alone would also pass for a network that looks elsewhere. Cells that see the whole width prove nothing, and are
    passed over.
    """
    for index, stride in enumerate(backbone.strides):
        x = _pictures(size, batch=2).requires_grad_()
        feature = backbone.forward_maps(x)[index]
        middle = feature.shape[3] // 2
        first, last = _seen(feature, x, slice(None))  # unpadded convolutions leave out a rim
        if _seen(feature, x, middle) == (first, last):
            continue
        seen = [_seen(feature, x, column) for column in range(max(0, middle - 2), min(feature.shape[3], middle + 3))]
        pairs = list(pairwise(seen))
        found = {b[0] - a[0] for a, b in pairs if a[0] > first} | {b[1] - a[1] for a, b in pairs if b[1] < last}
        require(
            all(moved % stride == 0 for moved in found) if backbone.in_windows else found <= {stride},
            who,
            f"map {index} declares stride {stride}, and what its cells see moves by {sorted(found)} px from one to the next",
        )


def _seen(feature: torch.Tensor, x: torch.Tensor, column: int | slice) -> tuple[int, int]:
    """First and last pixel column that a column of cells, or several, depends on."""
    if not feature.requires_grad:
        return 0, x.shape[3] - 1  # cut off from the picture: the exam of gradients says so
    (gradient,) = torch.autograd.grad(feature[..., column].square().sum(), x, retain_graph=True)
    columns = gradient.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    return (int(columns[0]), int(columns[-1])) if len(columns) else (0, x.shape[3] - 1)


def _check_classifier(backbone: Backbone, name: str, options: dict[str, Any], size: int, who: str) -> None:
    bare = create_backbone(name, **options).eval()
    prefix = backbone.classifier_name + "."
    names, bare_names = set(backbone.state_dict()), set(bare.state_dict())
    head = {entry for entry in names if entry.startswith(prefix)}
    require(bool(head), who, f"no tensor's name begins with classifier_name {prefix!r}")
    require(
        bare_names == names - head,
        who,
        f"without classes it should lack just {sorted(head)}, and differs in {sorted(bare_names ^ (names - head))}",
    )
    with torch.inference_mode():
        x = _pictures(size, batch=2)
        embedding, logits = backbone.embed(x), backbone(x)
        bare_out = bare(x)
    features = backbone.num_features
    require(
        tuple(embedding.shape) == (2, features),
        who,
        f"the embedding is {tuple(embedding.shape)}; num_features={features} makes (2, {features})",
    )
    require(tuple(logits.shape) == (2, _CLASSES), who, f"with {_CLASSES} classes the logits are {tuple(logits.shape)}")
    require(tuple(bare_out.shape) == (2, features), who, f"without classes the output is {tuple(bare_out.shape)}, not the embedding")


def _check_gradients(backbone: Backbone, size: int, who: str) -> None:
    gradients = _gradients(backbone, backbone(_pictures(size)))
    if backbone.side_parts:
        flat = torch.cat([feature.flatten() for feature in backbone.forward_maps(_pictures(size)).maps])
        gradients |= {name: gradient for name, gradient in _gradients(backbone, flat).items() if _on_the_side(backbone, name)}
    dead = [name for name, gradient in gradients.items() if gradient is None or not gradient.any()]
    require(not dead, who, f"no gradient reaches {', '.join(dead[:5])}")
    bad = [name for name, gradient in gradients.items() if gradient is not None and not torch.isfinite(gradient).all()]
    require(not bad, who, f"the gradient is not finite at {', '.join(bad[:5])}")


def _gradients(backbone: Backbone, output: torch.Tensor) -> dict[str, torch.Tensor | None]:
    """Of every parameter that may learn, for a sum that differs from output to output; None where it is not used."""
    named = [(name, parameter) for name, parameter in backbone.named_parameters() if parameter.requires_grad]
    if not output.requires_grad:
        return {name: None for name, _ in named}
    weights = torch.linspace(-1, 1, output.numel()).view(output.shape)
    found = torch.autograd.grad((output * weights).sum(), [parameter for _, parameter in named], allow_unused=True)
    return dict(zip([name for name, _ in named], found, strict=True))


def _on_the_side(backbone: Backbone, name: str) -> bool:
    return any(f"{name}.".startswith(f"{part}.") for part in backbone.side_parts)


def _check_rows(backbone: Backbone, size: int, who: str) -> None:
    """Other rows of the batch are replaced: the first must stay."""
    x = _pictures(size)
    other = torch.cat([x[:1], 3 * _pictures(size, batch=_BATCH - 1)]).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        first, second = backbone(x), backbone(other)
    difference = (first[0] - second[0]).abs().max().item()
    scale = first[0].abs().max().item()
    require(
        difference <= 1e-5 * scale,
        who,
        f"a row's answer changes by {difference:.2g} (of {scale:.2g}) with the other rows of its batch, in eval mode",
    )


def _check_freeze_points(backbone: Backbone, size: int, who: str) -> None:
    points = backbone.freeze_points()
    require(len(points) >= 2, who, f"{len(points)} freeze points; at least 2 are needed to freeze a part")
    for point in points:
        there = any(name == point or name.startswith(f"{point}.") for name, _ in backbone.named_parameters())
        require(there, who, f"the freeze point {point!r} names no part")
    names = [name for name, p in backbone.named_parameters() if p.requires_grad and not _on_the_side(backbone, name)]
    owner = {name: next((p for p in points if f"{name}.".startswith(p + ".")), None) for name in names}
    lost = [name for name, point in owner.items() if point is None and not name.startswith(backbone.classifier_name + ".")]
    require(not lost, who, f"no freeze point holds {', '.join(lost[:5])}")
    for index in range(len(backbone.strides)):
        gradients = _gradients(backbone, backbone.forward_maps(_pictures(size, batch=1))[index])
        reached = {owner[name] for name, gradient in gradients.items() if gradient is not None and name in owner}
        require(
            reached == set(points[: len(reached)]),
            who,
            f"freeze points are to follow the flow: map {index} depends on {sorted(map(str, reached))}, and the points are {points}",
        )
    half = set(points[: len(points) // 2])
    frozen = [parameter for name, parameter in backbone.named_parameters() if owner.get(name) in half and parameter.requires_grad]
    with _frozen(frozen):
        gradients = _gradients(backbone, backbone(_pictures(size)))
    dead = [name for name, gradient in gradients.items() if name in owner and (gradient is None or not gradient.any())]
    require(
        not dead and len(gradients) < len(owner),
        who,
        f"with the first {len(half)} freeze points frozen, no gradient reaches {', '.join(dead[:5])}",
    )


def _check_save_load(backbone: Backbone, name: str, options: dict[str, Any], size: int, who: str) -> None:
    passport = Passport(name="exam", sha256="", licence="none", trained_on="nothing", image_size_px=size, score="none", options=options)
    other = _create(name, options)
    own = weights_hash(backbone)
    require(weights_hash(other) != own, who, "two networks of different random weights have one hash")
    with tempfile.TemporaryDirectory() as folder:
        path = save_weights(backbone, Path(folder) / "exam.safetensors", passport)
        try:
            report = load_weights(other, path)
        except FoveaError as error:
            raise ExamFailed(f"{who}: what it saved cannot be loaded: {error}") from error
    require(not report.new and not report.unused, who, f"saved and loaded, {report.new or report.unused} are left over")
    require(weights_hash(other) == own, who, "saved and loaded, its tensors differ")
    x = _pictures(size)
    with torch.inference_mode():
        require(torch.equal(backbone(x), other(x)), who, "saved and loaded, it answers differently")


def _forward(call: Callable[[], FeatureMaps], who: str, where: str) -> FeatureMaps:
    try:
        return call()
    except (RuntimeError, FoveaError) as error:
        raise ExamFailed(f"{who}: it cannot run {where}: {str(error).splitlines()[0]}") from error


@contextmanager
def _frozen(parameters: list[torch.nn.Parameter]) -> Iterator[None]:
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
