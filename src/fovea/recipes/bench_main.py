"""Time the main job against the texts' Keras listing, at any time: it must stay as fast as it was."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from fovea.errors import FoveaError, InputError
from fovea.progress import say


@dataclass(frozen=True)
class MainJobTimes:
    """The figures, each with its spread and its limit, and what must be known beside them."""

    pairs: int
    figures: list[dict[str, Any]]
    notes: list[str]
    table: str

    @property
    def exit_code(self) -> int:
        """1 where a figure misses its limit."""
        return 0 if all(figure["holds"] for figure in self.figures) else 1

    def to_json(self) -> dict[str, Any]:
        return {"pairs": self.pairs, "holds": self.exit_code == 0, "figures": self.figures, "notes": self.notes}

    def to_text(self) -> str:
        verdict = "every limit holds" if self.exit_code == 0 else "a limit is missed"
        return "\n".join([self.table, *(f"- {note}" for note in self.notes), verdict])


def bench_main(*, pairs: int = 5, peer_python: str | None = None) -> MainJobTimes:
    """For developers of Fovea: time the main job against the texts' Keras listing on the same photos.

    Cold it may take at most 0.4 of its time, warm at most 1/12. It needs a source checkout (the peer's listing lies in benchmarks/) and the test data. Both processes take turns,
    and the ratios are taken pair by pair. `python benchmarks/run.py main_job --record` writes the figures down.

    Args:
        pairs: How often each of them runs; one pair takes about two minutes.
        peer_python: A Python that has keras and tensorflow-cpu; by default an environment under .venv-peers, made when missing.

    Returns:
        The figures; the exit code is 1 where a limit is missed.
    """
    if pairs < 1:
        raise InputError(f"--pairs cannot be {pairs}", got=pairs, expected="1 or more", fix="give --pairs another value, or leave it out")
    root = _checkout()
    with _importable(root):
        main_job: Any = import_module("benchmarks.questions.main_job")
        figures: Any = import_module("benchmarks.harness.figures")
        places: Any = import_module("benchmarks.harness.places")
        child: Any = import_module("benchmarks.harness.child")
        record: Any = import_module("benchmarks.harness.record")
    try:
        answer = main_job.measure(figures.Options(pairs, say, peer_python), main_job.GUARD)
    except places.Skip as reason:
        raise InputError(
            f"the photos and weights of the benchmark are not here: {reason}",
            got="no such file or folder",
            expected="the folder of test data, with " + " and ".join(main_job.NEEDS),
            fix="name it in the environment variable FOVEA_TEST_DATA (default: ../shared beside the checkout)",
        ) from reason
    except child.Failed as error:
        first, _, rest = str(error).partition("\n")
        raise FoveaError(
            f"a run of the benchmark failed: {first}",
            got=rest or first,
            expected="a run that ends well, with the same figures cold and warm",
            fix="run the same command by hand",
        ) from error
    plain = answer.to_json()
    return MainJobTimes(pairs, plain["figures"], plain["notes"], record.table(answer))


def _checkout() -> Path:
    """The root of the source checkout that this file is part of."""
    root = Path(__file__).resolve().parents[3]
    if (root / "src" / "fovea").is_dir() and (root / "benchmarks" / "questions" / "main_job.py").is_file():
        return root
    raise InputError(
        "bench-main works from a source checkout of Fovea, and this is an installed package",
        got="no benchmarks/ beside src/",
        expected="a clone of the repository",
        fix="clone it, and give there: pip install -e . && fovea bench-main",
    )


@contextmanager
def _importable(root: Path) -> Iterator[None]:
    """The checkout's benchmarks can be imported within it; afterwards the path is as it was."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
