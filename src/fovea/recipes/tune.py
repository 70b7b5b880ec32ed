"""The settings of a training, searched for: augmentation, learning rate, how much of the backbone learns."""

import io
import json
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

import numpy as np

from fovea.audit.survey import Survey, survey
from fovea.data import Source, open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import FoveaError, InputError, OutputError, missing_extra
from fovea.files import check_outside, ready_folder, write_json
from fovea.loading.scan import scan
from fovea.metrics.intervals import wilson
from fovea.progress import say
from fovea.recipes._results import command_line
from fovea.report import Plot, ReportData, write_report
from fovea.selection.choose import choose
from fovea.timing import Stopwatch, seconds_of
from fovea.training.scaled import learn
from fovea.training.settings import TrainSettings, checked
from fovea.training.state import Epoch
from fovea.training.strategy import create_strategy, uses
from fovea.versions import versions

if TYPE_CHECKING:
    import optuna

_DEFAULTS = {
    "finetune": "lr=1e-5..1e-3 unfreeze=0.1..1 augment=none,light,standard",
    "frozen": "lr=1e-5..1e-2 augment=none,light,standard",
    "scratch": "lr=1e-4..1e-2 augment=none,light,standard dropout=0..0.6",
}
_LOGARITHMIC = {"lr", "weight_decay", "l1", "l2"}  # what differs by factors, not by steps
_ENOUGH = 2  # finished trials before one is cut short for being behind them


@dataclass(frozen=True)
class Tuned:
    """What was found.

    Args:
        best: The options of the best trial; loss and accuracy are on the validation pictures.
        trials: All of them in order: number, options, loss, accuracy, seconds, what became of it.
        command: What trains with the best.
    """

    best: dict[str, Any]
    trials: list[dict[str, Any]]
    command: str
    report: Path

    def to_json(self) -> dict[str, Any]:
        return {"best": self.best, "trials": self.trials, "command": self.command, "report": str(self.report)}

    def to_text(self) -> str:
        """What a person reads when it is done."""
        ended = [trial for trial in self.trials if trial["state"] == "finished"]
        options = ", ".join(f"{name} {_shown(value)}" for name, value in self.best["options"].items())
        told = "" if self.best["accuracy"] is None else f", accuracy {self.best['accuracy']:.1%}"
        return "\n".join(
            [
                f"best of {len(self.trials):,} trials ({len(ended):,} to their end): {options}",
                f"validation: loss {self.best['loss']:.4g}{told}; chosen on these pictures, so it flatters: measure it on test pictures",
                f"train with it: {self.command}",
                f"report: {self.report}",
            ]
        )


def tune(
    data: str,
    *,
    out: str,
    strategy: str = "finetune",
    search: str | None = None,
    trials: int = 20,
    budget: str | None = None,
    backbone: str = "auto",
    weights: str = "auto",
    image_size: int | None = None,
    epochs: int | None = None,
    batch_size: int = 32,
    seed: int = 0,
    overwrite: bool = False,
) -> Tuned:
    """Search for good settings of a strategy: learn with many, cut short what falls behind, keep the best.

    The search goes on where it was stopped. It is judged by the loss on the validation pictures; test pictures are not looked at.

    Args:
        data: As for `fovea train`.
        out: The folder for the trials (study.db, of Optuna) and the report.
        strategy: "finetune", "frozen" or "scratch".
        search: What is varied, and how far: "lr=1e-5..1e-3 augment=none,light unfreeze=0.1..1"; any option of `fovea train` that the strategy uses.
        trials: How many trainings in all, those of earlier calls counted.
        budget: No trial begins after this long, for example "10m" or "2h".
        backbone: As for `fovea train`.
        weights: As for `fovea train`.
        image_size: As for `fovea train`.
        epochs: As for `fovea train`.
        batch_size: As for `fovea train`.
        seed: Of everything that is drawn by chance.
        overwrite: Begin anew where a search of other settings stands.

    Returns:
        The best settings, all trials, and the command that trains with the best.
    """
    try:
        import optuna
    except ImportError as error:
        raise missing_extra("optuna", "tune", "`fovea tune`") from error

    if trials < 1:
        raise InputError("--trials is less than one", got=str(trials), expected="1 or more", fix="leave it out for 20")
    if strategy not in _DEFAULTS:
        raise InputError(
            f"--strategy {strategy} has nothing to tune", got=strategy, expected=", ".join(_DEFAULTS), fix="choose one of these; a probe chooses its regularisation itself"
        )  # fmt: skip
    ends = time.monotonic() + seconds_of(budget, "--budget") if budget else float("inf")
    varied = search or _DEFAULTS[strategy]
    space = read_space(varied, strategy)
    fixed = {"backbone": backbone, "weights": weights, "image_size": image_size, "epochs": epochs, "batch_size": batch_size}
    settings = checked(data=str(data), strategy=strategy, seed=seed, **fixed)
    folder = ready_folder(out)
    with open_source(data, seed=seed) as source, EmbeddingStore() as store:
        check_outside(out, source.location)
        trainer = _Trainer(settings, source, store)
        _begin(folder, settings.model_dump(mode="json") | {"search": varied}, overwrite)
        study, done = _open_study(folder, seed)
        for _ in range(done, trials):
            if time.monotonic() > ends:
                say(f"the budget of {budget} is spent")
                break
            study.optimize(lambda trial: trainer.ask(trial, space), n_trials=1, catch=(FoveaError,))
        names = source.class_names
    rows = [_row(trial) for trial in study.trials]
    ended = [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]
    if not ended:
        raise InputError(
            "none of the trials came to its end", got="; ".join(sorted({str(row["state"]) for row in rows})) or "no trial began within the budget", expected="one that does",
            fix="give more --trials or a larger --budget; `fovea train` with the same options says what fails",
        )  # fmt: skip
    best = _row(study.best_trial)
    given = settings.model_dump(exclude_defaults=True, exclude={"data"}) | best["options"]
    found = Tuned(best, rows, command_line("train", data, out="tuned", **given), folder / "report.html")
    write_json(folder / "tune.json", {"asked": settings.model_dump(mode="json") | {"search": varied}} | found.to_json())
    write_report(
        found.report,
        ReportData(
            title=f"{Path(data).name or data}: settings for {strategy}",
            asked={"Data": str(data), "Strategy": strategy, "Searched": varied, "Trials": f"{len(rows)}, {len(ended)} of them to their end", "Seed": str(seed)},
            command=command_line("tune", data, out=out, strategy=strategy, search=search, trials=trials, **fixed, seed=seed),
            notes=[*found.to_text().splitlines()[:3], "A trial that falls behind the middle of the earlier ones is cut short."],
            class_names=names, compared_on="validation", comparison=_compared(rows, len(trainer.seen.rows["validation"])),
            plots=_plots(study) if len(ended) > 1 else [], versions=versions("fovea", "numpy", "optuna", "torch"), seed=seed,
        ),
    )  # fmt: skip
    return found


class _Trainer:
    """Learns with given options, again and again on the same pictures and splits."""

    def __init__(self, settings: TrainSettings, source: Source, store: EmbeddingStore) -> None:
        self.settings, self.source, self.store = settings, source, store
        plan = choose(settings, source)
        self.seen: Survey = survey(source, create_strategy(plan), store, seed=settings.seed, watch=Stopwatch())
        self.hashes = scan(source, self.seen.items).hashes
        self.targets = plan.goal.targets(self.seen.labels)
        if not len(self.seen.rows["validation"]):
            raise InputError(
                "there are no validation pictures to judge settings by",
                got="none",
                expected="some",
                fix="add pictures, or a validation split",
            )

    def ask(self, trial: "optuna.Trial", space: "Space") -> float:
        """The lowest loss on the validation pictures of a training with the options that the trial draws."""
        import optuna

        options = {name: draw(trial, name) for name, draw in space.items()}
        say(f"trial {trial.number + 1}: " + ", ".join(f"{name} {_shown(value)}" for name, value in options.items()))
        trial.set_user_attr("options", options)

        def watch(_: object, history: Sequence[Epoch]) -> None:
            losses = [row.loss for row in history if row.split == "validation"]
            trial.report(losses[-1], len(losses))
            if trial.should_prune():
                raise optuna.TrialPruned

        plan = replace(choose(checked(**(self.settings.model_dump() | options)), self.source), watchers=(watch,))
        learner, seen, watched = create_strategy(plan), self.seen, self.seen.rows["validation"]
        looked = learner.look(self.source, seen.items, self.hashes, self.store)
        with tempfile.TemporaryDirectory(prefix="fovea-tune-") as place:
            learned = learn(
                learner, plan.goal, looked.inputs, self.targets, seen.groups, train=seen.rows["train"], validation=watched, checkpoint=Path(place), key=seen.data_hash
            )  # fmt: skip
        best = min((row for row in learned.history if row.split == "validation"), key=lambda row: row.loss)
        trial.set_user_attr("accuracy", best.accuracy)
        return best.loss


Space = dict[str, Callable[["optuna.Trial", str], Any]]


def read_space(text: str, strategy: str) -> Space:
    """What may be varied, by option: "lr=1e-5..1e-3 augment=none,light" -> a way to draw each.

    Raises:
        InputError: An option is unknown, or the strategy does not use it, or a range is none; says which.
    """
    kinds = get_type_hints(TrainSettings)
    space: Space = {}
    for part in text.split():
        name, _, values = part.partition("=")
        name = name.replace("-", "_")
        if name not in kinds or not uses(strategy, name) or name in ("data", "strategy", "seed", "budget", "task", "split_by"):
            raise InputError(
                f"--search {name} cannot be varied for {strategy}", got=part, expected="an option of `fovea train` that the strategy uses",
                fix=f"for example {_DEFAULTS[strategy]}",
            )  # fmt: skip
        low, dots, high = values.partition("..")
        if dots:
            space[name] = _range(part, name, low, high, whole=kinds[name] in (int, int | None))
        else:
            choices = [getattr(checked(data="", **{name: value}), name) for value in values.split(",")]
            space[name] = _one_of(choices)
    if not space:
        raise InputError(
            "--search names nothing to vary", got=repr(text), expected="options with values", fix=f"for example {_DEFAULTS[strategy]}"
        )
    return space


def _range(part: str, name: str, low: str, high: str, *, whole: bool) -> Callable[["optuna.Trial", str], Any]:
    try:
        ends = (float(low), float(high))
    except ValueError as error:
        raise InputError(f"--search cannot read {part!r}", got=part, expected="LOW..HIGH", fix="for example lr=1e-5..1e-3") from error
    if not ends[0] < ends[1] or (name in _LOGARITHMIC and ends[0] <= 0):
        raise InputError(
            f"--search {part} is no range", got=part, expected="LOW..HIGH with LOW below HIGH" + (", both above 0" if name in _LOGARITHMIC else ""), fix="for example lr=1e-5..1e-3"
        )  # fmt: skip
    for end in ends:
        checked(data="", **{name: int(end) if whole else end})
    if whole:
        return lambda trial, key: trial.suggest_int(key, int(ends[0]), int(ends[1]))
    return lambda trial, key: trial.suggest_float(key, *ends, log=name in _LOGARITHMIC)


def _one_of(choices: list[Any]) -> Callable[["optuna.Trial", str], Any]:
    return lambda trial, key: trial.suggest_categorical(key, choices)


def _begin(folder: Path, asked: dict[str, Any], overwrite: bool) -> None:
    """Marks the folder as this search's; one of other settings stays unless it may go."""
    mark, ours = folder / "tune.json", ("tune.json", "study.db", "report.html")
    if strangers := sorted(entry.name for entry in folder.iterdir() if entry.name not in ours):
        raise OutputError(
            f"{str(folder)!r} holds other files", got=", ".join(strangers[:5]), expected="a new folder, or an earlier search", fix="choose another --out"
        )  # fmt: skip
    known = json.loads(mark.read_text()).get("asked", {}) if mark.exists() else asked
    if known != asked and not overwrite:
        raise OutputError(
            f"{str(folder)!r} already holds a search with other settings", got=", ".join(name for name in asked if known.get(name) != asked[name]),
            expected="the same settings, or a new folder", fix="choose another --out, or add --overwrite",
        )  # fmt: skip
    if overwrite:
        for name in ours:
            (folder / name).unlink(missing_ok=True)
    if not mark.exists():
        write_json(mark, {"asked": asked})


def _open_study(folder: Path, seed: int) -> tuple["optuna.Study", int]:
    """The search as it stands in its folder, and how many of its trials are done."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    states = optuna.trial.TrialState
    study = optuna.create_study(
        study_name="fovea", storage=f"sqlite:///{folder / 'study.db'}", load_if_exists=True, pruner=optuna.pruners.MedianPruner(n_startup_trials=_ENOUGH, n_warmup_steps=0)
    )  # fmt: skip
    for left in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
        study.tell(left.number, state=states.FAIL)  # of a search that was killed
    done = sum(trial.state in (states.COMPLETE, states.PRUNED) for trial in study.trials)
    study.sampler = optuna.samplers.TPESampler(seed=seed + done)  # not the draws of an earlier call again
    return study, done


_STATES = {"COMPLETE": "finished", "PRUNED": "cut short", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def _row(trial: "optuna.trial.FrozenTrial") -> dict[str, Any]:
    seconds = trial.duration.total_seconds() if trial.duration else 0.0
    return {
        "number": trial.number + 1, "options": trial.user_attrs.get("options", trial.params), "loss": trial.value if trial.state.name == "COMPLETE" else None,
        "accuracy": trial.user_attrs.get("accuracy"), "seconds": round(seconds, 2), "state": _STATES[trial.state.name],
    }  # fmt: skip


def _compared(rows: list[dict[str, Any]], num_validation: int) -> list[dict[str, Any]]:
    """The finished trials as the report sets them side by side, the best first."""
    ended = sorted((row for row in rows if row["loss"] is not None), key=lambda row: row["loss"])
    return [
        {
            "name": f"{row['number']}: " + ", ".join(f"{name} {_shown(value)}" for name, value in row["options"].items()), "n": num_validation, "accuracy": row["accuracy"],
            "accuracy_ci95": None if row["accuracy"] is None else list(wilson(round(row["accuracy"] * num_validation), num_validation)), "loss": row["loss"], "seconds": row["seconds"],
        }
        for row in ended
    ]  # fmt: skip


def _plots(study: "optuna.Study") -> list[Plot]:
    """Optuna's own: how the search went, what mattered, and each option against the loss."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import optuna.visualization.matplotlib as drawn

    made = []
    ways: list[tuple[str, Callable[[Any], Any]]] = [
        ("How the search went", drawn.plot_optimization_history),
        ("Each option against the loss", drawn.plot_slice),
    ]
    if len({str(trial.params) for trial in study.trials}) > 2:
        ways.insert(1, ("Which options mattered", drawn.plot_param_importances))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that these plots may change is Optuna's business
        for title, draw in ways:
            try:
                axes = draw(study)
            except (ValueError, RuntimeError):  # too few trials, or all alike
                continue
            figure = np.atleast_1d(axes).ravel()[0].figure
            figure.set_size_inches(9, 4)
            buffer = io.BytesIO()
            figure.savefig(buffer, format="png", dpi=80, bbox_inches="tight")
            plt.close(figure)
            made.append(Plot(title, buffer.getvalue()))
    return made


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
