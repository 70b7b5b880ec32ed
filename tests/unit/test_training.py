"""The loop's friends: optimizers, schedules, stopping, penalties, averages, balance; what goes wrong names its pictures and its way out."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.shared_runs import paint
from tests.stopped import Stop, stopped_after
from torch import nn

import fovea
from fovea.errors import InputError, TrainingFailed, UnknownName
from fovea.loading.batches import ArrayBatches
from fovea.losses.classification import cross_entropy, with_auxiliary
from fovea.models.backbone import create_backbone
from fovea.models.freezing import freeze, unfreeze
from fovea.progress import shown
from fovea.training import loop
from fovea.training.checkpoint import FAILED, LAST, load_checkpoint
from fovea.training.goal import goal_of
from fovea.training.loop import Goal, fit
from fovea.training.memory import check_memory
from fovea.training.method import Method, Stopping
from fovea.training.optimizers import OPTIMIZERS
from fovea.training.run import load_history
from fovea.training.schedules import SCHEDULES, Moment, lr_factor
from fovea.training.settings import TrainSettings
from fovea.training.state import history_table
from fovea.training.strategies.finetune import Finetune, layerwise
from fovea.training.strategies.frozen import Frozen
from fovea.training.strategies.scratch import Scratch

METHOD = Method(epochs=4, lr=0.02, seed=5)


def made(rows: int = 96, *, balanced: bool = False) -> tuple[nn.Module, ArrayBatches, ArrayBatches]:
    """Three blobs that a small network with batch norm and dropout tells apart."""
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 3, rows)
    inputs = (rng.normal(size=(rows, 6)) + 2 * np.eye(3, 6)[targets]).astype(np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))
    cut = rows * 3 // 4
    train = ArrayBatches(inputs, targets, np.arange(cut), batch_size=8, shuffle=True, seed=5, balanced=balanced)
    return model, train, ArrayBatches(inputs, targets, np.arange(cut, rows), batch_size=8)


WAYS = [
    *[{"optimizer": name, "lr": OPTIMIZERS[name].info.lr} for name in OPTIMIZERS.names()],
    *[{"schedule": name} for name in SCHEDULES.names()],
    {"ema_decay": 0.9},
    {"l1": 1e-3, "l2": 1e-3, "weight_decay": 1e-2, "label_smoothing": 0.1, "clip_norm": 0.5},
    {"warmup_epochs": 1.5, "precision": "bfloat16"},
]


@pytest.mark.parametrize(
    ("found", "slow"),
    [
        ({"architecture": "x86_64", "avx512_bf16": False, "amx_bf16": False}, True),
        ({"architecture": "x86_64", "avx512_bf16": True}, False),
        ({"architecture": "aarch64"}, False),
        ({}, False),
    ],
)
def test_a_processor_without_bfloat16_is_named(
    found: dict[str, Any], slow: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    model, train, validation = made()
    for precision in ("float32", "bfloat16"):
        with shown():
            fit(model, train, validation, method=replace(METHOD, precision=precision, epochs=1))
        said = capsys.readouterr().err
        assert ("no instructions for bfloat16" in said) == (slow and precision == "bfloat16"), said


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_every_way_learns_and_is_taken_up_exactly(way: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lower loss than at the start, and bit for bit the same after a kill in the middle of an epoch."""
    monkeypatch.setattr(loop, "_SAVE_S", 0.0)
    method = replace(METHOD, **way)
    model, train, validation = made()
    before, _, _ = loop.evaluate(model, validation)
    history = fit(model, train, validation, method=method)
    assert min(row.loss for row in history if row.split == "validation") < before
    parted, train, validation = made()
    stopped_after(train, 14, monkeypatch)
    with pytest.raises(Stop):
        fit(parted, train, validation, method=method, checkpoint=tmp_path)
    parted, train, validation = made()
    fit(parted, train, validation, method=method, checkpoint=tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, parted.state_dict()[name]), name


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("constant", {}, [1, 1, 1, 1]),
        ("step", {}, [1, 1, 0.1, 0.01]),
        ("step", {"every": 5, "factor": 0.5}, [1, 1, 0.5, 0.5]),
        ("exponential", {"factor": 0.5}, [1, 0.5**2.5, 0.5**5, 0.5**9]),
        ("cosine", {}, [1, 0.5 * (1 + math.cos(math.pi / 4)), 0.5, 0.5 * (1 + math.cos(0.9 * math.pi))]),
        ("one_cycle", {"rise": 0.5}, [0.04, 0.52, 1, 1e-4 + (1 - 1e-4) * 0.5 * (1 + math.cos(0.8 * math.pi))]),
    ],
)
def test_schedules_are_their_formulas(name: str, options: dict[str, float], expected: list[float]) -> None:
    found = [lr_factor(name, Moment(epoch, 10), options=options) for epoch in (0, 2.5, 5, 9)]
    assert found == pytest.approx(expected)


def test_a_plateau_lowers_the_rate_and_a_warm_up_raises_it() -> None:
    falling, flat = (1.0, 0.9, 0.8), (1.0,) + (1.0,) * 10
    assert lr_factor("plateau", Moment(3, 20, falling), options={"patience": 5}) == 1
    assert lr_factor("plateau", Moment(11, 20, flat), options={"patience": 5}) == pytest.approx(0.01)
    rising = [lr_factor("cosine", Moment(epoch, 10), warmup_epochs=2) for epoch in (0, 1, 2, 10)]
    assert rising == pytest.approx([0, 0.5, 1, 0], abs=1e-3)
    part = [lr_factor("cosine", Moment(epoch, 3), warmup_epochs=0.5) for epoch in (0.5, 1.75, 3)]
    assert part == pytest.approx([1, 0.5, 0]), "what a warm-up leaves need not be whole epochs"
    with pytest.raises(InputError, match="no option 'patience'"):
        lr_factor("cosine", Moment(0, 1), options={"patience": 3})
    with pytest.raises(UnknownName, match="cosine"):
        lr_factor("cosin", Moment(0, 1))


@pytest.mark.parametrize(
    ("stop", "values", "best", "stale"),
    [
        (Stopping(), [3, 2, 2.5, 2.6], 1, 2),
        (Stopping(min_delta=0.6), [3, 2.5, 2.3, 2.2], 2, 1),
        (Stopping(mode="max"), [0.5, 0.7, 0.6], 1, 1),
        (Stopping(monitor="accuracy"), [0.5, 0.7, 0.6], 1, 1),
        (Stopping(monitor="error", mode="min"), [0.5, 0.7, 0.4], 2, 0),
        (Stopping(baseline=1.0), [3, 2, 1.5], -1, 3),
        (Stopping(baseline=1.0), [3, 0.9, 1.5], 1, 1),
    ],
)
def test_stopping(stop: Stopping, values: list[float], best: int, stale: int) -> None:
    assert stop.best_and_stale(values) == (best, stale)


def test_it_ends_early_with_the_weights_of_the_best_epoch() -> None:
    model, train, validation = made(40)
    history = fit(model, train, validation, method=replace(METHOD, epochs=60, lr=0.5, stop=Stopping(patience=3)))
    losses = [row.loss for row in history if row.split == "validation"]
    assert len(losses) < 60
    assert loop.evaluate(model, validation)[0] == pytest.approx(min(losses), rel=1e-5)
    model, train, validation = made(40)
    begun = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    fit(model, train, validation, method=replace(METHOD, lr=1e-6, stop=Stopping(baseline=0.0, patience=2)))
    assert all(torch.equal(tensor, begun[name]) for name, tensor in model.state_dict().items()), "nothing has beaten the baseline"


def test_penalties_and_clipping_do_what_they_say() -> None:
    plain, strong = (fit_weights(replace(METHOD, l2=l2)) for l2 in (0.0, 0.1))
    assert strong < plain / 2
    model, train, validation = made()
    begun = [p.detach().clone() for p in model.parameters()]
    fit(model, train, validation, method=replace(METHOD, epochs=1, optimizer="sgd", lr=1.0, clip_norm=1e-4))
    assert max(float((a - b).detach().abs().max()) for a, b in zip(begun, model.parameters(), strict=True)) < 1e-4 * len(train) * 1.01


def fit_weights(method: Method) -> float:
    model, train, validation = made()
    fit(model, train, validation, method=replace(method, stop=Stopping(restore_best=False)))
    return sum(float(p.detach().square().sum()) for p in model.parameters() if p.ndim > 1)


def test_rare_classes_count_more_or_come_more_often() -> None:
    targets = np.array([0] * 90 + [1] * 10)
    batches = ArrayBatches(np.zeros((100, 1), np.float32), targets, batch_size=10, shuffle=True, seed=0, balanced=True)
    drawn = np.concatenate([answers for epoch in range(10) for _, answers in batches.epoch(epoch)])
    assert 0.4 < drawn.mean() < 0.6
    goal = goal_of(replace(METHOD, balance="weights"), targets, 2)
    wrong = torch.tensor([[5.0, 0.0]])
    even = cross_entropy(wrong.repeat(100, 1), torch.from_numpy(targets))
    assert goal.loss(wrong.repeat(100, 1), torch.from_numpy(targets)) > 4 * even


def test_losses_and_metrics_of_your_own() -> None:
    model, train, validation = made()
    goal = Goal(
        loss=nn.functional.multi_margin_loss,
        metrics={"worst_class": lambda logits, targets: min(float((logits.argmax(1) == targets)[targets == k].mean()) for k in range(3))},
    )
    history = fit(model, train, validation, method=replace(METHOD, stop=Stopping(monitor="worst_class", mode="max")), goal=goal)
    head, rows = history_table(history)
    assert head == ["epoch", "split", "loss", "accuracy", "worst_class", "lr", "seconds"]
    assert rows[0][4] == ""
    assert 0 <= rows[1][4] <= 1


def test_auxiliary_heads_are_weighed_in() -> None:
    assert with_auxiliary(torch.tensor(1.0), {"a": torch.tensor(2.0), "b": torch.tensor(3.0)}) == pytest.approx(1 + 0.3 * 5)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.main, self.side = nn.Linear(6, 8), nn.Linear(8, 3), nn.Linear(8, 3)

        def forward(self, x: torch.Tensor) -> Any:
            x = torch.relu(self.body(x))
            return (self.main(x), {"side": self.side(x)}) if self.training else self.main(x)

    model = Two()
    begun = model.side.weight.detach().clone()
    _, train, validation = made()
    fit(model, train, validation, method=METHOD)
    assert not torch.equal(begun, model.side.weight)


def test_a_loss_that_is_no_number_names_the_batch_and_keeps_the_last_good_weights(tmp_path: Path) -> None:
    model, train, validation = made()

    def spoil(network: nn.Module, history: list[Any]) -> None:
        train.inputs[17] = np.nan  # from the second epoch on

    with pytest.raises(TrainingFailed, match="in epoch 2") as caught:
        fit(model, train, validation, method=METHOD, checkpoint=tmp_path, watchers=[spoil])
    assert "smaller --lr" in caught.value.fix
    assert str(tmp_path) in caught.value.expected
    batch = (tmp_path / FAILED).read_text().split("\n")
    assert "example 17" in batch
    assert len(batch) == 8 + 1, "the whole batch, a line each"
    kept, calm = load_checkpoint(tmp_path / LAST), made()[0]
    assert kept
    fit(calm, *made()[1:], method=replace(METHOD, epochs=1))
    assert all(torch.equal(tensor, kept[0]["best"][name]) for name, tensor in calm.state_dict().items()), "those of the first epoch"


@pytest.mark.slow
def test_what_a_failed_run_has_learned_serves_the_next(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fovea.training import end_to_end

    options: dict[str, Any] = {"strategy": "scratch", "image_size": 28, "epochs": 3}
    goal_of_ = end_to_end.goal_of

    def failing(*arguments: Any) -> Goal:
        goal, calls = goal_of_(*arguments), iter(range(10**6))
        return replace(goal, loss=lambda logits, targets: goal.loss(logits, targets) * (math.nan if next(calls) > 8 else 1))

    monkeypatch.setattr(end_to_end, "goal_of", failing)
    with pytest.raises(TrainingFailed) as caught:
        fovea.train(str(photos), out=str(tmp_path / "failed"), **options)
    monkeypatch.undo()
    assert str(tmp_path / "failed") in caught.value.expected
    told = fovea.train(str(photos), out=str(tmp_path / "next"), strategy="probe", weights=str(tmp_path / "failed"), image_size=28)
    assert told.metrics.backbone == "convnet"
    part = fovea.train(str(photos), out=str(tmp_path / "part"), weights=str(tmp_path / "failed"), weights_pattern="convs.0.*", **options)
    assert any("2 tensors that match 'convs.0.*' were loaded" in note for note in part.metrics.notes)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"goal": Goal(metrics={"loss": lambda logits, targets: -1.0})}, "a metric is called 'loss'"),
        ({"method": replace(METHOD, stop=Stopping(monitor="acc"))}, "nothing that is measured is called 'acc'"),
    ],
)
def test_columns_have_one_meaning(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(*made(), **({"method": METHOD} | change))


def test_without_validation_there_is_no_row_of_it() -> None:
    model, train, _ = made()
    nothing = ArrayBatches(train.inputs[:0], train.targets[:0])
    assert [row.split for row in fit(model, train, nothing, method=replace(METHOD, epochs=2))] == ["train", "train"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"schedule": "plateau", "schedule_options": "patience=1 faktor=2"}, "no option 'faktor'"),
        ({"schedule_options": "patience"}, "--schedule-options cannot read 'patience'"),
        ({"warmup_epochs": 5.0, "epochs": 5}, "the warm-up is as long as the whole training"),
    ],
)
def test_what_cannot_be_a_method_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TrainSettings(data="x", **options).method(METHOD)


def test_a_method_is_made_of_the_options() -> None:
    asked = {"schedule": "plateau", "schedule_options": "patience=1, factor=0.5", "monitor": "accuracy", "min_delta": 0.01, "patience": 4}
    method = TrainSettings(data="x", **asked).method(replace(METHOD, epochs=1, warmup_epochs=3))  # type: ignore[arg-type]
    assert method.schedule_options == {"patience": 1, "factor": 0.5}
    assert (method.stop.monitor, method.stop.min_delta, method.stop.patience) == ("accuracy", 0.01, 4)
    assert method.warmup_epochs == 0.5, "half of a short training, where nobody asked for one"


def test_plateau_comes_before_the_end() -> None:
    """By default the rate falls before early stopping ends any strategy."""
    flat = (1.0,) * 3
    for strategy in (Finetune, Frozen, Scratch):
        watched = flat[: strategy.default.stop.patience]
        assert lr_factor("plateau", Moment(3, 10, watched)) < 1


def test_memory_is_asked_for_batches_that_there_can_be(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch norm cannot learn from one picture"):
        fovea.train(
            str(photos), out=str(tmp_path / "one"), strategy="scratch", backbone="mobilenet_v2:width=0.25", image_size=32, batch_size=1
        )
    run = fovea.train(str(photos), out=str(tmp_path / "all"), strategy="scratch", image_size=28, epochs=1, batch_size=65_536)
    assert run.metrics.num_files["train"] < 65_536


@pytest.mark.slow
def test_a_machine_without_a_compiler_is_told_so(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CXX", "")
    with pytest.raises(InputError, match="torch cannot compile"):
        fovea.train(str(photos), out=str(tmp_path / "run"), strategy="scratch", image_size=28, epochs=1, compile=True)


@pytest.mark.parametrize("options", [{"label_smoothing": 0.9}, {"balance": "weights"}, {"balance": "sampling"}, {"dropout": 0.9}])
@pytest.mark.slow
def test_a_probe_with_a_hidden_layer_learns_as_asked(photos: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    asked: dict[str, Any] = {
        "strategy": "probe",
        "head": "mlp",
        "backbone": "mobilenet_v2:width=0.25",
        "weights": "none",
        "image_size": 32,
        "epochs": 2,
    }
    data = paint(tmp_path / "uneven", {"cross": 40, "disc": 12})
    plain, changed = (fovea.train(str(data), out=str(tmp_path / name), **asked, **more) for name, more in (("a", {}), ("b", options)))
    assert load_history(plain.path)[0]["loss"] != load_history(changed.path)[0]["loss"]


def test_options_that_change_nothing_are_named(photos: Path, tmp_path: Path) -> None:
    run = fovea.train(
        str(photos),
        out=str(tmp_path / "run"),
        strategy="probe",
        backbone="mobilenet_v2:width=0.25",
        weights="none",
        image_size=32,
        unfreeze=0.5,
        batch_size=8,
    )
    assert any("probe does not use --batch-size, --unfreeze" in note for note in run.metrics.notes)  # type: ignore[attr-defined]


def test_another_method_is_not_gone_on_from_and_says_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("fovea.training.state.say", said.append)
    model, train, validation = made()
    fit(model, train, validation, method=METHOD, checkpoint=tmp_path)
    fit(model, train, validation, method=replace(METHOD, lr=0.5), checkpoint=tmp_path)
    assert any("lr 0.02, now 0.5" in line for line in said)
    wider = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    fit(wider, train, validation, method=METHOD, checkpoint=tmp_path, key="other data")
    assert any("data, pictures or weights; layers" in line for line in said)
    (tmp_path / LAST).write_bytes(b"not a checkpoint")
    fit(made()[0], train, validation, method=replace(METHOD, epochs=1), checkpoint=tmp_path)
    assert any("cannot be read, and is begun anew" in line for line in said)


def test_a_batch_that_does_not_fit_is_told_the_one_that_does() -> None:
    from fovea.models.heads import create_head
    from fovea.models.network import Network, PixelBackbone

    body = PixelBackbone(create_backbone("mobilenet_v2", width=0.25), (0.5,) * 3, (0.5,) * 3)
    network = Network(body, create_head("linear", num_features=1280, num_classes=2))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    cpu = torch.device("cpu")
    check_memory(network, size_px=64, batch_size=32, device=cpu, free_bytes=lambda device: 10**10)
    with pytest.raises(InputError, match="does not fit into memory") as caught:
        check_memory(network, size_px=64, batch_size=4096, device=cpu, free_bytes=lambda device: 10**9)
    fits = int(caught.value.fix.split()[-1])
    check_memory(network, size_px=64, batch_size=fits, device=cpu, free_bytes=lambda device: 10**9)
    with pytest.raises(InputError, match="does not fit"):
        check_memory(network, size_px=64, batch_size=8 * fits, device=cpu, free_bytes=lambda device: 10**9)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_earlier_layers_learn_more_slowly() -> None:
    backbone = unfreeze(freeze(create_backbone("mobilenet_v2", width=0.25)), fraction=0.5)
    groups = layerwise(backbone, lr=1e-3, decay=0.5)
    rates = [group["lr"] for group in groups]
    assert rates == sorted(rates)
    assert rates[-1] == 1e-3
    assert rates[-2] == 5e-4
    held = sum(len(group["params"]) for group in groups)  # type: ignore[arg-type]
    assert held == sum(p.requires_grad for p in backbone.parameters()) < len(list(backbone.parameters()))


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "extra"), [("frozen", {}), ("frozen", {"augment": "none"}), ("finetune", {"unfreeze": 0.5})])
def test_a_run_of_each_strategy(strategy: str, extra: dict[str, Any], tmp_path: Path) -> None:
    """From pictures to a bundle that answers as the run was measured; random weights stand for real ones."""
    run = fovea.train(
        "shapes", out=str(tmp_path / "run"), strategy=strategy, backbone="squeezenet1_0", weights="none", image_size=32, epochs=2,
        optimizer="adamw", schedule="one_cycle", **extra,
    )  # fmt: skip
    assert run.metrics.strategy == strategy
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert len(rows) == 1 + 2 * 2 + 1, "the probe is its own row, before the first epoch"
    assert (tmp_path / "run" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "run" / "bundle" / "model.onnx").exists()
    with pytest.raises(UnknownName, match="adamw"):
        fovea.train("shapes", out=str(tmp_path / "other"), strategy="scratch", optimizer="adamv", epochs=1)


def test_googlenet_learns_with_its_auxiliary_heads(tmp_path: Path) -> None:
    """As `train` plans it: they answer while it trains, and are no part of what is shipped."""
    from fovea.data import open_source
    from fovea.selection.choose import choose
    from fovea.training.settings import checked

    with open_source("shapes", max_items=8) as source:
        plan = choose(checked(data="shapes", strategy="scratch", backbone="googlenet", image_size=64), source)
    pixels = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    logits, heads = plan.network.train()(pixels)
    assert set(heads) == {"aux1", "aux2"}
    assert plan.network.eval()(pixels).shape == logits.shape == heads["aux1"].shape
    assert any("auxiliary heads" in note for note in plan.notes)


@pytest.mark.slow
@pytest.mark.parametrize("beaten", [True, False])
def test_finetune_says_what_was_kept(beaten: bool, tmp_path: Path) -> None:
    run = fovea.train(
        "shapes", out=str(tmp_path / "run"), strategy="finetune", backbone="squeezenet1_0", weights="none", image_size=32, epochs=1,
        lr=1e-4 if beaten else 5.0, warmup_epochs=0, augment="none",
    )  # fmt: skip
    rows = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert rows[1].startswith("0,validation,"), "the probe stands before the first epoch"
    told = [note for note in run.metrics.model_extra["notes"] if "the probe" in note]  # type: ignore[index]
    if not beaten:
        assert any("did not beat the probe" in note for note in told)
        assert run.metrics.validation
        assert run.metrics.validation.accuracy == pytest.approx(float(rows[1].split(",")[3]))


@pytest.mark.slow
def test_tensorboard_shows_curves_graph_histograms_and_answers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fovea.train("shapes", out=str(tmp_path / "run"), strategy="scratch", image_size=32, epochs=2, tensorboard=True)
    log = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    tags = log.Tags()
    assert {"loss/train", "loss/validation", "accuracy/validation", "lr/train"} <= set(tags["scalars"])
    assert len(log.Scalars("loss/train")) == 2
    assert tags["graph"]
    assert tags["images"] == ["pictures"]
    assert any(name.startswith("body.backbone.convs.0") for name in tags["histograms"])
    assert any("answers" in tag for tag in tags["tensors"])
    fovea.train("shapes", out=str(tmp_path / "run"), strategy="scratch", image_size=32, epochs=1, overwrite=True)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_memory_that_is_used_again_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's thresholds are set while a training runs, and set back also when it fails; elsewhere nothing happens."""
    from fovea.training import memory

    asked: list[tuple[int, ...]] = []

    class Library:
        def mallopt(self, what: int, value: int) -> int:
            asked.append((what, value))
            return 1

        def malloc_trim(self, pad: int) -> int:
            asked.append((pad,))
            return 1

    monkeypatch.setattr(memory, "_glibc", Library)
    with pytest.raises(Stop), memory.reused_memory():  # noqa: PT012
        assert len(asked) == 2
        raise Stop
    assert [values[0] for values in asked] == [-3, -1, -3, -1, 0]
    assert asked[0][1] > asked[2][1]
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with memory.reused_memory():
        pass


@pytest.mark.slow
def test_finetune_refuses_a_head_that_it_would_replace(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--head mlp"):
        fovea.train(
            "shapes", out=str(tmp_path / "run"), strategy="finetune", backbone="squeezenet1_0", weights="none", image_size=32, head="mlp"
        )
