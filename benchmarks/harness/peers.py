"""The peers' Python environments, each of its own under .venv-peers: they need other versions than we do."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness.child import Failed, plain_environment
from benchmarks.harness.places import ROOT

PEERS = ROOT / "benchmarks" / "peers"
ENVIRONMENTS = ROOT / ".venv-peers"
_STAMP = "installed.txt"  # a copy of the requirements, written when all of them stand


def peer_python(name: str, *, chosen: str | None, say: Callable[[str], None]) -> str:
    """The Python of a peer: the chosen one, else the one under .venv-peers, made now if it is missing or outdated.

    Raises:
        Failed: It could not be made; the message ends with what pip said last.
    """
    if chosen:
        if found := shutil.which(chosen):
            return str(Path(found).absolute())  # not resolved: an environment's python is a link that must stay one
        raise Failed(f"the peer's Python {chosen!r} does not exist")
    wanted = PEERS / f"requirements-{name}.txt"
    folder = ENVIRONMENTS / name
    stamp, python = folder / _STAMP, folder / "bin" / "python"
    if stamp.is_file() and stamp.read_bytes() == wanted.read_bytes():
        return str(python)
    say(f"making the environment of the peer {name!r}: this happens once and takes some minutes")
    _must([sys.executable, "-m", "venv", "--clear", str(folder)])
    _must([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement", str(wanted)])
    stamp.write_bytes(wanted.read_bytes())
    return str(python)


def peer_versions(python: str, packages: list[str]) -> dict[str, str]:
    """The versions that a peer's environment has of these packages."""
    code = "import sys; from importlib.metadata import version; print(*[version(name) for name in sys.argv[1:]], sep='\\n')"
    found = subprocess.run([python, "-c", code, *packages], capture_output=True, text=True, env=plain_environment(), check=True)
    return dict(zip(packages, found.stdout.split(), strict=True))


def _must(words: list[str]) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=plain_environment(), check=False)
    if done.returncode != 0:
        raise Failed(f"exit code {done.returncode} of: {' '.join(words)}\n" + "\n".join(done.stdout.splitlines()[-15:]))
