"""RUN, the folder that `train` writes: where each file stands, and whether one may be begun, resumed or must be left alone."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fovea.bundle.archive import OPTIONAL, REQUIRED
from fovea.errors import InputError, OutputError, told_of, writing
from fovea.files import is_unfinished, ready_folder, write_json
from fovea.tasks import create_task
from fovea.training.checkpoint import BEST, FAILED, LAST, VIEWS
from fovea.training.settings import TrainSettings

RUN_FORMAT = 1
SCHEMA_FILE = "metrics.schema.json"


class TaskMetrics(BaseModel):
    """A task's own measures on one split, each with its interval under `_ci95`."""

    model_config = ConfigDict(extra="allow")

    n: int


class SplitMetrics(TaskMetrics):
    """A classifier's measures on one split; other tasks name their own."""

    accuracy: float = Field(ge=0, le=1)
    accuracy_ci95: tuple[float, float]
    top5_accuracy: float | None
    ece: float  # the same as `calibration_error`, which older runs lack
    nll: float
    confusion: list[list[int]]
    balanced_accuracy: float | None = None  # None from here on: written before there was such a measure
    balanced_accuracy_ci95: tuple[float, float] | None = None
    macro_f1: float | None = None
    macro_f1_ci95: tuple[float, float] | None = None
    roc_auc: float | None = None
    roc_auc_ci95: tuple[float, float] | None = None
    average_precision: float | None = None
    average_precision_ci95: tuple[float, float] | None = None
    brier: float | None = None
    brier_ci95: tuple[float, float] | None = None
    calibration_error: float | None = None
    calibration_error_ci95: tuple[float, float] | None = None


class Timing(BaseModel):
    """Seconds of each stage; a stage that did not run took 0."""

    model_config = ConfigDict(extra="allow")

    total_s: float = 0
    audit_s: float = 0
    decode_s: float = 0
    embed_s: float = 0
    train_s: float = 0
    evaluate_s: float = 0
    explain_s: float = 0
    export_s: float = 0
    report_s: float = 0


class Metrics(BaseModel):
    """The content of `metrics.json`. Fields may be added; none may be moved, renamed or given another meaning."""

    model_config = ConfigDict(extra="allow")

    format: int = RUN_FORMAT
    task: str
    strategy: str
    backbone: str
    class_names: list[str]
    num_files: dict[str, int]
    validation: SplitMetrics | TaskMetrics | None
    test: SplitMetrics | TaskMetrics | None
    timing: Timing
    seed: int
    command: str
    versions: dict[str, str]


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `metrics.json` as it is frozen beside this file."""
    schema: dict[str, Any] = json.loads(files("fovea.training").joinpath(SCHEMA_FILE).read_text())
    return schema


@dataclass(frozen=True)
class RunFolder:
    """The places in a run's folder. `metrics.json` is written last: where it stands, the run is finished."""

    path: Path

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def kept(self) -> Path:
        """What the report holds, without its pictures: `fovea report` writes the page again from it."""
        return self.path / "report.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def history(self) -> Path:
        return self.path / "history.csv"

    @property
    def curves(self) -> Path:
        return self.path / "learning_curves.png"

    @property
    def tensorboard(self) -> Path:
        return self.path / "tensorboard"

    @property
    def predictions(self) -> Path:
        return self.path / "predictions.csv"

    @property
    def audit(self) -> Path:
        return self.path / "audit.json"

    @property
    def checkpoint(self) -> Path:
        return self.path / "checkpoint"

    @property
    def settings(self) -> Path:
        return self.checkpoint / "settings.json"

    @property
    def bundle(self) -> Path:
        return self.path / "bundle"


@dataclass(frozen=True)
class Run:
    """A finished run: what `train` returns."""

    path: Path
    metrics: Metrics
    report: Path
    bundle: Path
    num_unreadable: int = 0

    def to_json(self) -> dict[str, Any]:
        places = {"run": str(self.path), "report": str(self.report), "bundle": str(self.bundle)}
        return places | self.metrics.model_dump(mode="json")

    def to_text(self) -> str:
        """What a person reads when it is done."""
        lines = []
        task = create_task(self.metrics.task, self.metrics.class_names)
        for name in ("test", "validation"):
            found: SplitMetrics | TaskMetrics | None = getattr(self.metrics, name)
            if found and (told := task.told(found.model_dump(), split=name)) is not None:
                lines.append(f"{name}: {' '.join([told.sentence, told.caution]).strip()}")
            if isinstance(found, SplitMetrics):
                low, high = found.accuracy_ci95
                right = round(found.accuracy * found.n)
                lines.append(
                    f"{name}: right on {right:,} of {found.n:,} pictures, {found.accuracy:.1%} (95 % interval {low:.1%} to {high:.1%})"
                )
        hidden = (self.metrics.model_extra or {}).get("cross_validation") or {}
        if "accuracy" not in hidden and isinstance(found := self.metrics.test or self.metrics.validation, SplitMetrics):
            learned = (self.metrics.model_extra or {}).get("train") or found.model_dump()
            commonest = max(
                range(len(found.confusion)), key=lambda row: sum(learned["confusion"][row])
            )  # of what it learned from, as in the report
            share = sum(found.confusion[commonest]) / found.n
            if found.accuracy_ci95[0] <= max(share, 1 / len(self.metrics.class_names)):
                name = self.metrics.class_names[commonest]
                lines.append(
                    f"nothing was learned, as far as can be told: that is not shown to be better than always answering {name!r}, which is right on {share:.1%}"
                )
        lines += self._doubts()
        lines += [f"note: {note}" for note in (self.metrics.model_extra or {}).get("notes", [])]
        if self.num_unreadable:
            lines.append(
                f"left out because they cannot be read: {self.num_unreadable:,}; {self.path / 'audit.json'} and the report name each"
            )
        lines += [f"report: {self.report}", f"bundle: {self.bundle}", f"took {self.metrics.timing.total_s:.1f} s"]
        return "\n".join(lines)

    def _doubts(self) -> list[str]:
        """Which figure to believe instead, where the test split's is not the honest one."""
        lines, further = [], self.metrics.model_extra or {}
        hidden, leaked = further.get("cross_validation") or {}, further.get("leaked")
        if "accuracy" in hidden:
            low, high = hidden["accuracy_ci95"]
            lines.append(
                f"with only {hidden['n']:,} pictures, believe repeated cross-validation instead: right on {hidden['accuracy']:.1%} of pictures that were "
                f"hidden (95 % interval {low:.1%} to {high:.1%})"
            )
            if low <= hidden["commonest"]:
                lines.append(
                    f"nothing was learned, as far as can be told: that is not shown to be better than the commonest class alone, {hidden['commonest']:.1%}"
                )
        if leaked:
            lines.append(f"the data is leaked: {leaked['n']:,} of {leaked['of']:,} {leaked['split']} pictures stand in training too")
            if leaked["clean"]:
                low, high = leaked["clean"]["accuracy_ci95"]
                lines.append(
                    f"on the other {leaked['clean']['n']:,} it was right on {leaked['clean']['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%})"
                )
        return lines


@contextmanager
def open_run(path: str | Path, settings: BaseModel, *, overwrite: bool) -> Iterator[RunFolder]:
    """Begins a run, or goes on with an unfinished one of the same settings. What Fovea did not write is never deleted.

    A run that ends because of what it was given (an InputError) leaves nothing behind that would stand in the way of
    the next attempt; one that is killed or fails otherwise can be resumed.

    Raises:
        OutputError: The folder cannot be written, holds files that are no run's, or a run and `overwrite` is off.
    """
    run = RunFolder(ready_folder(path))
    strangers = _strangers(run)
    if strangers:
        raise OutputError(
            f"{str(run.path)!r} holds other files; a run is written to a folder of its own",
            got=", ".join(strangers[:5]) + (" ..." if len(strangers) > 5 else ""),
            expected="a new or empty folder, or an unfinished run",
            fix="choose another folder with --out (--overwrite replaces an earlier run, never other files)",
        )
    asked = _mark(settings)
    try:
        found = _read_settings(run)
    except InputError:
        if not overwrite:
            raise
        found = {}
    if found is None and any(entry.name in _OURS[""] for entry in run.path.iterdir() if entry != run.checkpoint):
        found = {}
    if not overwrite and (run.metrics.exists() or (found is not None and found != asked)):
        what = "a finished run" if run.metrics.exists() else f"an unfinished run with other settings ({_difference(found or {}, asked)})"
        raise OutputError(
            f"{str(run.path)!r} already holds {what}",
            got=what,
            expected="a new or empty folder, or an unfinished run with the same settings (it is then resumed)",
            fix="choose another folder with --out, or add --overwrite to replace it",
        )
    try:
        yield run
    except InputError:
        if found is None:
            _remove(run)
            with suppress(OSError):
                run.path.rmdir()  # only if it is empty
        raise


def begin(run: RunFolder, settings: BaseModel, *, overwrite: bool) -> None:
    """Marks the folder as this run's, once its data are known to be usable: an earlier run there is removed now, and not before."""
    if overwrite:
        _remove(run)
    write_json(run.settings, _mark(settings))


def _mark(settings: BaseModel) -> dict[str, Any]:
    return {"format": RUN_FORMAT, "settings": settings.model_dump(mode="json")}


def load_metrics(path: str | Path) -> Metrics:
    """The `metrics.json` of a finished run.

    Raises:
        InputError: There is no run, it is unfinished, its file is broken, or a newer Fovea wrote it.
    """
    run = RunFolder(Path(path))
    try:
        found = json.loads(run.metrics.read_bytes())
        said = found.get("format", RUN_FORMAT) if isinstance(found, dict) else None
        if not (isinstance(said, int) and said > RUN_FORMAT):
            return Metrics.model_validate(found)
    except FileNotFoundError as error:
        unfinished = run.settings.exists()
        raise InputError(
            f"{str(path)!r} is {'an unfinished run' if unfinished else 'no run'}: it has no metrics.json",
            got="settings only" if unfinished else "no run",
            expected="a folder that `fovea train` has finished",
            fix="give the same `fovea train` command again: it goes on where it stopped" if unfinished else "check the name",
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(
            f"metrics.json of {str(path)!r} cannot be read",
            got=told_of(error) if isinstance(error, ValueError) else str(error),
            expected="what train wrote",
            fix="train again",
        ) from error
    raise _newer(run, "metrics.json", said)


def _newer(run: RunFolder, file: str, said: object) -> InputError:
    return InputError(
        f"the run {str(run.path)!r} was made by a newer Fovea",
        got=f"{file} of format {said!r}",
        expected=f"format {RUN_FORMAT}",
        fix="use it with a newer copy of Fovea, or train again",
    )


def finished(path: str | Path, settings: TrainSettings) -> Metrics | None:
    """The metrics of a finished run of these settings; None where there is no finished run.

    Raises:
        OutputError: A finished run of other settings stands there.
    """
    run = RunFolder(Path(path))
    if not run.metrics.exists():
        return None
    asked, found = _mark(settings), _read_settings(run)
    if found != asked:
        raise OutputError(
            f"{str(path)!r} already holds a run with other settings",
            got=_difference(found or {}, asked),
            expected="a run that was asked for alike, or none",
            fix="choose another --out, or add --overwrite",
        )
    return load_metrics(path)


def load_settings(path: str | Path) -> TrainSettings:
    """What a run was asked for.

    Raises:
        InputError: There is no run, or what it was asked for cannot be read.
    """
    found = (_read_settings(RunFolder(Path(path))) or {}).get("settings")
    try:
        return TrainSettings.model_validate(found)
    except ValueError as error:
        raise InputError(
            f"{str(path)!r} does not say what it was trained with",
            got="no checkpoint/settings.json that can be read",
            expected="a folder that `fovea train` has written",
            fix="check the name, or train again",
        ) from error


def load_history(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a run's `history.csv`, numbers as numbers; none where there were no epochs."""
    with suppress(OSError), open(RunFolder(Path(path)).history, newline="", encoding="utf-8") as file:
        return [
            {name: value if name == "split" else float(value) for name, value in row.items() if value != ""} for row in csv.DictReader(file)
        ]
    return []


# What a run consists of. A folder of these names that holds other files, or a report without a run, is somebody else's.
_OURS = {
    "": {
        "report.html",
        "report.json",
        "metrics.json",
        "history.csv",
        "predictions.csv",
        "audit.json",
        "learning_curves.png",
        "tensorboard",
        "checkpoint",
        "bundle",
    },
    "checkpoint": {"settings.json", "choice.json", BEST, LAST, FAILED, *VIEWS},
    "bundle": {*REQUIRED, *OPTIONAL, "README.md"},
}


def _strangers(run: RunFolder) -> list[str]:
    """What stands in the folder that no training wrote there: then nothing of it may be removed or written over."""
    found = [
        (Path(folder) / entry.name).as_posix()
        for folder, ours in _OURS.items()
        if (run.path / folder).is_dir()
        for entry in (run.path / folder).iterdir()
        if entry.name not in ours and not is_unfinished(entry.name)
    ]
    if run.tensorboard.is_dir():
        found += [
            f"{run.tensorboard.name}/{entry.name}"
            for entry in run.tensorboard.iterdir()
            if not entry.name.startswith("events.out.tfevents.")
        ]
    if not found and not run.settings.exists() and not _is_finished(run):  # settings are the first file of a run, and the last to go
        found = [entry.name for entry in run.path.iterdir() if not is_unfinished(entry.name)]
    return sorted(found)


def _is_finished(run: RunFolder) -> bool:
    try:
        load_metrics(run.path)
    except InputError:
        return False
    return True


def _read_settings(run: RunFolder) -> dict[str, Any] | None:
    try:
        found = json.loads(run.settings.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    if isinstance(said := found.get("format"), int) and said > RUN_FORMAT:
        raise _newer(run, "checkpoint/settings.json", said)
    return found


def _difference(found: dict[str, Any], asked: dict[str, Any]) -> str:
    was, wanted = found.get("settings") or {}, asked["settings"]
    names = [name for name in wanted if was.get(name) != wanted[name]]
    if not was or not names:
        return "not readable"
    return "; ".join(f"{name} was {was.get(name)!r}, is {wanted[name]!r}" for name in names[:4])


def _remove(run: RunFolder) -> None:
    """Removes an earlier run: the mark of a finished one first, so that a kill in between leaves no half that looks whole."""
    with writing(run.path):
        run.metrics.unlink(missing_ok=True)
        for name in sorted(_OURS[""], key=lambda name: (name == run.checkpoint.name, name)):
            entry = run.path / name
            if entry.is_dir() and not entry.is_symlink():
                for file in sorted(entry.iterdir(), key=lambda file: file == run.settings):  # the settings last of all
                    file.unlink()
                entry.rmdir()
            else:
                entry.unlink(missing_ok=True)
