"""See transfer learning work, in a minute, on data that comes along: handwritten digits."""

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from fovea.bundle.format import Calibration
from fovea.data import assign_splits, decode, open_source
from fovea.engines.to_onnx import module_to_onnx
from fovea.errors import InputError, OutputError
from fovea.evaluation.answers import Answering
from fovea.evaluation.calibrate import calibrated, fit_temperature
from fovea.export.bundles import Trained, write_bundle
from fovea.files import ready_folder, write_json
from fovea.loading.batches import ArrayBatches
from fovea.loading.scan import scan
from fovea.models.backbone import count_parameters, create_backbone
from fovea.models.freezing import freeze
from fovea.models.heads import create_head
from fovea.models.heads.linear import LinearHead
from fovea.models.network import Network, PixelBackbone
from fovea.progress import say
from fovea.recipes._results import command_line
from fovea.recipes._weights_run import drawn_from, fresh_body
from fovea.report import ReportData, Thumb, write_report
from fovea.tasks import create_task
from fovea.timing import Stopwatch
from fovea.training.logistic import fit_logistic
from fovea.training.loop import Epoch, fit, predict_logits
from fovea.training.method import Method, Stopping
from fovea.transforms.preprocessing import square
from fovea.types import SPLITS, Ints, Pixels
from fovea.versions import versions

_SIZE_PX = 28  # the network's own; the digits are 8 px and are enlarged
_FIRST, _SECOND = (0, 1, 2, 3, 4), (5, 6, 7, 8, 9)
_FROZEN = "convolutions frozen"
_BATCH_SIZE, _LR = 32, 1e-3  # the texts take 0.01 for 5-9, on 30,000 pictures
_ALL, _NUM_EACH = tuple(range(10)), 10
_PACKAGED, _PACKAGED_PX = "fovea_tiny", 64  # there is no more to see in enlarged digits
_EPOCHS_OF_FEW = {_PACKAGED: 30, "convnet": 60}  # 100 pictures: three or four steps an epoch


@dataclass(frozen=True)
class Digits:
    """The pictures (N, 28, 28, 3), which digit each is, and its split."""

    pictures: Pixels
    labels: Ints
    splits: npt.NDArray[np.str_]

    def rows(self, which: Sequence[int], split: str) -> Ints:
        """The row numbers of these digits in this split."""
        return np.flatnonzero(np.isin(self.labels, which) & (self.splits == split))

    def examples(self, which: Sequence[int], split: str, *, seed: int = 0) -> ArrayBatches:
        """What a network learns from, in an order drawn from the seed for training: digits numbered in the order of `which`."""
        rows, shuffle = self.rows(which, split), split == "train"
        return ArrayBatches(self.pictures, self.labels - which[0], rows, batch_size=_BATCH_SIZE, shuffle=shuffle, seed=seed)


@dataclass(frozen=True)
class Way:
    """One way to begin the second task, and what came of it."""

    name: str
    network: Network
    temperature: float
    metrics: dict[str, Any]
    seconds: float
    num_trained: int
    history: list[Epoch]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "n": self.metrics["n"],
            "accuracy": self.metrics["accuracy"],
            "accuracy_ci95": self.metrics["accuracy_ci95"],
            "loss": self.metrics["nll"],
            "seconds": round(self.seconds, 2),
            "num_trained": self.num_trained,
            "history": [row.row() for row in self.history],
        }


@dataclass(frozen=True)
class Demo:
    """The ways side by side, and where to look.

    Args:
        ways: To 5-9, from a network that knows 0-4.
        few: To all ten, from a few pictures of each: with the backbone in the package, and from nothing.
        report, bundle: Where they stand.
    """

    ways: list[Way]
    few: list[Way]
    report: Path
    bundle: Path

    def to_json(self) -> dict[str, Any]:
        return {
            "ways": [way.to_json() for way in self.ways],
            "few": [way.to_json() for way in self.few],
            "report": str(self.report),
            "bundle": str(self.bundle),
        }

    def to_text(self) -> str:
        lines: list[str] = []
        for title, ways in (
            (f"all ten digits, from {_NUM_EACH} pictures of each", self.few),
            ("the digits 5-9, after learning 0-4", self.ways),
        ):
            lines += [*([""] if lines else []), f"{title:<48}{'right':>8}   {'95 % interval':<16}{'loss':>7}{'seconds':>9}"]
            for way in ways:
                low, high = way.metrics["accuracy_ci95"]
                interval = f"{low:.1%} to {high:.1%}"
                lines.append(f"{way.name:<48}{way.metrics['accuracy']:>8.1%}   {interval:<16}{way.metrics['nll']:>7.3f}{way.seconds:>9.1f}")
        return "\n".join([*lines, "", f"the model, ready to ship: {self.bundle}", f"open this in a browser:   {self.report}"])


def demo(*, out: str = "fovea-demo", epochs: int = 10, seed: int = 0, overwrite: bool = False) -> Demo:
    """Watch transfer learning work on handwritten digits: from photographs, and from other digits.

    First all ten digits from a few pictures of each: with the backbone in the package, which learned from photographs, and from nothing.
    Then the standard texts' experiment: 0-4, and from there 5-9 with the first layers frozen, fresh, or free.

    Args:
        out: The folder to write.
        epochs: Passes over the pictures, the same for each way.
        seed: Of everything that is drawn by chance.
        overwrite: Replace an earlier demo in `out`.

    Returns:
        Accuracy with its interval, loss and seconds of each way, and the places of the report and the bundle.
    """
    if epochs < 1:
        raise InputError("--epochs is less than one", got=str(epochs), expected="1 or more", fix="leave it out for 10")
    folder = ready_folder(out)
    if any(folder.iterdir()) and not overwrite:
        raise OutputError(
            f"{out!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another --out, or add --overwrite"
        )
    watch = Stopwatch()
    with open_source("digits") as source:
        seen = scan(source)
        splits = assign_splits(seen.items, seen.hashes, seed=seed)
        way = square(_SIZE_PX)
        decoded = [decode(source.read(item), path=item.path).pixels for item in seen.items]
    pictures = np.stack([way.apply(pixels) for pixels in decoded])
    digits = Digits(pictures, np.array([int(item.label or 0) for item in seen.items]), np.array(splits))

    few = from_few(digits, decoded, seed=seed)
    ways = three_ways(digits, epochs=epochs, seed=seed)
    kept = next(way for way in ways if way.name == _FROZEN)
    write_bundle(
        folder / "bundle",
        Trained(
            kept.network, module_to_onnx(kept.network.body, size_px=_SIZE_PX), "convnet", Answering(Calibration(temperature=kept.temperature)),
            square(_SIZE_PX),
            create_task("classification", tuple(map(str, _SECOND))),
        ),
        pictures=pictures[digits.rows(_SECOND, "train")[:16]],
        strategy="frozen",
        metrics={"test": kept.metrics},
    )  # fmt: skip
    result = Demo(ways, few, folder / "report.html", folder / "bundle")
    write_json(folder / "metrics.json", result.to_json())
    examples = [digits.rows([digit], "train")[place] for digit in _SECOND for place in range(3)]
    write_report(
        result.report,
        ReportData(
            title="Transfer learning on handwritten digits",
            asked={
                "Data": "scikit-learn's handwritten digits, 1,797 pictures of 8 px",
                "Question": "does a network that knows the digits 0-4 learn 5-9 better than a fresh one?",
                "Network": "the texts' two convolutions and two dense layers, 28 px",
                "Epochs": f"{epochs}, the same for each way",
                "Seed": str(seed),
            },
            command=command_line("demo", out=out, epochs=epochs, seed=seed),
            notes=[
                "Each way learned from the same pictures of 5-9 for the same number of epochs, and was tested once, on the same pictures.",
                "Frozen means that the convolutions keep what they learned from 0-4; only the dense layers learn.",
                "The bundle holds the network with the frozen convolutions.",
                f"Before that, all ten digits were learned from {_NUM_EACH} pictures of each: "
                + "; ".join(f"{way.name}, right on {way.metrics['accuracy']:.1%} of {way.metrics['n']}" for way in few)
                + ".",
            ],
            class_names=[str(digit) for digit in _SECOND],
            num_files={split: len(digits.rows(_SECOND, split)) for split in SPLITS},
            class_counts={split: {str(digit): len(digits.rows([digit], split)) for digit in _SECOND} for split in SPLITS},
            examples=[Thumb(pictures[row], seen.items[row].path, seen.items[row].label or "") for row in examples],
            comparison=[way.to_json() for way in ways],
            test=kept.metrics,
            reliability=kept.metrics["reliability"],
            timing=watch.seconds(),
            versions=versions("fovea", "numpy", "onnxruntime", "scikit-learn", "torch"),
            seed=seed,
        ),
    )
    return result


def from_few(digits: Digits, decoded: Sequence[Pixels], *, seed: int, num_each: int = _NUM_EACH) -> list[Way]:
    """Learns all ten from a few pictures of each: with the backbone in the package, and from nothing. No other picture has a part in it.

    Args:
        digits: Pictures of all ten.
        decoded: The same, as they were decoded, to be brought to the backbone's own size.
        seed: Of everything that is drawn by chance.
        num_each: Training pictures of each digit.
    """
    rng = np.random.default_rng(seed)  # not the first of each, which one person wrote
    rows = np.concatenate([rng.permutation(digits.rows([digit], "train"))[:num_each] for digit in _ALL])
    say(f"learning all ten digits from {num_each} pictures of each")
    larger = replace(digits, pictures=np.stack([square(_PACKAGED_PX).apply(pixels) for pixels in decoded]))
    started, body = time.perf_counter(), fresh_body(_PACKAGED, "auto", None, seed=seed)[0]
    vectors = predict_logits(body, larger.pictures, 256, rows=rows)
    fitted = fit_logistic(vectors, digits.labels[rows], rows, num_classes=len(_ALL), seed=seed)
    probe = Network(body, LinearHead.from_arrays(fitted.weight, fitted.bias))
    way = _measured(f"{_PACKAGED}, learned from photographs: a probe", probe, larger, [], time.perf_counter() - started, _ALL)
    ways = [replace(way, num_trained=count_parameters(probe.head))]
    with drawn_from(seed):
        head = create_head("linear", num_features=body.backbone.num_features, num_classes=len(_ALL))
    same = Network(fresh_body(_PACKAGED, "none", None, seed=seed)[0], head)
    for name, network, shown, epochs in (
        (f"{_PACKAGED}, from nothing", same, larger, _EPOCHS_OF_FEW[_PACKAGED]),
        ("the texts' small network, from nothing", _fresh(seed, len(_ALL)), digits, _EPOCHS_OF_FEW["convnet"]),
    ):
        started = time.perf_counter()
        train = ArrayBatches(shown.pictures, digits.labels, rows, batch_size=_BATCH_SIZE, shuffle=True, seed=seed)
        method = Method(epochs, lr=_LR, seed=seed, stop=Stopping(patience=epochs))
        history = fit(network, train, ArrayBatches(shown.pictures, digits.labels, rows[:0]), method=method)
        ways.append(_measured(name, network, shown, history, time.perf_counter() - started, _ALL))
    return ways


def three_ways(digits: Digits, *, epochs: int, seed: int, lr: float = _LR, first_lr: float = _LR) -> list[Way]:
    """Learns 0-4, and from there 5-9: with the convolutions frozen, from fresh weights, and with nothing frozen.

    Args:
        digits: Pictures of all ten.
        epochs: For each of the four trainings.
        seed: Of everything that is drawn by chance.
        lr: Adam's rate for 5-9.
        first_lr: Its rate for 0-4.
    """
    say("learning the digits 0-4")
    first = _fresh(seed)
    _learn(first, digits, _FIRST, Method(epochs, lr=first_lr, seed=seed))
    ways: list[Way] = []
    for name, network in (
        (_FROZEN, _frozen(copy.deepcopy(first))),
        ("everything re-initialised", _fresh(seed + 1)),
        ("nothing frozen", copy.deepcopy(first)),
    ):
        say(f"learning the digits 5-9: {name}")
        started = time.perf_counter()
        history = _learn(network, digits, _SECOND, Method(epochs, lr=lr, seed=seed))
        ways.append(_measured(name, network, digits, history, time.perf_counter() - started))
    return ways


def _fresh(seed: int, num_classes: int = 5) -> Network:
    """The texts' digits network with random weights drawn from the seed; its last dropout stands before the head."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = PixelBackbone(create_backbone("convnet", variant="transfer"), (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
        return Network(body, create_head("linear", num_features=body.backbone.num_features, num_classes=num_classes))


def _frozen(network: Network) -> Network:
    """The same network, whose convolutions no longer learn."""
    network.body.backbone = freeze(network.body.backbone, names=["convs"])
    return network


def _learn(network: Network, digits: Digits, which: Sequence[int], method: Method) -> list[Epoch]:
    # no early stopping: the ways are compared after the same number of epochs
    method = replace(method, stop=Stopping(patience=method.epochs))
    return fit(network, digits.examples(which, "train", seed=method.seed), digits.examples(which, "validation"), method=method)


def _measured(
    name: str, network: Network, digits: Digits, history: list[Epoch], seconds: float, which: Sequence[int] = _SECOND
) -> Way:  # fmt: skip
    """Calibrates on validation, then answers the test pictures, once."""
    validation, test = digits.examples(which, "validation"), digits.examples(which, "test")
    true = validation.targets[validation.rows].astype(np.int64)
    temperature = fit_temperature(predict_logits(network, digits.pictures, 256, rows=validation.rows), true)
    probabilities = calibrated(predict_logits(network, digits.pictures, 256, rows=test.rows), Calibration(temperature=temperature))
    metrics = create_task("classification", tuple(map(str, which))).metrics({"probabilities": probabilities}, test.targets[test.rows])
    return Way(name, network, temperature, metrics, seconds, count_parameters(network), history)
