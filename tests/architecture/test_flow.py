"""The folders are the flow, and imports only look back."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# The order of the flow, stated here once. A part may import itself and what stands before it. `fovea` itself, the front
# door, loads names from everywhere, so that only the examination of strangers' parts, which comes last, may use it.
FLOW = (
    "errors", "registry", "types", "files", "versions", "timing", "progress",
    "data", "transforms", "loading", "models", "engines", "embeddings", "losses", "metrics", "tasks", "bundle",
    "training", "evaluation", "selection", "audit", "explain", "export", "report", "serve",
    "recipes", "commands", "options", "cli", "__main__", "fovea", "testing",
)  # fmt: skip


@dataclass(frozen=True)
class Import:
    where: str  # file:line
    by: str  # the part of the flow that imports
    of: str  # the part that is imported


def part_of(module: str) -> str:
    """The part of the flow that a dotted name lies in: "fovea.data.trees" is in "data"."""
    pieces = module.split(".")
    return pieces[1] if len(pieces) > 1 else "fovea"


def imported(node: ast.AST, package: str, parts: set[str]) -> Iterator[str]:
    """The dotted names within fovea that one statement imports, whichever way it is written."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
        module = ".".join([*above, *(node.module or "").split(".")]).strip(".")
        if module != "fovea":
            yield module
        else:  # `from fovea import x`: a part, or a name of the front door; the version is a constant of the package itself
            yield from (f"fovea.{alias.name}" if alias.name in parts else "fovea" for alias in node.names if alias.name != "__version__")
    elif isinstance(node, ast.Call):
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if name in {"import_module", "__import__"} and node.args and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value)


def imports(source: Path) -> list[Import]:
    """Every import of one part of fovea by another, also inside functions."""
    parts = {path.stem if path.is_file() else path.name for path in source.iterdir()}
    found = []
    for path in sorted(source.rglob("*.py")):
        pieces = path.relative_to(source).with_suffix("").parts
        module = ".".join(["fovea", *pieces]).removesuffix(".__init__")
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        for node in ast.walk(ast.parse(path.read_bytes())):
            for name in imported(node, package, parts):
                if name.split(".")[0] == "fovea":
                    where = f"{path.relative_to(source).as_posix()}:{getattr(node, 'lineno', 0)}"
                    found.append(Import(where, part_of(module), part_of(name)))
    return found


def forward_imports(source: Path) -> list[str]:
    place = {part: index for index, part in enumerate(FLOW)}
    return [f"{i.where}: {i.by} imports {i.of}" for i in imports(source) if i.by != "fovea" and place[i.of] > place[i.by]]


def test_imports_only_look_back(root: Path) -> None:
    source = root / "src" / "fovea"
    assert len(list(source.rglob("*.py"))) > 20, "the source was not found"
    assert len(imports(source)) > 50, "the imports were not read"
    assert forward_imports(source) == []


def test_every_part_has_its_place(root: Path) -> None:
    parts = {path.stem for path in (root / "src" / "fovea").iterdir() if path.suffix == ".py" or any(path.glob("**/*.py"))}
    assert parts - {"__init__"} <= set(FLOW)
    assert len(set(FLOW)) == len(FLOW)


def test_the_page_of_the_architecture_tells_the_same_flow(root: Path) -> None:
    """The first code block of ARCHITECTURE.md lists the parts, one or more a line, each with "/" or ".py", in order."""
    block = (root / "ARCHITECTURE.md").read_text().split("```")[1]
    heads = [re.match(r"  ((?:\w+(?:/|\.py)[ ,]*)+)", line) for line in block.splitlines()]
    told = [name for head in heads if head for name in re.findall(r"(\w+)(?:/|\.py)", head[1])]
    existing = {path.stem for path in (root / "src" / "fovea").iterdir()}
    assert [name for name in told if name in existing and name != "__init__"] == [
        part for part in FLOW if part in existing and part not in {"__main__", "fovea"}
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "import fovea.tasks",
        "import fovea.tasks.classification as c",
        "from fovea.tasks import classification",
        "from fovea import tasks",
        "from ..tasks import classification",
        "from .. import tasks",
        "from ..tasks.classification import Classification",
        "def f():\n    from fovea.tasks import x",
        "if TYPE_CHECKING:\n    from fovea.tasks import x",
        "import_module('fovea.tasks')",
        "importlib.import_module('fovea.tasks.classification')",
        "from fovea import train",
        "import fovea",
    ],
)
def test_a_look_forward_is_seen(tmp_path: Path, statement: str) -> None:
    for part in ("data", "tasks"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "__init__.py").touch()
    (tmp_path / "data" / "source.py").write_text(statement)
    [seen] = forward_imports(tmp_path)
    assert seen.startswith("data/source.py:")


@pytest.mark.parametrize(
    "statement", ["from fovea.data import trees", "from . import trees", "from fovea import __version__", "import numpy"]
)
def test_a_look_back_is_allowed(tmp_path: Path, statement: str) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "tasks" / "x.py").write_text(statement)
    assert forward_imports(tmp_path) == []
