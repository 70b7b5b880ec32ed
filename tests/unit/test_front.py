"""`import fovea`: its names, and those that a command shares with a folder."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fovea

SOURCE = Path(fovea.__file__).parent


@pytest.fixture
def toy_fovea(tmp_path: Path) -> Path:
    """A package `fovea` with the real front and toy parts: `audit` is a command and a folder, `train` only a command."""
    package = tmp_path / "fovea"
    for folder in ("recipes", "audit", "data"):
        (package / folder).mkdir(parents=True)
        (package / folder / "__init__.py").write_text(f'"""The folder {folder}."""\n')
    for name in ("__init__.py", "commands.py", "errors.py"):
        shutil.copy(SOURCE / name, package / name)
    for name in ("audit", "train"):
        (package / "recipes" / f"{name}.py").write_text(
            f'from fovea.errors import FoveaError\ndef {name}(data: str, *, seed: int = 0) -> str:\n    """The command {name}."""\n'
            f'    return f"{name} {{data}} {{seed}}"\n'
        )
    (package / "audit" / "hashes.py").write_text("SIZE = 40\n")
    (package / "data" / "__init__.py").write_text("def open_source(data): ...\n")
    return tmp_path


@pytest.mark.parametrize(
    "code",
    [
        # the command before, after and without any import of the folder
        "import fovea; assert fovea.audit('x', seed=1) == 'audit x 1'",
        "import fovea, fovea.audit.hashes; assert fovea.audit('x') == 'audit x 0'; assert fovea.audit.hashes.SIZE == 40",
        "import fovea; fovea.audit('x'); import fovea.audit.hashes; assert fovea.audit('x') == 'audit x 0'",
        "import fovea; kept = fovea.audit; import fovea.audit.hashes; assert fovea.audit is kept",
        # every way to import the folder's parts
        "from fovea.audit import hashes; assert hashes.SIZE == 40",
        "import fovea.audit.hashes as hashes; assert hashes.SIZE == 40",
        "import fovea.audit as audit, fovea.audit.hashes; assert audit.hashes.SIZE == 40; assert audit('x') == 'audit x 0'",
        "from fovea import audit; assert audit('x') == 'audit x 0'",
        "import importlib; assert importlib.import_module('fovea.audit')('x') == 'audit x 0'",
        "import pkgutil; assert pkgutil.resolve_name('fovea.audit.hashes.SIZE') == 40",
        # what a notebook shows of it
        "import fovea, inspect; assert str(inspect.signature(fovea.audit)) == '(data: str, *, seed: int = 0) -> str'",
        "import fovea; assert fovea.audit.__doc__ == 'The command audit.'; assert fovea.train.__doc__ == 'The command train.'",
        # folders that are no commands stay plain modules
        "import fovea.data; assert not callable(fovea.data); assert fovea.data.__doc__ is None",
        # the names
        "import fovea; assert dir(fovea) == sorted(['FoveaError', '__version__', 'audit', 'create_backbone', "
        "'load_bundle', 'open_source', 'train'])",
        "import fovea; assert not hasattr(fovea, '__wrapped__'); assert not hasattr(fovea, 'no_such_name')",
        "from fovea import FoveaError; from fovea.errors import FoveaError as same; assert FoveaError is same",
        "import fovea; assert fovea.open_source is fovea.open_source; assert fovea.train is fovea.train",
        # light until it is used
        "import fovea, sys; assert not [m for m in sys.modules if m.startswith('fovea.')]",
    ],
)
def test_a_command_and_a_folder_of_one_name(toy_fovea: Path, code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=toy_fovea, env={"PYTHONPATH": str(toy_fovea)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_offers_the_near_ones(toy_fovea: Path) -> None:
    code = "import fovea\nfor name in ('trian', 'zzz'):\n    try: getattr(fovea, name)\n    except AttributeError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], cwd=toy_fovea, env={"PYTHONPATH": str(toy_fovea)}, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "fovea has no 'trian': did you mean train?",
        "fovea has no 'zzz': it has FoveaError, __version__, audit, create_backbone, load_bundle, open_source, train",
    ]
