"""How soon the command line answers, and what a plain import costs."""

import sys
import tempfile
from pathlib import Path

from benchmarks.harness.child import Failed, fovea, measured, our_environment
from benchmarks.harness.figures import Answer, Limit, Options, count, repeated

ASKS = "How soon does `fovea --help` answer, and does `import fovea` leave torch alone?"
REPEATS = 10
NEEDS = ()

_HELP_S = 0.4
_PROBE = """
import sys, time
before = time.perf_counter()
import fovea
seconds = time.perf_counter() - before
heavy = [name for name in ("torch", "numpy", "cv2", "sklearn", "onnxruntime", "PIL") if name in sys.modules]
print(seconds, *heavy)
"""


def measure(options: Options) -> Answer:
    """Starts each process as often as asked, after one that does not count.

    Raises:
        Failed: A process did not end well.
    """
    with tempfile.TemporaryDirectory(prefix="fovea-bench-") as name:
        folder = Path(name)
        pages, imports, plain, heavy = [], [], [], set[str]()
        for number in range(options.repeats + 1):
            page = fovea(["--help"], cache=folder / "cache", folder=folder)
            if "train" not in page.output:
                raise Failed(f"`fovea --help` names no command train:\n{page.output}")
            seconds, *found = _probe(folder)
            empty = _nothing(folder)
            if number:  # the first one brings the files in from the disk
                pages.append(page.seconds)
                imports.append(float(seconds))
                plain.append(empty)
            heavy.update(found)
        options.say(f"heavy modules after `import fovea`: {', '.join(sorted(heavy)) or 'none'}")
    return Answer(
        figures=[
            repeated("`fovea --help`, whole process", pages, "s", limit=Limit(_HELP_S)),
            repeated("`import fovea`, within a process", imports, "s"),
            repeated("an empty Python process, for comparison", plain, "s"),
            count("imports of torch by `import fovea`", int("torch" in heavy), options.repeats, limit=Limit(0), of="runs"),
        ],
        notes=[f"Other large packages that `import fovea` imports: {', '.join(sorted(heavy - {'torch'})) or 'none'}."],
        command="fovea --help",
    )


def _nothing(folder: Path) -> float:
    """Seconds of a Python process that does nothing."""
    return measured([sys.executable, "-c", ""], environment=our_environment(folder / "cache"), folder=folder).seconds


def _probe(folder: Path) -> list[str]:
    return measured([sys.executable, "-c", _PROBE], environment=our_environment(folder / "cache"), folder=folder).output.split()
