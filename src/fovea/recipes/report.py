"""The report of a run, written again without training; or several runs on one page."""

import json
import webbrowser
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from fovea.data import Source, open_source
from fovea.errors import FoveaError, InputError, OutputError
from fovea.recipes._embedding_map import redrawn
from fovea.recipes._pictures import with_pictures
from fovea.recipes._results import command_line
from fovea.recipes._versus import cost_table, figures_table, versus_of
from fovea.recipes.compare import Comparison, answers_of, compare
from fovea.report import ReportData, write_report
from fovea.report.kept import FORMAT, picture_paths, to_plain
from fovea.report.words import count
from fovea.tasks.told import Told
from fovea.training.run import Metrics, RunFolder, SplitMetrics, load_history, load_metrics, load_settings
from fovea.versions import versions

_COMPARISON = "comparison.html"
_OURS = b'<meta name="generator" content="Fovea">'  # what every page of ours says within its first 2,000 bytes


@dataclass(frozen=True)
class Written:
    """A report that was written.

    Args:
        path: Where it stands.
        runs: The runs that it is of.
        comparison: Each run beside the first, where there are several that can be compared picture by picture.
        notes: What could not be shown, and why.
    """

    path: Path
    runs: tuple[str, ...]
    comparison: Comparison | None = None
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        compared = self.comparison.to_json()["comparisons"] if self.comparison else []
        return {"report": str(self.path), "runs": list(self.runs), "comparisons": compared, "notes": list(self.notes)}

    def to_text(self) -> str:
        told = [pair.to_text() for pair in self.comparison.pairs] if self.comparison else []
        return "\n".join([*told, *(f"note: {note}" for note in self.notes), f"report: {self.path}"])


def report(
    *runs: str | Path,
    out: str | None = None,
    data: str | None = None,
    embedding_map: Literal["pca", "tsne"] | None = None,
    show: bool = False,
    seed: int = 0,
) -> Written:
    """Write the report of a run again, without training; of several runs, write one page that compares them.

    Args:
        runs: The folders of one or more finished trainings. Several must have learned the same task.
        out: A file to write; by default RUN/report.html, and comparison.html in this folder for several runs.
        data: Where the pictures are now; by default where they were. If they are gone, the page is written without them.
        embedding_map: How pictures are put on the map of what looks alike: "pca" or "tsne"; by default as the run was asked.
        show: Open the page in the browser.
        seed: Of t-SNE, and of the pictures that are drawn anew for intervals.

    Returns:
        Where the page stands, and for several runs which is really better.
    """
    names = [str(run) for run in runs]
    if not names or len(set(names)) < len(names):
        raise InputError(
            "a run is named twice" if names else "there is no run to report on",
            got=", ".join(names) or "no runs",
            expected="one or more different runs",
            fix="fovea report RUN, or fovea report RUN_A RUN_B",
        )
    found = {name: load_metrics(name) for name in names}
    path = _place(out, Path(names[0]).resolve() if len(names) == 1 else None)
    with ExitStack() as stack:
        written = (
            _one(names[0], path, stack, data, embedding_map, seed) if len(names) == 1 else _several(names, found, path, stack, data, seed)
        )
    if show:
        webbrowser.open(written.path.resolve().as_uri())
    return written


def _one(run: str, path: Path, stack: ExitStack, data: str | None, way: Literal["pca", "tsne"] | None, seed: int) -> Written:
    plain = _kept(run)
    source, notes = _pictures(run, data, stack, picture_paths(plain))
    try:
        content = with_pictures(plain, source)
    except (TypeError, ValueError, KeyError) as error:
        raise _broken(run, str(error)) from error
    if way is not None:
        if content.map is None:
            raise InputError(
                f"{run!r} holds no map of its pictures", got=f"--embedding-map {way}", expected="a run with three or more test or validation pictures",
                fix="leave --embedding-map out",
            )  # fmt: skip
        content = replace(content, map=redrawn(content.map, way, seed=seed))
    write_report(path, replace(content, notes=[*content.notes, *notes]))
    return Written(path, (run,), notes=tuple(notes))


def _several(names: list[str], found: dict[str, Metrics], path: Path, stack: ExitStack, data: str | None, seed: int) -> Written:
    tasks = {metrics.task for metrics in found.values()}
    if len(tasks) > 1:
        raise InputError(
            "the runs have learned different tasks",
            got=", ".join(f"{name}: {metrics.task}" for name, metrics in found.items()),
            expected="runs of one task",
            fix="compare those that answer the same question",
        )
    called = _called(names)
    on_test = all(metrics.test is not None for metrics in found.values())
    measured = {name: metrics.test if on_test else metrics.validation for name, metrics in found.items()}
    rows = [
        {"name": called[name], "n": split.n, "accuracy": split.accuracy, "accuracy_ci95": split.accuracy_ci95, "loss": split.nll,
         "seconds": found[name].timing.total_s, "history": load_history(name)}
        for name, split in measured.items() if isinstance(split, SplitMetrics)
    ]  # fmt: skip
    paired = on_test and len(rows) == len(names)
    result = compare(*names, seed=seed) if paired else None
    if result:
        _mark_worse(names, rows, result, seed)
    versus = versus_of(result, {name: answers_of(name) for name in names}, called) if result else []
    notes = list(result.notes) if result else [f"The runs were not compared picture by picture: {_why_not(on_test)}."]
    tables = [
        figures_table({called[n]: m for n, m in found.items()}),
        cost_table({called[n]: m for n, m in found.items()}, [*map(Path, names)]),
    ]
    told = None if rows else Told(f"Here are {count(len(names), 'training')} of the same task, side by side.", tables=tables)
    content = ReportData(
        title=f"Compared: {', '.join(called.values())}",
        asked={called[name]: metrics.command for name, metrics in found.items()},
        command=command_line("report", *names, out=None if path.name == _COMPARISON and path.parent == Path() else path, data=data),
        class_names=(),
        comparison=rows,
        compared_on="test" if on_test else "validation",
        versus=versus,
        tables=tables if rows else (),
        told=told,
        told_of="test" if on_test else "validation",
        versions=versions("fovea"),
        seed=seed,
    )
    plain = to_plain(content)
    source, missing = _pictures(names[0], data, stack, picture_paths(plain))
    notes += missing
    write_report(path, replace(with_pictures(plain, source), notes=notes))
    return Written(path, tuple(names), result, tuple(notes))


def _mark_worse(names: list[str], rows: list[dict[str, Any]], result: Comparison, seed: int) -> None:
    """Says of each row whether it is shown to be worse than the best of them, on the same pictures."""
    best = names[max(range(len(rows)), key=lambda index: rows[index]["accuracy"])]
    beside = result if best == names[0] else compare(best, *(name for name in names if name != best), seed=seed)
    worse = {pair.second for pair in beside.pairs if pair.verdict == "worse"}
    for name, row in zip(names, rows, strict=True):
        row["worse"] = name in worse


def _why_not(on_test: bool) -> str:
    return "not all of them have test pictures" if not on_test else "their answers are not simply right or wrong"


def _called(names: list[str]) -> dict[str, str]:
    """The runs by the names of their folders, or as they were typed where two folders have one name."""
    short = [Path(name).resolve().name for name in names]
    return dict(zip(names, short if len(set(short)) == len(short) else names, strict=True))


def _place(out: str | None, run: Path | None) -> Path:
    """Where the page shall stand: a new file, or a page of ours.

    Raises:
        OutputError: Something else stands there.
    """
    path = Path(out) if out is not None else RunFolder(run).report if run is not None else Path(_COMPARISON)
    if path.is_dir():
        raise OutputError(
            f"{str(path)!r} is a folder, and a page is to be written there",
            got="a folder",
            expected="the name of a file",
            fix=f"--out {path / _COMPARISON}",
        )
    if path.exists() and _OURS not in path.read_bytes()[:2000]:
        raise OutputError(
            f"{str(path)!r} exists already, and is no report of Fovea",
            got="another file of that name",
            expected="a new name, or an earlier report, which is replaced",
            fix="choose another name with --out",
        )
    return path


def _kept(run: str) -> Any:
    """The content of the run's `report.json`.

    Raises:
        InputError: There is none, it is broken, or a newer Fovea wrote it.
    """
    place = RunFolder(Path(run)).kept
    try:
        plain = json.loads(place.read_bytes())
        said, content = plain["format"], plain["report"]
    except FileNotFoundError as error:
        raise InputError(
            f"the run {run!r} does not hold what its report needs: it has no {place.name}",
            got="a run of an earlier Fovea, or a file that was removed",
            expected="a folder that this Fovea has trained",
            fix="open its report.html as it is, or train again",
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _broken(run, str(error)) from error
    if not isinstance(said, int) or said > FORMAT:
        raise InputError(
            f"the report of {run!r} was made by a newer Fovea",
            got=f"{place.name} of format {said!r}",
            expected=f"format {FORMAT}",
            fix="read it with a newer copy of Fovea, or train again",
        )
    return content


def _broken(run: str, what: str) -> InputError:
    return InputError(
        f"report.json of {run!r} cannot be read",
        got=what.splitlines()[0] if what else "nothing",
        expected="what train wrote",
        fix="train again",
    )


def _pictures(run: str, data: str | None, stack: ExitStack, wanted: list[str]) -> tuple[Source | None, list[str]]:
    """The data of a run where they can still be had, and what is missing, in sentences."""
    if not wanted:
        return None, []
    try:
        settings = load_settings(run)
        source = stack.enter_context(open_source(data or settings.data, seed=settings.seed))
    except FoveaError as error:
        if data is not None:
            raise
        return None, [f"Without pictures: {error.problem}. Say where they are with --data."]
    there = {item.path for item in source.items}
    gone = [path for path in wanted if path not in there]
    if gone:
        return source, [f"{count(len(gone), 'picture')} of {len(wanted):,} are no longer there, for example {gone[0]!r}."]
    return source, []
