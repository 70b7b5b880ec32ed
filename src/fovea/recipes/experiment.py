"""Which is really better: several trainings of the same data, in turn, side by side with their intervals."""

import difflib
import itertools
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, get_type_hints

from fovea.data import open_source
from fovea.errors import FoveaError, InputError, OutputError
from fovea.files import check_outside, ready_folder, write_csv, write_json
from fovea.metrics.intervals import mean_interval, wilson
from fovea.progress import say
from fovea.recipes._results import command_line
from fovea.recipes.train import train
from fovea.report import ReportData, write_report
from fovea.timing import seconds_of
from fovea.training.method import Method
from fovea.training.run import Metrics, SplitMetrics, finished, load_history, load_metrics
from fovea.training.settings import TrainSettings, checked
from fovea.versions import versions

_OF_ITS_OWN = {"data", "strategy", "seed"}  # arguments of the experiment itself
_INSTEAD = {"strategy": "--strategies names them", "seed": "--seeds says how many", "seeds": "--seeds says how many"}


@dataclass(frozen=True)
class Way:
    """One combination, over its seeds.

    Args:
        name: What sets it apart, in words.
        accuracies: On validation, one for each of `seeds`.
        seeds: Those that were trained.
        interval: Wilson's 95 % interval of their mean on so many validation pictures.
        loss: Mean validation loss.
        seconds: Of learning, one for each seed; pictures are decoded and embedded once for all.
        runs: Their folders.
        history: Of the first seed.
        num_validation: Pictures.
        problem: Why it was not trained; then the rest is empty.
    """

    name: str
    accuracies: tuple[float, ...] = ()
    seeds: tuple[int, ...] = ()
    interval: tuple[float, float] = (0.0, 1.0)
    loss: float = float("nan")
    seconds: tuple[float, ...] = ()
    runs: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    num_validation: int = 0
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in experiment.json, and in the report's comparison."""
        return {
            "name": self.name,
            "accuracy": fmean(self.accuracies) if self.accuracies else None,
            "accuracy_ci95": list(self.interval) if self.accuracies else None,
            "accuracies": list(self.accuracies),
            "seeds": list(self.seeds),
            "loss": self.loss if self.accuracies else None,
            "seconds": fmean(self.seconds) if self.seconds else None,
            "seconds_each": list(self.seconds),
            "n": self.num_validation,
            "runs": list(self.runs),
            "history": list(self.history),
            "problem": self.problem,
        }


@dataclass(frozen=True)
class Experiment:
    """All ways, the best first."""

    ways: list[Way]
    report: Path
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"ways": [way.to_json() for way in self.ways], "report": str(self.report), "notes": list(self.notes)}

    def to_text(self) -> str:
        """A table for people."""
        width = max(len(way.name) for way in self.ways)
        lines = [f"{'':{width}}  validation accuracy, 95 % interval   loss    seconds  seeds"]
        for way in self.ways:
            if way.problem:
                lines.append(f"{way.name:{width}}  {way.problem}")
                continue
            low, high = way.interval
            lines.append(
                f"{way.name:{width}}  {fmean(way.accuracies):>7.1%}  ({low:.1%} to {high:.1%})".ljust(width + 39)
                + f"{way.loss:>7.3f}  {fmean(way.seconds):>8.1f}  {len(way.accuracies):>5}"
            )
        return "\n".join([*lines, *self.notes, f"report: {self.report}"])


def experiment(
    data: str,
    *,
    out: str,
    strategies: str = "scratch,probe,frozen,finetune",
    seeds: int = 3,
    vary: str | None = None,
    budget: str | None = None,
    backbone: str = "auto",
    weights: str = "auto",
    image_size: int | None = None,
    augment: str = "auto",
    epochs: int | None = None,
    batch_size: int = 32,
    overwrite: bool = False,
) -> Experiment:
    """Train the same pictures in several ways, with several seeds, and set them side by side.

    Ways are judged on the validation pictures: the test pictures are for the one that you choose in the end. A stopped
    experiment goes on where it was.

    Args:
        data: As for `fovea train`.
        out: The folder to write: a run for each way and seed, experiment.json, experiment.csv and report.html.
        strategies: Which, with commas between them.
        seeds: How many trainings of each way: seeds 0, 1, 2, ...
        vary: Other options of `fovea train` to try in all combinations: "optimizer=sgd,adam lr=0.1,0.01".
        budget: No training begins after this long, for example "90s", "10m" or "2h".
        backbone: As for `fovea train`.
        weights: As for `fovea train`; strategies that learn from nothing take none.
        image_size: As for `fovea train`.
        augment: As for `fovea train`; strategies that look at each picture once take none.
        epochs: As for `fovea train`.
        batch_size: As for `fovea train`.
        overwrite: Train anew what stands in `out` already.

    Returns:
        The ways, best first.
    """
    ends = time.monotonic() + seconds_of(budget, "--budget") if budget else float("inf")
    names = _words(strategies, "--strategies")
    if seeds < 1:
        raise InputError("--seeds is less than one", got=str(seeds), expected="1 or more", fix="leave it out for 3")
    varied = _varied(vary)
    with open_source(data) as source:
        check_outside(out, source.location)
        if not source.kind.exclusive:
            raise InputError(
                f"an experiment compares how often ways are right, and {data!r} has {source.kind.name}",
                got=source.kind.name,
                expected="pictures of one class each",
                fix="train each way with `fovea train`, and compare their reports",
            )
    command = command_line(
        "experiment", data, out=out, strategies=strategies, seeds=seeds, vary=vary, budget=budget, backbone=backbone, weights=weights,
        image_size=image_size, augment=augment, epochs=epochs, batch_size=batch_size,
    )  # fmt: skip
    folder = ready_folder(out)
    if not overwrite and (folder / "experiment.json").exists() and _may_grow(_asked_for(folder)) != _may_grow(command):
        raise OutputError(
            f"{out!r} already holds another experiment", got=_asked_for(folder), expected="a new folder, or the same experiment, with more seeds or time if you like",
            fix="choose another --out, or add --overwrite",
        )  # fmt: skip
    shared = {
        "backbone": backbone,
        "weights": weights,
        "image_size": image_size,
        "augment": augment,
        "epochs": epochs,
        "batch_size": batch_size,
    }
    plan = _planned(names, varied, shared)
    _check(data, names, varied, plan)
    found, problems = _train_in_turn(data, folder, plan, seeds=seeds, ends=ends, overwrite=overwrite)
    ways = _judged(found, problems)
    result = Experiment(ways, folder / "report.html", _notes(ways, seeds, problems))
    write_json(folder / "experiment.json", result.to_json() | {"command": command})
    write_csv(
        folder / "experiment.csv",
        ("way", "seed", "validation_accuracy", "seconds", "run"),
        [row for way in ways for row in zip(itertools.repeat(way.name), way.seeds, way.accuracies, way.seconds, way.runs)],
    )
    asked = {"Data": data, "Ways": str(len(plan)), "Seeds": str(seeds), "Varied": vary or "", "Budget": budget or ""}
    first = load_metrics(ways[0].runs[0])
    write_report(
        result.report,
        ReportData(
            title=f"{Path(data).name or data}: which way learns best?", asked={name: said for name, said in asked.items() if said}, command=command,
            notes=[*result.notes, *_where(ways, folder)], class_names=first.class_names, num_files=first.num_files,
            comparison=[way.to_json() for way in ways if way.accuracies], compared_on="validation", versions=versions("fovea", "numpy", "torch", "onnxruntime"),
        ),
    )  # fmt: skip
    return result


Plan = dict[str, tuple[str, dict[str, Any]]]  # what sets a way apart -> its strategy, and the options that are not None and that it uses
Runs = dict[str, dict[int, tuple[Path, Metrics]]]  # a way -> its trainings by seed


def _planned(names: list[str], varied: dict[str, list[Any]], shared: dict[str, Any]) -> Plan:
    several = len(names) > 1 or not varied
    return {
        _title(strategy, values, several=several): (strategy, _fitting(strategy, shared | values))
        for strategy in names
        for values in _combinations(strategy, varied)
    }


def _train_in_turn(data: str, folder: Path, plan: Plan, *, seeds: int, ends: float, overwrite: bool) -> tuple[Runs, dict[str, str]]:
    """All ways with one seed, then all with the next: a budget that ends cuts no way off. Gives what was trained, and why some was not."""
    found: Runs = {}
    problems: dict[str, str] = {}
    for seed, (title, (strategy, options)) in itertools.product(range(seeds), plan.items()):
        if time.monotonic() > ends and (seed or found):
            done = len(found.get(title, {}))
            problems.setdefault(
                title, f"{done} of {seeds} seeds trained: the budget was spent" if done else "not trained: the budget was spent"
            )
            continue
        place = folder / re.sub(r"[^\w.=-]+", "_", f"{title}-{seed}")
        say(f"{title}, seed {seed}")
        try:
            trained = _trained(data, place, strategy, seed, options, overwrite=overwrite)
            if trained.validation is None:
                problems[title] = "there are no validation pictures to judge it by"
            else:
                found.setdefault(title, {})[seed] = (place, trained)
        except OutputError:
            raise
        except FoveaError as error:
            problems[title] = f"seed {seed} could not be trained: {error.problem} ({error.got})"
    return found, problems


def _judged(found: Runs, problems: dict[str, str]) -> list[Way]:
    """The best first, then those that were not trained."""
    if not found:
        raise InputError(
            "none of the ways could be trained",
            got="; ".join(f"{title}: {problem}" for title, problem in problems.items()),
            expected="one that can",
            fix="mend what it says",
        )
    ways = sorted((_way(title, runs) for title, runs in found.items()), key=lambda way: -fmean(way.accuracies))
    return [*ways, *(Way(title, problem=told) for title, told in problems.items() if title not in found)]


def _check(data: str, names: list[str], varied: dict[str, list[Any]], plan: Plan) -> None:
    """Finds what is misspelt, or would change nothing, before anything is trained."""
    from fovea.models.backbone import read_backbone
    from fovea.models.heads import HEADS
    from fovea.training.augment import augmentation_of
    from fovea.training.strategy import STRATEGIES

    for name in names:
        STRATEGIES[name]
    for option in varied:
        if not any(option in options for _, options in plan.values()):
            raise InputError(
                f"--vary {option} would change nothing: {' and '.join(names)} do not use it", got=option, expected="an option that one of the strategies uses",
                fix="leave it out, or add a strategy that uses it",
            )  # fmt: skip
    for strategy, options in plan.values():
        settings = checked(data=data, strategy=strategy, **options)
        settings.method(Method(epochs=settings.epochs or 100))
        HEADS[settings.head], augmentation_of("none" if settings.augment == "auto" else settings.augment)
        if settings.backbone != "auto":
            read_backbone(settings.backbone)


def _trained(data: str, place: Path, strategy: str, seed: int, options: dict[str, Any], *, overwrite: bool) -> Metrics:
    """The metrics of a run: as it stands there where it was asked for alike, or trained now."""
    settings = checked(data=data, strategy=strategy, seed=seed, **options)
    if not overwrite and (found := finished(place, settings)):
        return found
    return train(data, out=str(place), strategy=strategy, seed=seed, overwrite=overwrite, **options).metrics


def _asked_for(folder: Path) -> str:
    """The command of the experiment that stands there."""
    try:
        return str(json.loads((folder / "experiment.json").read_text(encoding="utf-8")).get("command", ""))
    except (OSError, ValueError, AttributeError):
        return "an experiment.json that cannot be read"


def _may_grow(command: str) -> str:
    """A command without what only says how much of the experiment is done."""
    return re.sub(r" --(seeds|budget) \S+", "", command)


def _way(title: str, found: dict[int, tuple[Path, Metrics]]) -> Way:
    runs = list(found.values())
    judged = [metrics.validation for _, metrics in runs if isinstance(metrics.validation, SplitMetrics)]
    accuracies = tuple(split.accuracy for split in judged)
    n = judged[0].n
    interval = wilson(fmean(accuracies) * n, n)
    return Way(
        name=title,
        accuracies=accuracies,
        interval=interval,
        loss=fmean(split.nll for split in judged),
        seeds=tuple(found),
        seconds=tuple(metrics.timing.train_s for _, metrics in runs),
        runs=tuple(str(place) for place, _ in runs),
        history=tuple(load_history(runs[0][0])),
        num_validation=n,
    )


def _notes(ways: Sequence[Way], seeds: int, problems: dict[str, str]) -> tuple[str, ...]:
    told = [
        "Judged on the validation pictures; the test pictures were not looked at to choose. The interval is Wilson's, of the mean over the seeds, for so "
        "many validation pictures. Ways that learn in epochs have also taken their best epoch by these pictures, which flatters them a little beside a probe; "
        "seconds are those of learning alone." + (f" Curves are those of the first of {seeds} seeds." if seeds > 1 else "")
    ]
    trained = [way for way in ways if way.accuracies]
    for other in trained[1:]:
        theirs = dict(zip(other.seeds, other.accuracies, strict=True))
        pairs = [mine - theirs[seed] for seed, mine in zip(trained[0].seeds, trained[0].accuracies, strict=True) if seed in theirs]
        if len(pairs) > 2 and stdev(pairs) > 0:  # two say next to nothing of how much seeds differ
            low, high = mean_interval(pairs, bounds=(-1.0, 1.0))
            sure = "" if low > 0 else ", which may be luck"
            told.append(f"{trained[0].name} against {other.name}, seed by seed: {fmean(pairs):+.1%} ({low:+.1%} to {high:+.1%}){sure}.")
    told += [f"{title}: {problem}." for title, problem in problems.items()]
    return tuple(told)


def _where(ways: Sequence[Way], folder: Path) -> list[str]:
    """Where the best way's own report lies, and what to do with it."""
    best = Path(ways[0].runs[0]).relative_to(folder)
    return [
        f"Every training has a folder and a report of its own here: the best begins with {best}/report.html. Ship {best}/bundle, once you have seen its test figures."
    ]


def _title(strategy: str, values: dict[str, Any], *, several: bool) -> str:
    parts = [strategy] if several or not values else []
    return ", ".join([*parts, *(f"{name} {value}" for name, value in values.items())])


def _combinations(strategy: str, varied: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """All combinations of the varied options, without those that change nothing for the strategy."""
    from fovea.training.strategy import uses

    found = []
    for values in itertools.product(*varied.values()):
        options = dict(zip(varied, values, strict=True))
        options = {name: value for name, value in options.items() if uses(strategy, name, head=str(options.get("head", "linear")))}
        if options not in found:
            found.append(options)
    return found


def _fitting(strategy: str, options: dict[str, Any]) -> dict[str, Any]:
    """Options without those that change nothing for a strategy, or that it refuses: weights where it learns from nothing."""
    from fovea.training.strategy import uses

    head = str(options.get("head", "linear"))
    return {name: value for name, value in options.items() if value is not None and uses(strategy, name, head=head)}


def _words(text: str, option: str) -> list[str]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    if not words:
        raise InputError(
            f"{option} names nothing", got=repr(text), expected="names with commas between them", fix="for example probe,finetune"
        )
    return words


def _varied(text: str | None) -> dict[str, list[Any]]:
    """Names to values, each checked as `train` would: "optimizer=sgd,adam lr=0.1"."""
    found: dict[str, list[Any]] = {}
    kinds = get_type_hints(TrainSettings)
    for part in (text or "").split():
        name, equals, values = part.partition("=")
        name = name.removeprefix("--").replace("-", "_")
        if not equals or name not in kinds or name in _OF_ITS_OWN:
            raise InputError(
                f"--vary cannot read {part!r}",
                got=part,
                expected="option=value,value with an option of `fovea train`",
                fix=f"did you mean {' or '.join(near)}?"
                if (near := difflib.get_close_matches(name, set(kinds) - _OF_ITS_OWN, n=2))
                else _INSTEAD.get(name, "for example optimizer=sgd,adam"),
            )
        read = [getattr(checked(data="", **{name: value}), name) for value in _words(values, "--vary")]
        found[name] = list(dict.fromkeys([*found.get(name, []), *read]))  # 0.1 and 0.10 are one value
    return found
