"""What the papers claim of their networks and only training or gradients show: auxiliary heads, degradation, receptive fields."""

import time
from typing import TYPE_CHECKING

from benchmarks.harness.figures import Answer, Figure, Limit, Options, repeated

if TYPE_CHECKING:
    import torch

    from fovea.models.backbone import Backbone

ASKS = (
    "Do gradients reach the first layer of GoogLeNet only with its auxiliary heads (arXiv:1409.4842, section 5)? Does a plain network of 34 "
    "layers learn worse than one of 18, and than itself with shortcuts (arXiv:1512.03385, figure 4)? And how much of its theoretical "
    "receptive field does a cell look at (arXiv:1701.04128)?"
)
REPEATS = 3
NEEDS = ()

_AUXILIARY_WEIGHT = 0.3  # the paper's
_SIDE_PX, _BATCH = 224, 8
_INITIALISATIONS = ("Gaussian 0.01", "Glorot uniform", "He")
_GAINS = {"Gaussian 0.01": Limit(2.0, "at least"), "He": Limit(1.0)}  # a hundredfold where it is claimed, and not where He's rule rules
_FIRST, _LAST = "conv1.conv.weight", "inception5b.branch1.conv.weight"

_DIGIT_PX, _DIGIT_BATCH, _STEPS, _MEASURED = 32, 32, 150, 20
_NETWORKS = ("plain18", "resnet18", "plain34", "resnet34")

_FIELDS = {  # the side of the pictures must exceed the field
    "alexnet": (320, {}),
    "vgg16": (320, {}),
    "mobilenet_v1": (448, {"width": 0.25}),
    "mobilenet_v2": (640, {"width": 0.25}),
    "resnet18": (576, {"zero_init": False}),
}


def measure(options: Options) -> Answer:
    """All three; each repeat is another seed."""
    from fovea.versions import versions

    return Answer(
        figures=[*_gradients(options), *_degradation(options), *_fields(options)],
        notes=[
            f"Gradients: GoogLeNet without batch norm, ten classes, {_BATCH} of the built-in `shapes` at {_SIDE_PX} px, in training mode; the norm of "
            f"the loss's gradient at the first convolution over that at the last module's 1x1 convolution, as a power of ten; with the auxiliary "
            f"losses weighted {_AUXILIARY_WEIGHT}. The ratio also moves with its lower part: the norm at the first convolution stands beside it.",
            f"Degradation: the built-in `digits` at {_DIGIT_PX} px, batch norm, {_STEPS} steps of {_DIGIT_BATCH}, SGD 0.02 with momentum 0.9; the mean "
            f"training loss of the last {_MEASURED} steps. Differences are taken seed by seed: same pictures in the same order.",
            "Receptive fields: of the coarsest map, fresh weights, one picture of noise. The theoretical one is where gradients are not exactly zero "
            "(double precision), the effective one is four standard deviations of squared gradients wide. A Gaussian has kurtosis 3, a window 1.8. "
            "mobilenet_v1 and mobilenet_v2 at a quarter of their width, which leaves the fields as they are.",
        ],
        versions=versions("torch", "numpy"),
    )


def _gradients(options: Options) -> list[Figure]:
    import math

    import torch
    from torch.nn import functional as F

    from fovea.models.backbone import create_backbone

    pictures = _scenes()
    figures = []
    for way in _INITIALISATIONS:
        ratios: dict[str, list[float]] = {"the last loss alone": [], "with auxiliary losses": []}
        first: dict[str, list[float]] = {kind: [] for kind in ratios}
        for seed in range(options.repeats):
            torch.manual_seed(seed)
            network = create_backbone("googlenet", num_classes=10, norm="none", auxiliary=True).train()
            _initialise(network, way)
            logits, heads = network.forward_auxiliary(pictures)  # type: ignore[operator]
            targets = torch.arange(len(pictures)) % 10
            main = F.cross_entropy(logits, targets)
            aided = main + _AUXILIARY_WEIGHT * sum(F.cross_entropy(head, targets) for head in heads.values())
            ends = [network.get_parameter(name) for name in (_FIRST, _LAST)]
            for kind, loss in zip(ratios, (main, aided), strict=True):
                at_first, at_last = (float(g.double().norm()) for g in torch.autograd.grad(loss, ends, retain_graph=True))
                ratios[kind].append(math.log10(max(at_first, 1e-300) / max(at_last, 1e-300)))
                first[kind].append(math.log10(max(at_first, 1e-300)))
        options.say(f"gradients: {way}, n = {options.repeats}")
        figures += [repeated(f"{way}, {kind}: first / last", values, "decades", of="seeds") for kind, values in ratios.items()]
        alone, aided_ = first.values()
        gain = [more - less for less, more in zip(alone, aided_, strict=True)]
        figures += [
            repeated(f"{way}, the last loss alone: norm at the first convolution", alone, "decades", of="seeds"),
            repeated(f"{way}: gain there by auxiliary losses", gain, "decades", of="seeds", limit=_GAINS.get(way)),
        ]
    return figures


def _initialise(network: "torch.nn.Module", way: str) -> None:
    """First weights as people drew them before batch norm, biases zero; He's rule is the network's own."""
    from torch import nn

    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if way == "Gaussian 0.01":  # as AlexNet's
                nn.init.normal_(layer.weight, std=0.01)
            elif way == "Glorot uniform":
                nn.init.xavier_uniform_(layer.weight)
            else:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def _scenes() -> "torch.Tensor":
    """Pictures of `shapes`, (B, 3, H, W), normalised by their own mean and deviation."""
    import numpy as np
    import torch

    from fovea.data import decode, open_source

    with open_source("shapes", max_items=_BATCH) as source:
        pixels = np.stack([decode(source.read(item), path=item.path).pixels for item in source.items])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    return ((x - x.mean()) / x.std()).contiguous(memory_format=torch.channels_last)


def _degradation(options: Options) -> list[Figure]:
    losses: dict[str, list[float]] = {name: [] for name in _NETWORKS}
    pictures, targets = _digits()
    for seed in range(options.repeats):
        for name in _NETWORKS:
            started = time.perf_counter()
            losses[name].append(_final_loss(name, seed, pictures, targets))
            options.say(f"degradation: seed {seed}, {name}: {losses[name][-1]:.3f} after {time.perf_counter() - started:.0f} s")

    def less(of: str, than: str) -> list[float]:
        return [b - a for a, b in zip(losses[of], losses[than], strict=True)]

    return [
        *(repeated(f"{name}, training loss", values, "nats", of="seeds") for name, values in losses.items()),
        repeated("plain34 above plain18, least of the seeds", [min(less("plain18", "plain34"))], "nats", limit=Limit(0.2, "at least")),
        repeated("plain34 above resnet34, least of the seeds", [min(less("resnet34", "plain34"))], "nats", limit=Limit(0.2, "at least")),
        repeated("resnet34 above resnet18", less("resnet18", "resnet34"), "nats", of="seeds"),
    ]


def _digits() -> tuple["torch.Tensor", "torch.Tensor"]:
    import numpy as np
    import torch
    from torch.nn import functional as F

    from fovea.data import decode, open_source

    with open_source("digits") as source:
        pixels = np.stack([decode(source.read(item), path=item.path).pixels for item in source.items])
        targets = [int(str(item.label)) for item in source.items]
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    larger = F.interpolate(x, (_DIGIT_PX, _DIGIT_PX), mode="bilinear").contiguous(memory_format=torch.channels_last)
    return larger, torch.tensor(targets)


def _final_loss(name: str, seed: int, pictures: "torch.Tensor", targets: "torch.Tensor") -> float:
    import torch
    from torch.nn import functional as F

    from fovea.models.backbone import create_backbone

    torch.manual_seed(seed)
    options = {} if name.startswith("plain") else {"zero_init": False}  # the shortcuts are to be all that differs
    network = create_backbone(name, num_classes=10, **options).to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    order = torch.Generator().manual_seed(seed)
    losses = []
    for _ in range(_STEPS):
        rows = torch.randint(len(pictures), (_DIGIT_BATCH,), generator=order)
        loss = F.cross_entropy(network(pictures[rows]), targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return sum(losses[-_MEASURED:]) / _MEASURED


def _fields(options: Options) -> list[Figure]:
    figures = []
    for name, (side_px, choices) in _FIELDS.items():
        found = [_field(name, side_px, seed, choices) for seed in range(options.repeats)]
        options.say(f"receptive field: {name}, {found[0][0]:.0f} px and {found[0][1]:.0f} px")
        support, effective, kurtosis = (list(values) for values in zip(*found, strict=True))
        figures += [
            repeated(f"{name}, field by gradients", support, "px", of="seeds"),
            repeated(
                f"{name}, off the recursive formula",
                [abs(s - _by_formula(name, choices)) for s in support],
                "px",
                of="seeds",
                limit=Limit(0),
            ),
            repeated(f"{name}, effective field", effective, "px", of="seeds"),
            repeated(f"{name}, effective / theoretical", [e / s for e, s in zip(effective, support, strict=True)], "", of="seeds"),
            repeated(f"{name}, kurtosis", kurtosis, "", of="seeds"),
        ]
    return figures


def _by_formula(name: str, choices: dict[str, float]) -> int:
    """The theoretical field of the coarsest map, in pixels, by the recursive formula."""
    from fovea.models.backbone import create_backbone
    from fovea.models.summary import summarise

    return summarise(create_backbone(name, pooling="none", **choices), size_px=_FIELDS[name][0]).outputs[""][1][1].size_px


def _field(name: str, side_px: int, seed: int, choices: dict[str, float]) -> tuple[float, float, float]:
    import torch

    from fovea.explain.receptive import measure_fields
    from fovea.models.backbone import create_backbone

    torch.manual_seed(seed)
    backbone: Backbone = create_backbone(name, **choices)
    field = measure_fields(backbone, side_px=side_px, num_pictures=1, seed=seed)[-1]
    if not field.whole:
        raise ValueError(f"the field of {name} does not end within {side_px} px")
    return field.support_px, field.effective_px, field.kurtosis
