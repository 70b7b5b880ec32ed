"""What the pages tell is run.

In README.md and CONTRIBUTING.md every block of ```python is run. A block of ```bash is run where the line above it is
`<!-- run -->`, and tells why it is not where that line is `<!-- not run: ... -->`: one of the two must be there. Blocks are
run in the order of the page, each in a process of its own, all in one temporary folder that holds what a reader has:

    photos/cat, photos/dog   20 pictures each
    new_photos/              3 pictures
    new.jpg                  one picture

Every line that calls `fovea`, also in blocks that are not run and in the docstrings of recipes, must at least be understood.
"""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import fovea
from fovea import commands
from fovea.options import Call, understand

PAGES = ("README.md", "CONTRIBUTING.md", "docs/networks.md")
FENCE = re.compile(r"(?:^<!-- *(?P<mark>[^>]*?) *-->\n)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
TIMEOUT_S = 300


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    code: str
    mark: str  # what the comment above it says, or ""

    @property
    def is_run(self) -> bool:
        return self.language == "python" or (self.language == "bash" and self.mark == "run")


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(page.count("\n", 0, found.start("code")) + 1, found["language"], found["code"], found["mark"] or "")
        for found in FENCE.finditer(page)
    ]


def unmarked(page: str) -> list[str]:
    """The bash blocks that say neither that they are run, nor why not."""
    told = re.compile(r"run|not run: .+")
    return [f"line {block.line}" for block in blocks(page) if block.language == "bash" and not told.fullmatch(block.mark)]


def run_blocks(page: str, folder: Path) -> list[str]:
    """Runs a page's blocks in `folder` and gives what failed, with the block's line and what it printed."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    shim = tools / "fovea"
    shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m fovea "$@"\n')
    shim.chmod(0o755)
    source = str(Path(fovea.__file__).parents[1])
    environment = os.environ | {
        "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")])),
        "HF_HUB_OFFLINE": "1",
    }
    failed = []
    for block in blocks(page):
        if block.is_run:
            command = [sys.executable, "-c", block.code] if block.language == "python" else ["bash", "-euo", "pipefail", "-c", block.code]
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)
            if done.returncode:
                failed.append(f"the block at line {block.line} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return failed


def fovea_lines(code: str) -> list[list[str]]:
    """The calls of `fovea` in a piece of shell, each as its words."""
    found = []
    for line in re.sub(r"\\\n", " ", code).splitlines():
        for call in re.split(r"&&|\|\||[|;]", line.removeprefix("$ ")):
            words = shlex.split(re.sub(r"[0-9&]?>.*", "", call), comments=True)
            if words[:1] == ["fovea"]:
                found.append(words[1:])
    return found


@pytest.fixture(scope="module")
def readers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what a reader of the pages has."""
    import cv2
    import numpy as np

    folder = tmp_path_factory.mktemp("reader") / "here"
    rng = np.random.default_rng(0)

    def paint(path: Path, stripes: bool) -> None:
        pixels = rng.integers(0, 90, (72, 96, 3), dtype=np.uint8)
        if stripes:
            pixels[:, :: int(rng.integers(4, 9))] = 255
        else:
            cv2.circle(pixels, (int(rng.integers(30, 66)), 36), int(rng.integers(10, 30)), (255, 255, 255), -1)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels)

    for index in range(20):
        paint(folder / "photos" / "cat" / f"{index}.jpg", stripes=True)
        paint(folder / "photos" / "dog" / f"{index}.jpg", stripes=False)
    for index in range(3):
        paint(folder / "new_photos" / f"{index}.jpg", stripes=index == 0)
    paint(folder / "new.jpg", stripes=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(
    root: Path, readers_folder: Path, weights_folder: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setenv("FOVEA_WEIGHTS", str(weights_folder))  # there is no hub here, and the way with weights is the reader's
    failed = run_blocks((root / page).read_text(encoding="utf-8"), readers_folder)
    assert not failed, "\n".join(failed)


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_whether_it_is_run(root: Path, page: str) -> None:
    text = (root / page).read_text(encoding="utf-8")
    assert len(blocks(text)) > 0
    assert unmarked(text) == []


def test_the_readme_runs_something(root: Path) -> None:
    assert any(block.is_run for block in blocks((root / "README.md").read_text(encoding="utf-8")))


def test_every_command_told_is_understood(root: Path) -> None:
    """Also those of blocks that are not run: a renamed option is found here."""
    told = {page: "".join(b.code for b in blocks((root / page).read_text(encoding="utf-8")) if b.language == "bash") for page in PAGES}
    told |= {recipe.name: commands.read_docstring(recipe.load().__doc__).example for recipe in commands.find().values()}
    calls = [(place, words) for place, code in told.items() for words in fovea_lines(code)]
    assert len(calls) > 1, "the commands were not found"
    for place, words in calls:
        if not {"--help", "--version"} & set(words):
            assert isinstance(understand(words, commands.PACKAGE), Call), f"{place}: fovea {shlex.join(words)}"


TOY_PAGE = """
# A page

<!-- run -->
```bash
echo made > made.txt
```

```python
from pathlib import Path
assert Path("made.txt").read_text() == "made\\n"
assert Path("photos/cat/0.jpg").exists()
```

<!-- not run: it would fetch 2 GB -->
```bash
exit 3
```

```text
exit 4
```
"""


def test_blocks_are_read() -> None:
    found = blocks(TOY_PAGE)
    assert [(block.language, block.is_run, block.line) for block in found] == [
        ("bash", True, 6), ("python", True, 10), ("bash", False, 17), ("text", False, 21),
    ]  # fmt: skip
    assert unmarked(TOY_PAGE) == []
    assert unmarked("```bash\nls\n```\n<!-- not run -->\n```bash\nls\n```\n") == ["line 2", "line 6"]


def test_blocks_are_run(readers_folder: Path) -> None:
    assert run_blocks(TOY_PAGE, readers_folder) == []
    [failed] = run_blocks("<!-- run -->\n```bash\necho seen; false\necho not seen\n```\n", readers_folder)
    assert failed.startswith("the block at line 3 ended with 1:\nseen\n")
    assert "not seen" not in failed
    [failed] = run_blocks("```python\nraise ValueError('no')\n```\n", readers_folder)
    assert "ValueError: no" in failed
    assert run_blocks("<!-- run -->\n```bash\nfovea --version\n```\n", readers_folder) == []


def test_commands_are_read() -> None:
    code = "$ fovea train photos/ \\\n  --out run  # a minute\nls && fovea models --json | head -1\nfovea predict 'a b' > out.txt\n"
    assert fovea_lines(code) == [["train", "photos/", "--out", "run"], ["models", "--json"], ["predict", "a b"]]
