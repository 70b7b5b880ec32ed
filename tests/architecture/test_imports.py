"""What is imported when: nothing heavy at the door, no torch where bundles are used, nothing that is not declared."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

# what must work where torch is not installed; folders stand for all of their modules
TORCH_FREE = (
    "errors", "registry", "types", "files", "versions", "timing", "progress", "data", "transforms", "loading", "engines",
    "metrics", "tasks", "bundle", "explain.bundle_subject", "explain.opening", "explain.methods", "explain.drawing", "recipes.predict", "recipes.evaluate", "recipes.explain", "commands", "options", "cli",
)  # fmt: skip

# what a machine needs that only uses bundles; see requirements-runtime.txt
RUNTIME = ("bundle", "recipes.predict", "recipes.evaluate", "recipes.explain", "cli")

# where the name to import is not the name to install
INSTALLED_AS = {"cv2": "opencv-python-headless", "PIL": "pillow", "sklearn": "scikit-learn", "av": "av", "google": "protobuf"}


def modules(root: Path, part: str) -> list[str]:
    """The modules of a part that exist, with their dotted names."""
    place = (root / "src" / "fovea").joinpath(*part.split("."))
    files = [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else sorted(place.rglob("*.py"))
    names = [".".join(["fovea", *file.relative_to(root / "src" / "fovea").with_suffix("").parts]) for file in files]
    return [name.removesuffix(".__init__") for name in names]


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def project(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]  # type: ignore[no-any-return]


def name_of(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement, maxsplit=1)[0].lower().replace("_", "-")


@pytest.mark.parametrize(
    "code",
    [
        "import fovea",
        "import fovea; dir(fovea); hasattr(fovea, 'no_such_name')",
        "from fovea.cli import main; main(['--help'])",
        "from fovea.cli import main; main(['no-such-command'])",
    ],
)
def test_the_door_is_light(code: str) -> None:
    heavy = ["torch", "numpy", "cv2", "PIL", "sklearn", "scipy", "onnx", "onnxruntime", "pydantic", "huggingface_hub", "jinja2"]
    done = run(f"import sys; {code}; print([name for name in {heavy} if name in sys.modules])")
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stderr


def test_no_torch_where_bundles_are_used(root: Path) -> None:
    names = [name for part in TORCH_FREE for name in modules(root, part)]
    assert len(names) > 20, "the modules were not found"
    done = run("import sys, importlib; sys.modules['torch'] = None\n" + f"for name in {names}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


def test_the_runtime_needs_only_its_own_list(root: Path) -> None:
    """Imports the runtime half with everything else of the core blocked."""
    runtime = {name_of(line) for line in requirements(root)}
    install_name = {v: k for k, v in INSTALLED_AS.items()}
    core = {name_of(line) for line in project(root)["dependencies"]}
    blocked = [install_name.get(name, name).replace("-", "_") for name in sorted(core - runtime)]
    assert {"torch", "sklearn", "huggingface_hub"} <= set(blocked)
    names = [name for part in RUNTIME for name in modules(root, part)]
    assert len(names) > 3, "the modules were not found"
    code = f"import sys, importlib\nfor name in {blocked}: sys.modules[name] = None\nfor name in {names}: importlib.import_module(name)"
    done = run(code)
    assert done.returncode == 0, done.stderr


def requirements(root: Path) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in (root / "requirements-runtime.txt").read_text().splitlines())
    return [line for line in lines if line]


def test_the_runtime_list_is_a_part_of_the_core(root: Path) -> None:
    assert len(requirements(root)) > 5
    assert set(requirements(root)) <= set(project(root)["dependencies"])


def test_what_is_imported_is_declared(root: Path) -> None:
    declared = {name_of(line) for line in project(root)["dependencies"]}
    for extra in project(root)["optional-dependencies"].values():
        declared |= {name_of(line) for line in extra}
    found: dict[str, str] = {}
    for path in sorted((root / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found.update({name.split(".")[0]: f"{path.relative_to(root)}:{getattr(node, 'lineno', 0)}" for name in names})
    others = {name: where for name, where in found.items() if name not in sys.stdlib_module_names and name != "fovea"}
    assert len(others) > 5, "the imports were not read"
    missing = {name: where for name, where in others.items() if INSTALLED_AS.get(name, name).lower().replace("_", "-") not in declared}
    assert missing == {}


def test_every_benchmark_can_be_asked(root: Path) -> None:
    names = sorted(path.stem for path in (root / "benchmarks" / "questions").glob("*.py") if path.stem != "__init__")
    assert len(names) > 5
    for name in names:
        question = import_module(f"benchmarks.questions.{name}")
        assert all((question.ASKS, question.REPEATS > 0, callable(question.measure), isinstance(question.NEEDS, tuple))), name


def test_what_is_declared_is_pinned(root: Path) -> None:
    """`make` installs exact versions of the core and of what the tests need."""
    pinned = {name_of(line): line for line in (root / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")}
    wanted = [*project(root)["dependencies"], *project(root)["optional-dependencies"]["dev"]]
    assert [name_of(line) for line in wanted if name_of(line) not in pinned] == []
    assert [line for line in pinned.values() if not re.fullmatch(r"[\w.-]+==[\w.]+", line)] == []
