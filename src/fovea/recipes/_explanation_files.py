"""The files that `fovea explain` writes: for each picture a sheet and its raw heat, as it comes; a contact sheet, and a table of all."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fovea.bundle.archive import pack_arrays
from fovea.errors import InputError
from fovea.explain import METHODS, Explanation
from fovea.explain.comparison import Check
from fovea.explain.drawing import ColourMap, animation, contact_sheet, overlay, png, sheet
from fovea.explain.opening import Opened
from fovea.explain.path import integrated_path, path_frames
from fovea.files import printable, ready_folder, write_atomic, write_json
from fovea.types import Floats, Pixels

_NO_MAP = np.zeros((0, 0), np.float32)
_CONTACT, _CURVES, _MOST_TILES = "contact-sheet.png", "insertion-deletion.png", 100
_TABLE, _WRITTEN = "explanations.json", (".png", ".npz", ".gif", ".webp")


class Sheets:
    """A folder that takes explanations one by one: thousands of pictures and maps do not fit into memory together.

    Args:
        folder: Made here.
        opened: What is explained.
        colours: Of the heat.
        animate: Also draw the way of integrated gradients.

    Raises:
        OutputError, DiskFull: The folder cannot be written.
    """

    def __init__(self, folder: str, opened: Opened, colours: ColourMap, animate: Literal["gif", "webp"] | None = None) -> None:
        self._folder, self._opened, self._colours, self._animate = ready_folder(folder), opened, colours, animate
        self._name_of, self._tiles = Names(), list[tuple[str, Pixels]]()
        self.explanations = Kept()
        self.files: list[str] = []
        self.further: list[str] = []

    def add(self, path: str, pixels: Pixels | Floats, found: Explanation) -> None:
        """Writes one."""
        name = self._name_of(path)
        photo, stem = _photo(pixels), name.removesuffix(".png")
        bundle = self._opened.bundle
        are_shares = bundle.task.activation != "identity" if bundle else all(0 <= value <= 1 for _, value in found.top)
        title = f"{Path(path).name}: {METHODS[found.method].info.title(found.target_name)} ({found.method})"
        drawing = sheet(photo, found.heat, list(found.top) if are_shares else [], title, colours=self._colours)
        write_atomic(self._folder / name, png(drawing))
        raw = write_atomic(self._folder / f"{stem}.npz", pack_arrays({"heat": found.heat, "evidence": found.evidence}))
        self.files.append(name)
        self.explanations.add(path, found, raw)
        if len(self._tiles) < _MOST_TILES:
            self._tiles.append((f"{found.target_name}: {Path(path).name}", overlay(photo, found.heat, colours=self._colours)))
        if self._animate:
            self.further.append(f"{stem}.{self._animate}")
            _animate(self._folder / self.further[-1], pixels, found, self._opened, self._animate)

    def finish(self, check: Check | None = None) -> None:
        """Writes the contact sheet of the first of them, where there are several, and the curves of a check."""
        if check is not None:
            from fovea.report.plots import save_check_curves  # the pages of reports, which a server does without

            self.further.append(_CURVES)
            save_check_curves(check.to_json()["rows"], self._folder / _CURVES)
        if len(self._tiles) < 2:
            return
        self.further.append(_CONTACT)
        more = f" (the first {len(self._tiles)} of {len(self.files):,})" if len(self.files) > len(self._tiles) else ""
        method = self.explanations[0][1].method
        title = f"{METHODS[method].info.title('each answer')}, by {method}{more}"
        write_atomic(self._folder / _CONTACT, png(contact_sheet(self._tiles, title=title)))

    def write_table(self, content: Any) -> None:
        """Writes the table, and removes what an earlier one named and this one does not."""
        before = _named(self._folder)
        write_json(self._folder / _TABLE, content)
        for name in before - _named(self._folder):
            (self._folder / name).unlink(missing_ok=True)


class Kept(Sequence[tuple[str, Explanation]]):
    """Explanations whose maps lie in files, and are read from there when they are asked for."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, Explanation, Path]] = []

    def add(self, path: str, found: Explanation, raw: Path) -> None:
        self._rows.append((path, replace(found, heat=_NO_MAP, evidence=_NO_MAP), raw))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        path, found, raw = self._rows[index]
        with np.load(raw, allow_pickle=False) as maps:
            return path, replace(found, heat=maps["heat"], evidence=maps["evidence"])


class Names:
    """Gives the sheet of each picture a name; the second of two pictures of one name gets a number."""

    def __init__(self) -> None:
        self._taken, self._counts = {_CONTACT, _CURVES}, Counter[str]()

    def __call__(self, path: str) -> str:
        stem = re.sub(r"[^\w.-]+", "_", printable(Path(path).stem)) or "picture"
        name = f"{stem}.png"
        while name in self._taken:
            self._counts[stem] += 1
            name = f"{stem}-{self._counts[stem] + 1}.png"
        self._taken.add(name)
        return name


def _named(folder: Path) -> set[str]:
    """The files in a folder that its explanations.json names; whatever else lies there is somebody's own."""
    try:
        said = json.loads((folder / _TABLE).read_bytes())
        names = [row[key] for row in said["explanations"] for key in ("sheet", "raw") if key in row] + said.get("further", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    mine = (name for name in names if isinstance(name, str) and Path(name).name == name and Path(name).suffix in _WRITTEN)
    return {name for name in mine if (folder / name).is_file()}


def _animate(path: Path, pixels: Pixels | Floats, found: Explanation, opened: Opened, kind: Literal["gif", "webp"]) -> None:
    from fovea.explain.network_subject import NetworkSubject

    if not isinstance(opened.subject, NetworkSubject) or pixels.dtype != np.uint8:
        raise InputError(
            "the way of integrated gradients begins at a black picture of bytes", got=str(pixels.dtype), expected="pictures (H, W, 3) of bytes",
            fix="leave --animate out",
        )  # fmt: skip
    way = integrated_path(opened.subject, pixels.astype(np.uint8, copy=False), found.target)
    write_atomic(path, animation(path_frames(way), kind=kind))


def _photo(pixels: Pixels | Floats) -> Pixels:
    """A picture for people: bytes as they are, prepared floats stretched to what they hold."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    low, high = float(pixels.min()), float(pixels.max())
    return ((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
