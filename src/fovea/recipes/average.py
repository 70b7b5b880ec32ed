"""Better predictions from what is trained already: several views of each picture, several networks, or the mean of their weights."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from fovea.audit.survey import Survey, survey
from fovea.bundle.format import TrainingData
from fovea.data import open_source
from fovea.embeddings.store import EmbeddingStore
from fovea.errors import InputError
from fovea.evaluation.grouped import caution
from fovea.evaluation.paired import Gain, gain
from fovea.export.bundles import Trained, write_bundle
from fovea.files import check_outside, write_csv, write_json
from fovea.loading.stored import StoredPictures
from fovea.models.averaged import VIEWS
from fovea.models.weights import save_weights
from fovea.recipes._averaging import Answered, seconds
from fovea.recipes._reporting import some_pictures, write_train_report
from fovea.recipes._results import command_line
from fovea.report.averaging import told
from fovea.selection.mixing import Judge, Member, Way, ensemble, load_member, look_again, soup, wise_ft
from fovea.tasks import Task
from fovea.timing import Stopwatch
from fovea.training.checkpoint import BEST
from fovea.training.end_to_end import EndToEnd
from fovea.training.run import Metrics, Run, Timing, begin, load_settings, open_run
from fovea.training.settings import checked_as
from fovea.training.state import history_table
from fovea.types import Floats, Ints, Split, TargetArray
from fovea.versions import versions

How = Literal["auto", "ensemble", "soup", "wise-ft"]
Tta = Literal["auto", "none", "flips", "scales", "crops"]

_MEASURED: tuple[Split, ...] = ("validation", "test")
_MOST_SHOWN = 2_000  # training pictures whose embeddings tell what is strange: twice as many as a bundle takes along


class AverageSettings(BaseModel):
    """The arguments of `average` that change its result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    average: tuple[str, ...]
    data: str | None = None
    how: How = "auto"
    tta: Tta = "auto"
    seed: int = Field(default=0, ge=0, lt=2**32)


def average(
    *runs: str | Path, out: str, how: How = "auto", tta: Tta = "auto", data: str | None = None, seed: int = 0, overwrite: bool = False
) -> Run:
    """Make a better model of trained ones, where there is one: average their answers or their weights, or let one look at each picture several times.

    What to mix is chosen on the validation pictures; then the test pictures are answered, once, and the gain is told with its interval,
    beside what it costs. The bundle holds all of it: predict and evaluate need no option.

    Args:
        runs: The folders of one or more finished trainings of the same data and splits.
        out: The folder to write: report.html, metrics.json, bundle/ and more.
        how: Of several runs: "ensemble" averages their answers, and costs as many passes; "soup" averages the weights of networks that
            began with the same ones, and costs nothing; "wise-ft" mixes the weights of two, a probe and what was fine-tuned from the same
            weights. "auto" is ensemble.
        tta: Test-time augmentation, several looks at each picture: "flips" (2), "scales" (3), "crops" (5), "none". "auto" compares them where
            one run is named, and takes none where there are several.
        data: Where the pictures lie, if no longer where they were.
        seed: Of the pictures that are drawn anew for intervals, and of the folds of the calibration.
        overwrite: Replace an earlier run in `out`.

    Returns:
        A run like any other; `averaging` in its metrics.json has the gain and the cost.
    """
    watch = Stopwatch()
    names = [str(run) for run in runs]
    _check(names, out, how, tta)
    settings = checked_as(AverageSettings, average=tuple(names), data=data, how=how, tta=tta, seed=seed)
    old = load_settings(names[0])
    place = data or old.data
    with open_source(place, seed=old.seed) as source, EmbeddingStore() as store, ExitStack() as closing:
        check_outside(out, source.location)
        with open_run(out, settings, overwrite=overwrite) as run:
            members = [load_member(name, place, source) for name in names]
            _check_alike(members)
            plan = members[0].plan
            seen = survey(
                source, EndToEnd(plan), store, seed=old.seed, watch=watch, split_by=old.split_by, keep_leaks=old.keep_leaks
            )  # fmt: skip
            _check_splits(members, seen)
            begin(run, settings, overwrite=overwrite)
            write_json(run.audit, seen.audit.to_json())

            # Choose on validation; only then are the test pictures answered, once.
            goal, rows = plan.goal, seen.rows
            targets = goal.targets(seen.labels)
            with watch("train_s"):
                judge = _judge(seen, members[0], goal, targets)
                closing.enter_context(judge.pictures.store)
                singles = [judge.way(member.run, [member.network]) for member in members]
                for single in singles:
                    judge.note(single, "on its own")
                before = min(singles, key=lambda way: float(way.losses.mean()))
                way = _mixed(judge, singles, how)
                kind = "ensemble" if len(way.networks) > 1 else how if way not in singles else "single"
                if views := _views(tta, len(members)):
                    way = look_again(judge, way, views, asked=tta not in ("auto", "none"))
            shown = np.sort(np.random.default_rng(seed).permutation(rows["train"])[:_MOST_SHOWN])
            with watch("evaluate_s"):
                first = Answered(judge, before, seen, shown, old, seed)
                last = first if way is before else Answered(judge, way, seen, shown, old, seed)
                found = _gain(goal, first, last, targets, rows["test"], judge.spread, seed)
                goal = last.assessed.task
                measured = {split: last.assessed.measure(split) for split in _MEASURED}
            asked = sorted(rows["test"])
            columns, judged = goal.judged([seen.labels[i] for i in asked], {goal.answer: last.answers[asked]})
            write_csv(
                run.predictions,
                ("path", "split", *columns),
                [(seen.items[i].path, "test", *row) for i, row in zip(asked, judged, strict=True)],
            )
            write_csv(run.history, *history_table([]))

            owner = next((member for member in members if member.network is way.networks[0]), None)
            name = kind if kind != "single" or not owner else "tta" if way.views != "none" else owner.info.strategy
            averaging: dict[str, Any] = {
                "how": kind, "tta": way.views, "runs": names, "taken": way.name, "before": before.name, "tried": judge.tried,
                "passes_before": before.num_passes, "passes": way.num_passes,
                "seconds_before": seconds(judge, before), "seconds": seconds(judge, way), "gain": found.to_json() if found else None,
            }  # fmt: skip
            licences = tuple(dict.fromkeys(licence for member in members for licence in member.info.licences))
            backbone = " + ".join(
                dict.fromkeys(member.plan.backbone_name for member in members if member.network in way.networks or kind != "ensemble")
            )
            figures: dict[str, object] = {split: values for split, values in measured.items() if values}
            with watch("export_s"):
                preprocessing = VIEWS[way.views].wider(judge.preprocessing)
                write_bundle(
                    run.bundle,
                    Trained(last.shipped, last.onnx, backbone, last.assessed.answering, preprocessing, goal, licences),
                    pictures=some_pictures(source, [seen.items[i] for i in rows["train"]], preprocessing),
                    strategy=name,
                    training_data=TrainingData(hash=seen.data_hash, num_files=len(rows["train"])),
                    metrics=figures,
                    settled=last.assessed.settled,
                    private=any(load_settings(name).private for name in names),
                    averaging=None if owner and way.num_passes == 1 else {key: averaging[key] for key in ("how", "tta", "passes")},
                )
                if len(way.networks) == 1:  # `--weights RUN` takes them
                    made = replace(plan.passport, name=f"{plan.passport.name}, mixed", sha256="", repo=None, revision=None, golden=())
                    save_weights(way.networks[0].body.backbone, run.checkpoint / BEST, owner.plan.passport if owner else made)
            metrics = Metrics(
                task=goal.name, strategy=name, backbone=backbone, class_names=list(source.class_names),
                num_files={split: len(index) for split, index in rows.items()}, validation=measured["validation"], test=measured["test"],
                timing=Timing(), seed=seed, command=command_line("average", *names, out=out, **settings.model_dump(exclude={"average"}, exclude_defaults=True)),
                versions=versions("fovea", "numpy", "onnxruntime", "opencv-python-headless", "simplejpeg", "torch"),
                notes=[*told(averaging), *seen.notes, *last.assessed.answering.notes, *caution(measured["test"], "test")], weights=" + ".join(names),
                image_size_px=judge.preprocessing.size_px, temperature=last.assessed.answering.calibration.temperature,
                **last.assessed.answering.to_json(), search=[], averaging=averaging,
            )  # fmt: skip
            with watch("report_s"):
                write_train_report(run, source, seen, goal, {goal.answer: last.answers}, metrics, [], watch.seconds())
            metrics.timing = Timing(**watch.seconds())
            write_json(run.metrics, metrics.model_dump(mode="json"))
    return Run(run.path, metrics, run.report, run.bundle, seen.audit.num_unreadable)


def _mixed(judge: Judge, singles: Sequence[Way], how: str) -> Way:
    if len(singles) == 1:
        return singles[0]
    return {"auto": ensemble, "ensemble": ensemble, "soup": soup, "wise-ft": wise_ft}[how](judge, singles)


def _views(tta: str, num_runs: int) -> list[str]:
    if tta == "auto":
        return [name for name in VIEWS if name != "none"] if num_runs == 1 else []
    return [tta] if tta != "none" else []


def _judge(seen: Survey, member: Member, goal: Task, targets: TargetArray) -> Judge:
    rows = seen.rows["validation"]
    if not len(rows):
        raise InputError(
            "there are no validation pictures to choose with",
            got="a data set without a validation split",
            expected="some",
            fix="train with one",
        )
    if not isinstance(seen.inputs, StoredPictures):
        raise TypeError("the survey kept something else than pictures")
    spread = targets[seen.rows["train"]].std(axis=0) if goal.activation == "identity" else None
    return Judge(seen.inputs, goal, member.info.preprocessing, targets, rows, member.settings.engine, spread)


def _gain(goal: Task, first: Answered, last: Answered, targets: TargetArray, rows: Ints, spread: Floats | None, seed: int) -> Gain | None:
    """On the test pictures; None where there are none."""
    if not len(rows):
        return None
    return gain(goal.activation, first.answers[rows], last.answers[rows], targets[rows], spread=spread, seed=seed)


def _check(runs: list[str], out: str, how: str, tta: str) -> None:
    def no(problem: str, got: str, expected: str, fix: str) -> InputError:
        return InputError(problem, got=got, expected=expected, fix=fix)

    if not runs:
        raise no("there is nothing to average", "no runs", "one run or more", "fovea average RUN --out BETTER")
    if len({Path(run).resolve() for run in runs}) < len(runs):
        raise no("a run is named twice", ", ".join(runs), "different runs", "name each once")
    if Path(out).resolve() in {Path(run).resolve() for run in runs}:
        raise no("--out is one of the runs", out, "a folder of its own", "choose another folder with --out")
    if how != "auto" and len(runs) == 1:
        raise no(
            f"--how {how} takes several runs",
            runs[0],
            "two runs or more",
            "name another one, or leave --how out: one run can look several times",
        )
    if how == "wise-ft" and len(runs) != 2:
        raise no(
            "--how wise-ft takes two runs",
            f"{len(runs)} runs",
            "a probe, and what was fine-tuned from the same weights",
            "name these two, or --how soup",
        )
    if len(runs) == 1 and tta == "none":
        raise no(
            "there is nothing to average",
            "one run, and --tta none",
            "several runs, or several looks",
            "leave --tta out, or name another run",
        )


def _check_alike(members: Sequence[Member]) -> None:
    first = members[0]
    for other in members[1:]:
        for what, mine, theirs, fix in (
            ("learned another task than", first.plan.task, other.plan.task, "average runs of one task"),
            (
                "sees pictures otherwise than", first.info.preprocessing.model_dump_json(), other.info.preprocessing.model_dump_json(),
                f"train both with the same --image-size, for example {first.info.preprocessing.size_px}",
            ),
        ):  # fmt: skip
            if mine != theirs:
                raise InputError(f"{other.run!r} {what} {first.run!r}", got=theirs, expected=mine, fix=fix)


def _check_splits(members: Sequence[Member], seen: Survey) -> None:
    """What one network has learned from must not judge another: all runs must have the same pictures in the same splits."""
    for member in members:
        if member.info.training_data.hash != seen.data_hash:
            raise InputError(
                f"{member.run!r} learned from other pictures, labels or splits than are found now",
                got="splits that differ: a test picture of one may be a training picture of another",
                expected=f"those of {members[0].run!r}, as they were",
                fix="train all runs on the same unchanged data, with train, validation and test folders or with the same --seed",
            )
