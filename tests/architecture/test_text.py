"""What is written in every file, and what never is."""

import re
import subprocess
from pathlib import Path

import pytest

PAGES = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md")
TEXTS = {".py", ".md", ".toml", ".txt", ".html", ".css", ".js", ".ts", ".tsx", ".json", ".yml", ".yaml", ".svg", ".sh", ""}
CODE = {".py", ".ts", ".tsx", ".js", ".css", ".html"}

# put together from pieces, so that this file passes its own test
FORBIDDEN = {
    "a path of somebody's machine": r"(?<![\w.~-])/(?:work|home|Users|root|opt)" + r"/\w",
    "a package registry's host": "|".join(
        ["pypi" + r"\.org", "python" + r"hosted\.org", "download" + r"\.pytorch\.org", "npmjs" + r"\.(?:org|com)"]
    ),
    "a TO" + "DO without an owner": r"\b(?:TO" + "DO|FIX" + "ME|XX" + r"X)\b(?!\(\w+\))",
}
# one word for each idea: a backbone is called nothing else
OTHER_WORDS = r"\b(?:enc" + r"oder|base[ _](?:model|network|net)|conv_base)\b"


def files(root: Path) -> list[Path]:
    """The files that belong to the project: those that git does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, check=True
    )
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return [root / name for name in names if (root / name).is_file() and (root / name).suffix in TEXTS]


@pytest.fixture(scope="module")
def texts(root: Path) -> dict[str, str]:
    if not (root / ".git").exists():
        pytest.skip("not a git checkout")
    found = {path.relative_to(root).as_posix(): path.read_text(errors="replace") for path in files(root)}
    assert len(found) > 40, "the files were not found"
    return found


def lines_with(pattern: str, texts: dict[str, str]) -> list[str]:
    wanted = re.compile(pattern, re.IGNORECASE if pattern == OTHER_WORDS else 0)
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts.items()
        if wanted.search(text)
        for number, line in enumerate(text.splitlines(), 1)
        if wanted.search(line)
    ]


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_holds(texts: dict[str, str], kind: str) -> None:
    assert lines_with(FORBIDDEN[kind], texts) == []


def test_a_backbone_has_one_name(texts: dict[str, str]) -> None:
    source = {name: text for name, text in texts.items() if name.startswith("src/") or name in PAGES}
    assert lines_with(OTHER_WORDS, source) == []


def test_the_forbidden_is_seen() -> None:
    bad = {"a": "/ho" + "me/me/x", "b": "https://py" + "pi.org/simple", "c": "# TO" + "DO: later", "d": "the image enc" + "oder"}
    assert [len(lines_with(pattern, bad)) for pattern in [*FORBIDDEN.values(), OTHER_WORDS]] == [1, 1, 1, 1]


def test_files_can_be_held_in_mind(texts: dict[str, str]) -> None:
    assert {
        name: len(text.splitlines()) for name, text in texts.items() if Path(name).suffix in CODE and len(text.splitlines()) > 500
    } == {}


def paths_told(page: str, root: Path) -> list[str]:
    """The paths that a page names: links, and words in backticks that begin with a folder or end as a page of the project."""
    page = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    links = [target.partition("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", page) if "://" not in target]
    words = [word for code in re.findall(r"`([^`\n]+)`", page) for word in code.split()]
    parts = {path.name for path in [*root.iterdir(), *(root / "src" / "fovea").iterdir()] if path.is_dir()}
    placeholder = re.compile(r"(?:^|/)(?:x|y|NAME|[A-Z]+)(?:\.\w+)?(?:/|$)|[*<>{}=|]")
    named = [word.rstrip(".,:;") for word in words if "/" in word and word.split("/")[0] in parts and not placeholder.search(word)]
    pages = [word for word in words if re.fullmatch(r"[A-Z]+\.md|Makefile|pyproject\.toml|constraints\.txt|requirements-\w+\.txt", word)]
    return [path for path in [*links, *named, *pages] if path]


@pytest.mark.parametrize("page", PAGES)
def test_the_paths_that_a_page_names_exist(root: Path, page: str) -> None:
    told = paths_told((root / page).read_text(), root)
    assert [path for path in told if not (root / path).exists() and not (root / "src" / "fovea" / path).exists()] == []


def test_paths_are_seen(tmp_path: Path) -> None:
    (tmp_path / "src" / "fovea" / "data").mkdir(parents=True)
    page = "see `data/sources/`, `src/fovea/data/x.py`, [this](docs/a.png#top), `NOTES.md`, `run/x.html`, `and/or`\n```\n`data/y.py`\n```"
    assert paths_told(page, tmp_path) == ["docs/a.png", "data/sources/", "NOTES.md"]
