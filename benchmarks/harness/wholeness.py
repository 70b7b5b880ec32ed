"""What a killed run may leave behind: files that are whole, or no files; and how one tells."""

import csv
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

# The results in the order in which a run writes them; metrics.json comes last and says that it is finished.
_IN_ORDER = (
    "checkpoint/settings.json",
    "audit.json",
    "checkpoint/last.safetensors",
    "history.csv",
    "predictions.csv",
    "bundle",
    "bundle/bundle.json",
)
_LATEST_FIRST = ("metrics.json", "report.html", *reversed(_IN_ORDER))


def stage_of(run: Path) -> str:
    """How far a run had come: "before" or "after" and the last file that it had written."""
    return next((f"after {name}" for name in _LATEST_FIRST if (run / name).exists()), "before any file")


def faults_of(run: Path, cache: Path) -> list[str]:
    """What is corrupt, or looks whole and is not; nothing where all is well. Opens every file that stands there."""
    checks: dict[Path, Callable[[Path], None]] = {
        cache / "embeddings.sqlite": _check_store,
        run / "checkpoint" / "settings.json": _check_json,
        run / "audit.json": _check_json,
        run / "history.csv": _check_table,
        run / "predictions.csv": _check_table,
        run / "report.html": _check_page,
        run / "bundle" / "bundle.json": _check_bundle,
        run / "metrics.json": _check_run,
    }
    checks |= dict.fromkeys((run / "checkpoint").glob("*.safetensors"), _check_checkpoint)
    checks |= dict.fromkeys((cache / "engines").glob("*.onnx"), _check_engine)
    faults = []
    for path, check in checks.items():
        if path.exists():
            try:
                check(path)
            except Exception as error:  # whatever it is: it is what a person would meet
                first_line = str(error).partition("\n")[0].replace(f"{run.parent}{os.sep}", "")  # no path of this machine is written down
                faults.append(f"{path.name}: {type(error).__name__}: {first_line}")
    return faults


def _check_store(path: Path) -> None:
    from fovea.embeddings.store import EmbeddingStore

    with closing(sqlite3.connect(path)) as database:
        said = [row[0] for row in database.execute("PRAGMA integrity_check")]
        if said != ["ok"]:
            raise ValueError(f"integrity check: {said[:3]}")
    with EmbeddingStore(path) as store:
        store.size()
    with closing(sqlite3.connect(path)) as database:
        lengths = [row[0] for row in database.execute("SELECT DISTINCT length(vector) FROM vectors")]
        alone = database.execute("SELECT count(*) FROM vectors WHERE content NOT IN (SELECT content FROM facts)").fetchone()[0]
        if len(lengths) > 1 or alone:
            raise ValueError(f"vectors of {lengths} bytes, {alone} of them without their picture's facts")


def _check_json(path: Path) -> None:
    json.loads(path.read_text())


def _check_table(path: Path) -> None:
    with open(path, newline="") as file:
        header, *rows = list(csv.reader(file))
    if any(len(row) != len(header) for row in rows) or not path.read_text().endswith("\n"):
        raise ValueError("a row is cut off")


def _check_page(path: Path) -> None:
    if not path.read_text().rstrip().endswith("</html>"):
        raise ValueError("the page is cut off")


def _check_bundle(path: Path) -> None:
    from fovea.bundle import load_bundle

    load_bundle(path.parent)


def _check_run(path: Path) -> None:
    """Where metrics.json stands, the run is finished: it is valid, and everything else is there."""
    from fovea.training.run import load_metrics

    load_metrics(path.parent)
    missing = [
        name
        for name in ("report.html", "history.csv", "predictions.csv", "audit.json", "bundle/bundle.json")
        if not (path.parent / name).exists()
    ]
    if missing:
        raise ValueError(f"it looks finished without {', '.join(missing)}")


def _check_checkpoint(path: Path) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        for name in file.keys():  # noqa: SIM118 - not a dict: it cannot be iterated itself
            file.get_tensor(name)


def _check_engine(path: Path) -> None:
    from fovea.engines import open_engine

    open_engine(path.read_bytes())
