"""What several trained networks, or several views of each picture, answer together: chosen on the validation pictures alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from fovea.bundle import BundleInfo, load_bundle
from fovea.bundle.archive import read_files, unpack_arrays
from fovea.bundle.bundle import differences
from fovea.data import Source
from fovea.engines import open_engine
from fovea.engines.to_onnx import module_to_onnx, read_head
from fovea.errors import InputError
from fovea.evaluation.activation import activated, settle_temperature
from fovea.evaluation.paired import Doubles, losses
from fovea.loading.parallel import chunks, map_ordered
from fovea.loading.stored import StoredPictures
from fovea.models.averaged import VIEWS, Averaged, Both, mixed
from fovea.models.heads import Head, create_head
from fovea.models.network import Network
from fovea.progress import Progress, say
from fovea.selection.choose import choose
from fovea.tasks import Task
from fovea.training.run import load_metrics, load_settings
from fovea.training.settings import TrainSettings, checked
from fovea.training.strategy import Plan
from fovea.transforms.preprocessing import Preprocessing
from fovea.types import Floats, Ints, TargetArray

_TURN = 8  # pictures that a thread answers at once, as in embedding
_SHARES = tuple(round(0.1 * step, 1) for step in range(1, 10))  # of the second of two networks, where their weights are mixed
_MOST_OFF = 1e-3  # of a logit: a run's weights give what its bundle gives, but for the rounding of exports


@dataclass(frozen=True, eq=False)
class Member:
    """A finished run's network as it was shipped: the calibration is inside its head."""

    run: str
    network: Network
    info: BundleInfo
    settings: TrainSettings
    plan: Plan


@dataclass(frozen=True, eq=False)
class Way:
    """One way to answer, and what it says of the validation pictures.

    Args:
        name: In words.
        networks: Whose answers are averaged.
        views: A name of `VIEWS`.
        logits, embeddings: (N, K) and (N, D) of the validation rows.
        losses: (N,) with a temperature of its own.
        right: (N,) whether it was right; None where answers are not simply right or wrong.
    """

    name: str
    networks: tuple[Network, ...]
    views: str
    logits: Floats
    embeddings: Floats
    losses: Doubles
    right: Doubles | None = None

    @property
    def num_passes(self) -> int:
        """How often a network looks for one answer."""
        return len(self.networks) * VIEWS[self.views].num_views

    def better_than(self, other: "Way") -> tuple[float, float]:
        """By how much its mean loss is lower on the same pictures, and the standard error of that."""
        apart = other.losses - self.losses
        return float(apart.mean()), float(apart.std() / max(1, len(apart)) ** 0.5)


def load_member(run: str, data: str, source: Source) -> Member:
    """A run's network, out of its checkpoint and its bundle, which must answer alike.

    Raises:
        InputError: It is no finished training, has other classes than the data, or its weights and its bundle are not of one training.
    """
    settings, metrics, bundle = load_settings(run), load_metrics(run), load_bundle(run)
    files = read_files(Path(run))
    layers, golden, info = read_head(files["model.onnx"]), unpack_arrays(files["golden.npz"], path=Path(run)), bundle.info
    if tuple(info.class_names) != tuple(source.class_names):
        raise InputError(
            f"the pictures have other classes than {run!r}", got=", ".join(source.class_names[:8]), expected=", ".join(info.class_names[:8]),
            fix="name the data that the run learned from with --data",
        )  # fmt: skip
    asked = checked(
        data=data, task=metrics.task, strategy="probe", weights=run, image_size=info.preprocessing.size_px, engine=settings.engine
    )
    plan = choose(asked, source)
    network = plan.network
    network.head = _head(settings.head, layers, run)
    network.eval()
    answer = plan.goal.answer
    off = differences({answer: _answers(network, golden["pixels"].astype(np.uint8), plan.goal)}, {answer: golden[answer]})
    if off:
        raise InputError(
            f"the weights in the checkpoint of {run!r} and its bundle are not of one training", got=off, expected="the same answers",
            fix="train it again",
        )  # fmt: skip
    return Member(run, network, info, settings, plan)


def _head(asked: str, layers: list[tuple[Floats, Floats]], run: str) -> Head:
    import torch

    for name in dict.fromkeys([{1: "linear", 2: "mlp"}.get(len(layers), asked), asked]):
        if not layers:
            break
        head = create_head(name, num_features=layers[0][0].shape[1], num_classes=layers[-1][0].shape[0])
        if [tuple(layer.weight.shape) for layer in head.dense_layers()] == [weight.shape for weight, _ in layers]:
            with torch.no_grad():
                for layer, (weight, bias) in zip(head.dense_layers(), layers, strict=True):
                    layer.weight.copy_(torch.from_numpy(weight))
                    layer.bias.copy_(torch.from_numpy(bias))
            return head
    raise InputError(
        f"the head of {run!r} cannot be taken over", got=f"{len(layers)} dense layers", expected="a head of a registered kind",
        fix="train with --head linear or mlp",
    )  # fmt: skip


def _answers(network: Network, pixels: Any, goal: Task) -> Floats:
    import torch

    with torch.inference_mode():
        return activated(goal.activation, network.answers(torch.from_numpy(pixels))[1].numpy(), 1.0)


@dataclass(frozen=True, eq=False)
class Judge:
    """Asks networks about validation pictures. Nothing here ever sees a test picture.

    Args:
        pictures: All of the data.
        goal: The task.
        preprocessing: What the networks were trained with.
        targets: Of all pictures.
        rows: Those of validation.
        engine: Which engine runs the networks.
        spread: (K,) deviation of numbers among the training targets, or None.
        tried: Every way that was asked, with what came of it, as the report shows it.
    """

    pictures: StoredPictures
    goal: Task
    preprocessing: Preprocessing
    targets: TargetArray
    rows: Ints
    engine: str
    spread: Floats | None = None
    tried: list[dict[str, Any]] = field(default_factory=list)

    def module(self, networks: Sequence[Network], views: str, lengths: Sequence[float] | None = None) -> nn.Module:
        """What is exported: one network as it is, or several networks or views as one."""
        if len(networks) == 1 and views == "none":
            return Both(networks[0])
        return Averaged(networks, views=views, size_px=self.preprocessing.size_px, activation=self.goal.activation, lengths=lengths)

    def ask(self, module: nn.Module, views: str, rows: Ints) -> tuple[Floats, Floats]:
        """Embeddings (N, D) and logits (N, K) of some rows."""
        way = VIEWS[views].wider(self.preprocessing)
        engine = open_engine(module_to_onnx(module, size_px=way.size_px, outputs=("embedding", "logits")), name=self.engine)
        pictures = self.pictures.resized(way)

        def look(turn: range) -> dict[str, Floats]:
            return engine(np.stack([pictures.read(int(rows[place])) for place in turn]), ("embedding", "logits"))

        found = []
        with Progress("answering", total=len(rows)) as bar:
            for answers in map_ordered(look, chunks(len(rows), _TURN)):
                found.append(answers)
                bar.advance(len(answers["logits"]))
            pictures.flush()
        return tuple(np.concatenate([answers[name] for answers in found]) for name in ("embedding", "logits"))  # type: ignore[return-value]

    def way(self, name: str, networks: Sequence[Network], views: str = "none") -> Way:
        """Asks these networks, with these views."""
        say(f"asking {name}")
        embeddings, logits = self.ask(self.module(networks, views), views, self.rows)
        return self.judged(name, networks, views, logits, embeddings)

    def judged(self, name: str, networks: Sequence[Network], views: str, logits: Floats, embeddings: Floats) -> Way:
        """What answers are worth, each with the temperature that suits it."""
        kind, true = self.goal.activation, self.targets[self.rows]
        found = losses(kind, activated(kind, logits, settle_temperature(kind, logits, true)), true, spread=self.spread)
        right = (logits.argmax(axis=1) == true).astype(np.float64) if kind == "softmax" else None
        return Way(name, tuple(networks), views, logits, embeddings, found, right)

    def together(self, name: str, ways: Sequence[Way]) -> Way:
        """The mean of the answers that several ways have given already."""
        kind = self.goal.activation
        mean = np.mean([activated(kind, way.logits, 1.0).astype(np.float64) for way in ways], axis=0)
        if kind == "softmax":
            mean = np.log(np.maximum(mean, 1e-12))
        elif kind == "sigmoid":
            mean = np.log(mean := np.clip(mean, 1e-6, 1 - 1e-6)) - np.log(1 - mean)
        embeddings = np.concatenate([way.embeddings for way in ways], axis=1)
        return self.judged(name, [network for way in ways for network in way.networks], "none", mean.astype(np.float32), embeddings)

    def note(self, way: Way, verdict: str) -> None:
        """Keeps what came of a way."""
        self.tried.append(
            {
                "name": way.name, "n": len(way.losses), "loss": float(way.losses.mean()),
                "accuracy": None if way.right is None else float(way.right.mean()), "passes": way.num_passes, "verdict": verdict,
            }
        )  # fmt: skip


def ensemble(judge: Judge, singles: Sequence[Way]) -> Way:
    """Greedily from the best one on (Caruana et al. 2004, doi:10.1145/1015330.1015432): a network that costs a pass must lower the loss by more than one standard error."""

    def add(taken: Sequence[Way], other: Way) -> Way:
        return judge.together(f"the answers of {len(taken) + 1} networks, {other.name} among them", [*taken, other])

    return _greedy(judge, singles, add, costs=True)


def soup(judge: Judge, singles: Sequence[Way]) -> Way:
    """A greedy soup (Wortsman et al. 2022, arXiv:2203.05482): weights are mixed as long as that lowers the loss, which costs nothing later."""

    def add(taken: Sequence[Way], other: Way) -> Way:
        networks = [way.networks[0] for way in [*taken, other]]
        return judge.way(f"the weights of {len(networks)} networks, {other.name} among them", [mixed(networks, [1.0] * len(networks))])

    return _greedy(judge, singles, add, costs=False)


def _greedy(judge: Judge, singles: Sequence[Way], add: Callable[[Sequence[Way], Way], Way], *, costs: bool) -> Way:
    first, *others = sorted(singles, key=lambda way: float(way.losses.mean()))
    taken, best = [first], first
    for other in others:
        more = add(taken, other)
        gain, error = more.better_than(best)
        better = gain > (error if costs else 0.0)
        judge.note(more, f"loss lower by {gain:.4f} (standard error {error:.4f}): {'taken' if better else 'left out'}")
        if better:
            taken, best = [*taken, other], more
    return best


def wise_ft(judge: Judge, singles: Sequence[Way]) -> Way:
    """On the line from the first network's weights to the second's (Wortsman et al. 2022, arXiv:2109.01903), ends included: the lowest loss."""
    first, second = singles
    on_the_way = []
    for share in _SHARES:
        network = mixed([first.networks[0], second.networks[0]], [1 - share, share])
        on_the_way.append(judge.way(f"the weights, {share:.0%} of the way from {first.name} to {second.name}", [network]))
    best = min([first, *on_the_way, second], key=lambda way: float(way.losses.mean()))
    for way in on_the_way:
        judge.note(way, "taken: the lowest loss" if way is best else "a higher loss")
    return best


def look_again(judge: Judge, way: Way, views: Sequence[str], *, asked: bool) -> Way:
    """The same with the views that lower the loss most; they cost passes, and must lower it by more than one standard error, unless they were asked for."""
    ways = [judge.way(VIEWS[name].words, way.networks, name) for name in views]
    best = min(ways, key=lambda found: float(found.losses.mean()), default=way)
    # the cheapest that the best is not better than by more than one standard error
    taken = best if asked else next(found for found in [way, *ways] if found is best or (apart := best.better_than(found))[0] <= apart[1])
    for found in ways:
        gain, error = found.better_than(way)
        said = f"loss {'lower' if gain >= 0 else 'higher'} by {abs(gain):.4f} than one look (standard error {error:.4f})"
        judge.note(found, f"{said}: {'taken' if found is taken else 'left out'}" + (", since it was asked for" if asked else ""))
    return taken
