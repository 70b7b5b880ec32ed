"""A process under measurement: seconds on the clock from its start to its end, and the most memory that it held."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.harness.places import ROOT

_TOO_LONG_S = 3600.0


@dataclass(frozen=True)
class Ended:
    """How a child ended. `peak_mib` is its maximum resident set, with the file pages that it mapped."""

    seconds: float
    peak_mib: float
    exit_code: int  # -9 where it was killed
    output: str


class Failed(Exception):
    """A child that had to succeed did not."""


def our_environment(cache: Path) -> dict[str, str]:
    """The environment of a child of ours: this checkout, this cache, and no other setting of the person who measures."""
    kept = {name: value for name, value in plain_environment().items() if not name.startswith("FOVEA_")}
    return kept | {"PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", "FOVEA_CACHE": str(cache)}


def plain_environment() -> dict[str, str]:
    """The environment of a peer: as it is, but for paths that lead to us.

    Python keeps what it has compiled, as everywhere: an installed package is not compiled anew at each start.
    """
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")}


def fovea(words: Sequence[str], *, cache: Path, folder: Path) -> Ended:
    """`fovea WORDS` as a process of its own, in `folder`. It must succeed."""
    return measured([sys.executable, "-m", "fovea", *words], environment=our_environment(cache), folder=folder)


def measured(words: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Ended:
    """Runs a process to its end.

    Raises:
        Failed: It did not exit with 0; the message ends with what it said last.
    """
    with started(words, environment=environment, folder=folder) as child:
        ended = child.wait()
    if ended.exit_code != 0:
        last = "\n".join(ended.output.splitlines()[-15:])
        raise Failed(f"exit code {ended.exit_code} of: {' '.join(words)}\n{last}")
    return ended


class Child:
    """A running process; what it prints goes to a file, so that it never waits for a reader."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        self._log = folder / "output.log"
        with open(self._log, "wb") as log:
            self.started_s = time.perf_counter()
            self._process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=dict(environment), cwd=folder)
        self._watchdog = threading.Timer(_TOO_LONG_S, self.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def kill(self) -> None:
        """SIGKILL: the process cannot do anything about it."""
        if self._process.returncode is None:
            os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill looks whether it has ended, and would take its end from `wait`

    def running(self) -> bool:
        """Whether it has not ended; takes nothing away from `wait`."""
        found = os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return found is None

    def wait(self) -> Ended:
        """Waits for its end."""
        # A child of a large parent starts with the parent's memory as its peak: the processes that ask must stay small.
        _, status, used = os.wait4(self._process.pid, 0)
        seconds = time.perf_counter() - self.started_s
        self._process.returncode = os.waitstatus_to_exitcode(status)  # or Popen would wait once more
        unit = 1024**2 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
        return Ended(seconds, used.ru_maxrss / unit, self._process.returncode, self._log.read_text(errors="replace"))

    def close(self) -> None:
        """Ends it if it still runs."""
        self._watchdog.cancel()
        if self._process.returncode is None:
            self.kill()
            self._process.wait()


@contextmanager
def started(words: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> Iterator[Child]:
    """A running process, which does not outlive the block."""
    child = Child(words, environment, folder)
    try:
        yield child
    finally:
        child.close()
