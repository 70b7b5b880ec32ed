"""Where things lie in pictures, read from a table: what an explanation is held against."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from fovea.errors import InputError
from fovea.types import Floats

_ENDS = ("x0", "y0", "x1", "y1")
_COLUMNS = f"path,{','.join(_ENDS)}, and label where a picture shows things of several classes"
_MARKS = ",;\t"


@dataclass(frozen=True)
class Boxes:
    """Of each picture that the table names: the name of a class ("" where there is no column of labels), and x0 y0 x1 y1 in the photo's pixels."""

    by_path: dict[tuple[str, ...], list[tuple[str, list[float]]]]

    def of(self, path: str, class_name: str) -> Floats:
        """(N, 4): the boxes of a class in a picture; those without a label are of any class.

        A picture is found by its whole path or by its end: "birds/3.jpg" or "3.jpg" in the table for "photos/birds/3.jpg".
        """
        return np.array([box for label, box in self._rows(path) if label in ("", class_name)], np.float32).reshape(-1, 4)

    def check(self, paths: Sequence[str], class_names: Sequence[str]) -> None:
        """Raises InputError where none of the boxes can count: of these pictures there are none, or of these classes."""
        labels = {label for path in paths for label, _ in self._rows(path)}
        if not labels:
            raise InputError(
                "the table of boxes names none of the pictures", got=f"pictures like {paths[0]!r}",
                expected="their paths, or the ends of these, in the column path", fix="mend the table, or leave --boxes out",
            )  # fmt: skip
        if not labels & {"", *class_names}:
            raise InputError(
                "the boxes are of none of the model's classes", got=", ".join(sorted(labels)[:5]), expected=", ".join(class_names[:10]),
                fix="write the model's names into the column label, or leave the column out",
            )  # fmt: skip

    def _rows(self, path: str) -> list[tuple[str, list[float]]]:
        parts = _parts(path)
        return next((self.by_path[parts[start:]] for start in range(len(parts)) if parts[start:] in self.by_path), [])


def read_boxes(path: str) -> Boxes:
    """A table with the columns path, x0, y0, x1, y1 (the edges, in pixels of the photo the right way up) and, if there is one, label.

    Raises:
        InputError: It cannot be read, a column is missing, or a row is no box.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8-sig", "surrogateescape")
    except OSError as error:
        raise InputError(
            f"the boxes cannot be read from {path!r}: {(error.strerror or str(error)).lower()}", got="no such table", expected=_COLUMNS,
            fix="check the name behind --boxes",
        ) from error  # fmt: skip
    found: dict[tuple[str, ...], list[tuple[str, list[float]]]] = {}
    for number, row in _rows(text, path):
        try:
            box = [float(row[end]) for end in _ENDS]
        except ValueError:
            box = []
        if not box or not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
            raise InputError(
                f"row {number} of {path!r} is no box", got=", ".join(f"{end} {row[end]!r}" for end in _ENDS),
                expected="numbers of pixels, x0 less than x1 and y0 less than y1", fix="mend the row, or take it out",
            )  # fmt: skip
        found.setdefault(_parts(row["path"]), []).append((row.get("label", ""), box))
    return Boxes(found)


def _rows(text: str, path: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Every row that is not blank, by column, with its number; cells that are missing are empty."""
    first = text.lstrip().partition("\n")[0]
    mark = max(_MARKS, key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=mark)
    header: list[str] = []
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if header:
            yield number, dict.fromkeys(header, "") | dict(zip(header, cells, strict=False))
            continue
        header = [cell.lower() for cell in cells]
        if missing := [name for name in ("path", *_ENDS) if name not in header]:
            raise InputError(
                f"{path!r} has no column {' and no column '.join(missing)}", got=repr(first[:80]), expected=_COLUMNS,
                fix="write the column names into the first row",
            )  # fmt: skip


def _parts(path: str) -> tuple[str, ...]:
    return PurePosixPath(path.replace("\\", "/")).parts
