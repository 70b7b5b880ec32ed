"""A page of ours as a browser, a keyboard, a screen reader and a validator meet it: asked through tools/page, which npm fills."""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness.child import Failed
from benchmarks.harness.places import ROOT, Skip

_TOOLS = ROOT / "tools" / "page"
_INSTALL = "npm install --prefix tools/page"
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_LIMIT_S = 300
# The validator knows the properties of CSS but not all of SVG's that CSS may set: paint-order is one (SVG 2, section 13.8).
_KNOWN_WELL = r".*paint-order.*"


@dataclass(frozen=True)
class Seen:
    """What was found on a page.

    Args:
        readers: One for each width and colour scheme, as tools/page/check.mjs prints it.
        invalid: What the validator says against its HTML and CSS; None where there is no Java to run it.
    """

    readers: list[dict[str, Any]]
    invalid: list[str] | None

    def told(self) -> list[str]:
        """Everything that is wrong, a line each; empty where nothing is."""
        lines = [] if self.invalid is None else [f"not valid: {line}" for line in self.invalid]
        for reader in self.readers:
            where = f"{reader['width']} px, {reader['scheme']}"
            lines += [f"{where}: {each['id']}: {each['help']} ({each['count']}): {each['first']}" for each in reader["violations"]]
            lines += [f"{where}: asked for {url}" for url in reader["requests"]]
            lines += [f"{where}: console: {text}" for text in reader["messages"]]
            if reader["sideways"] > 0:
                lines.append(f"{where}: scrolls {reader['sideways']} px sideways")
            if reader["map"] and reader["map"]["shown"] < reader["map"]["steps"]:
                lines.append(f"{where}: the arrow keys show {reader['map']['shown']} of {reader['map']['steps']} pictures of the map")
        return lines


def needed() -> str:
    """The browser's path.

    Raises:
        Skip: Node, Chromium or what npm installs is missing; says which.
    """
    if shutil.which("node") is None:
        raise Skip("node is not here: pages cannot be opened in a browser")
    if not (_TOOLS / "node_modules" / "axe-core").is_dir():
        raise Skip(f"axe-core and playwright-core are not installed: {_INSTALL}")
    for name in _BROWSERS:
        if found := shutil.which(name):
            return found
    raise Skip(f"there is no Chromium: none of {', '.join(_BROWSERS)} is on the path")


def look(page: Path, *, shots: Path | None = None) -> Seen:
    """Opens a page at phone and desktop width, light and dark, and validates it.

    Args:
        page: The HTML file.
        shots: A folder for screenshots of it.

    Raises:
        Skip: What it takes is not here.
        Failed: The browser or the validator broke down.
    """
    words = ["node", str(_TOOLS / "check.mjs"), needed(), str(page), *([str(shots)] if shots else [])]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_LIMIT_S)
    if done.returncode:
        raise Failed(f"the browser could not look at {page.name}: {done.stderr.strip()[-500:]}")
    return Seen(json.loads(done.stdout)["readers"], _invalid(page))


def _invalid(page: Path) -> list[str] | None:
    jar = _TOOLS / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"
    if shutil.which("java") is None or not jar.exists():
        return None
    words = ["java", "-jar", str(jar), "--errors-only", "--format", "json", "--filterpattern", _KNOWN_WELL, str(page)]
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=_LIMIT_S)
    try:
        told = json.loads(done.stderr)["messages"]
    except ValueError as error:
        raise Failed(f"the validator could not read {page.name}: {done.stderr.strip()[-500:]}") from error
    return [f"line {each.get('lastLine')}: {each['message']}" for each in told]
