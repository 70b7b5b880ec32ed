"""A CSV table: `path,label[,split][,group]`, one row a picture, paths relative to the table's own folder or absolute.

In place of `label`, one class, a table may have `labels`, any number of names with ";" between them (an empty cell: none is true),
or a number in `target`, or several in `target:NAME`. Where it has more than one of these, the first of this order counts.
"""

import csv
import io
import math
import os
import posixpath
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from fovea.data.kinds import CLASSES, SEPARATOR, Labels, Numbers, TargetKind, class_name, spelt_number
from fovea.data.source import SOURCES, Source, SourceInfo, TreeSource
from fovea.data.sources.split_folders import split_named
from fovea.data.trees import FolderTree, Tree
from fovea.errors import DataError
from fovea.types import Item

_COLUMNS = "the columns path,label (or path,labels; or path,target) and, where wanted, split and group"
_TARGET = "target"
_MARKS = ",;\t"  # between cells; spreadsheets in many countries write semicolons


def _find_table(tree: Tree) -> str | None:
    """The table that the user named; or in an archive the one at its top whose header fits. A folder is never searched."""
    if tree.table is not None:
        return tree.table
    if not tree.is_archive:
        return None
    fitting = [path for path in tree.paths if "/" not in path and path.lower().endswith(".csv") and _mark(_text(tree.read(path)))]
    if len(fitting) > 1:
        raise DataError(
            f"{tree.location!r} holds several tables at its top",
            got=", ".join(map(repr, fitting)),
            expected="one table of paths and labels",
            fix="leave one in the archive, with a column 'split' where there are several splits",
        )
    return fitting[0] if fitting else None


@SOURCES.add(SourceInfo("a CSV table of paths and targets", recognises=lambda tree: _find_table(tree) is not None, order=100))
def csv_table(tree: Tree) -> Source:
    """Reads a table. Columns may come in any order; others are ignored, and so are blank lines and repeated rows.

    Rows are counted as a spreadsheet does, the header being row 1. A file that is missing is named when it is read.

    Where columns hold several kinds of target, the source's notes say which one counts.

    Raises:
        DataError: The header does not fit, or a row does; the row is named.
    """
    table = _find_table(tree) or ""
    items: dict[str, tuple[Item, int]] = {}  # by `_place`, so that one file in two spellings is one picture
    labels: dict[str, str] = {}
    rows = _rows(_text(tree.read(table)), tree.location)
    _, header = next(rows)
    columns = {name.strip().lower(): index for index, name in enumerate(header)}
    asked = _asked(header, tree.location)
    for number, cells in rows:
        if len(cells) > len(header) and any(cells[len(header) :]):
            raise _bad_row(
                tree,
                number,
                "has more cells than the header",
                f"{len(cells)} cells",
                f"{len(header)} cells",
                'put "quotes" around a cell that holds a comma',
            )
        value = {name: cells[index] if index < len(cells) else "" for name, index in columns.items()}
        path, word = _found(tree, value["path"]), value.get("split", "").strip()
        if not path:
            raise _bad_row(tree, number, "has no path", repr(cells), "a path", "fill it in, or remove the row")
        try:
            label = asked.read([cells[index] if index < len(cells) else None for index in asked.columns])
        except _Unfit as unfit:
            raise _bad_row(tree, number, unfit.problem, unfit.got or repr(cells), unfit.expected, unfit.fix) from unfit
        split = split_named(word)
        if word and split is None:
            raise _bad_row(
                tree,
                number,
                f"has an unknown split {word!r}",
                repr(word),
                "train, validation (val, valid) or test, or nothing",
                "correct the word",
            )
        if label not in labels:  # one string for each class, not one for each picture
            labels[label] = asked.kind.spelt(label)
        item = Item(path, labels[label], split, value.get("group", "").strip() or None)
        first = items.setdefault(_place(tree, path), (item, number))
        if first[1] != number and replace(first[0], path=path) != item:
            raise _bad_row(
                tree, number, f"contradicts row {first[1]} on {path!r}", _told(item), _told(first[0]), "remove one of the two rows"
            )
    _check_splits(tree, items)
    folder = posixpath.dirname(table)
    found = sorted((item for item, _ in items.values()), key=lambda item: item.path)
    source = TreeSource("csv_table", tree, found, folder=folder + "/" if folder else "", kind=asked.kind)
    source.notes = _left_aside(header, asked)
    return source


def _left_aside(header: Sequence[str], asked: "_Asked") -> list[str]:
    """Says that columns hold another kind of target than the one that counts, where some do."""
    others = [
        name.strip()
        for index, name in enumerate(header)
        if index not in asked.columns and (name.strip().lower() in ("label", "labels") or _is_target(name))
    ]
    if not others:
        return []
    taken = ", ".join(repr(header[index].strip()) for index in asked.columns)
    return [
        f"the table has several columns to learn from: {taken} was taken, and {', '.join(map(repr, others))} left aside; "
        f"to learn the other, remove or rename the column {taken}"
    ]


class _Unfit(Exception):
    """A cell that holds no target: what is wrong with it, in the words of a row's error."""

    def __init__(self, problem: str, *, got: str, expected: str, fix: str) -> None:
        super().__init__(problem)
        self.problem, self.got, self.expected, self.fix = problem, got, expected, fix


@dataclass(frozen=True)
class _Asked:
    """What a table says of its pictures.

    Args:
        kind: Of the targets.
        columns: Where they stand in a row.
        read: Those cells (None where the row is too short) as the text of a target; raises `_Unfit`.
    """

    kind: TargetKind
    columns: Sequence[int]
    read: Callable[[Sequence[str | None]], str]


def _asked(header: Sequence[str], location: str) -> _Asked:
    """Which columns hold the targets: `label`, else `labels`, else `target` or `target:NAME`."""
    names = [name.strip() for name in header]
    lower = [name.lower() for name in names]
    for name, kind, read in (("label", CLASSES, _one_class), ("labels", Labels(), _several_labels)):
        if name in lower:
            return _Asked(kind, [lower.index(name)], read)
    called = [(name[len(_TARGET) + 1 :].strip() or _TARGET, index) for index, name in enumerate(names) if _is_target(name)]
    if twice := [name for name, count in Counter(name for name, _ in called).items() if count > 1]:
        raise DataError(
            f"{location!r} has two columns for the target {twice[0]!r}",
            got=", ".join(names),
            expected="a name of its own for each: target:height,target:width",
            fix="rename one of the two, or remove it",
        )
    called = [(class_name(name), index) for name, index in sorted(called)]
    number_names = [name for name, _ in called]
    return _Asked(Numbers(number_names), [index for _, index in called], lambda cells: _numbers(cells, number_names))


def _is_target(name: str) -> bool:
    return name.strip().lower() == _TARGET or name.strip().lower().startswith(f"{_TARGET}:")


def _one_class(cells: Sequence[str | None]) -> str:
    if not (label := (cells[0] or "").strip()):
        raise _Unfit("has no label", got="", expected="a label", fix="fill it in, or remove the row")
    return label


def _several_labels(cells: Sequence[str | None]) -> str:
    if cells[0] is None:
        raise _Unfit("ends before its labels", got="", expected="a cell for them, empty where none is true", fix="complete the row")
    return cells[0]


def _numbers(cells: Sequence[str | None], names: Sequence[str]) -> str:
    values = []
    for name, cell in zip(names, cells, strict=True):
        text = (cell or "").strip()
        if not text:
            raise _Unfit(f"has no target {name!r}", got="", expected="a number", fix="fill it in, or remove the row")
        try:
            value = float(text)
        except ValueError as error:
            fix = "write a point and not a comma: 3.5" if "," in text else "correct it; names of classes stand in a column 'label'"
            raise _Unfit(f"has a target {name!r} that is not a number: {text!r}", got=repr(text), expected="a number", fix=fix) from error
        if not math.isfinite(value):
            fix = "fill in what was measured, or remove the row"
            raise _Unfit(f"has a target {name!r} that is not finite: {text!r}", got=repr(text), expected="a finite number", fix=fix)
        values.append(spelt_number(value))
    return SEPARATOR.join(values)


def _rows(text: str, location: str) -> Iterator[tuple[int, list[str]]]:
    """The header, then every row that is not blank, each with its number."""
    mark = _mark(text)
    first = text.lstrip().partition("\n")[0].strip()
    if mark is None:
        raise DataError(
            f"{location!r} has no columns 'path' and 'label' in its first row",
            got=repr(first[:80]) if first else "an empty file",
            expected=_COLUMNS,
            fix="write the column names into the first row: path,label",
        )
    number = 0
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=mark), start=1):
            if any(cell.strip() for cell in cells) and not _states_mark(cells, number):
                yield number, cells
    except csv.Error as error:
        raise DataError(
            f"{location!r} cannot be read as a table from row {number + 1} on",
            got=str(error),
            expected="comma-separated values, in UTF-8",
            fix="look for a quotation mark that is not closed, or save the table anew as CSV (UTF-8)",
        ) from error


def _mark(text: str) -> str | None:
    """What stands between the cells of the header, if that has the columns that are needed."""
    for mark in _MARKS:
        try:
            for number, cells in enumerate(csv.reader(io.StringIO(text[:10_000], newline=""), delimiter=mark), start=1):
                if any(cell.strip() for cell in cells) and not _states_mark(cells, number):
                    found = {cell.strip().lower() for cell in cells}
                    if "path" in found and (found & {"label", "labels"} or any(map(_is_target, found))):
                        return mark
                    break
        except csv.Error:
            continue
    return None


def _states_mark(cells: list[str], number: int) -> bool:
    """Excel's own first line `sep=;`, which says what stands between the cells."""
    return number == 1 and cells[0].strip().lower().startswith("sep=")


def _text(data: bytes) -> str:
    """A table's text; bytes that are not UTF-8 are kept as Python keeps them in file names, so that such names are found."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8-sig", "surrogateescape")


def _found(tree: Tree, path: str) -> str:
    """A row's path, mended where it is only written in another way: spaces around it, Windows' separators, `./`."""
    stripped = path.strip()
    if path == stripped and "\\" not in path and not path.startswith("./"):
        return path
    mended = stripped.replace("\\", "/")
    ways = (path, stripped, mended, posixpath.normpath(mended))
    return next((way for way in ways if way and tree.has(way)), mended if stripped else "")


def _place(tree: Tree, path: str) -> str:
    """One spelling for each file of the tree, whatever way a row takes to it. What lies outside keeps the spelling that it has."""
    if not path.startswith(("/", ".")) and "/." not in path and "//" not in path:
        return path
    if isinstance(tree, FolderTree) and os.path.isabs(path):
        place = os.path.relpath(path, os.path.abspath(tree.root))
    else:
        place = posixpath.normpath(path)
    return path if place.startswith("..") else place


def _check_splits(tree: Tree, items: dict[str, tuple[Item, int]]) -> None:
    with_split = next((number for item, number in items.values() if item.split), None)
    without = next((number for item, number in items.values() if not item.split), None)
    if with_split and without:
        raise _bad_row(
            tree,
            without,
            "has no split, and others have one",
            f"a split in row {with_split}",
            "a split in every row, or in none",
            "fill in the column 'split', or leave it out",
        )


def _told(item: Item) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in (("label", item.label), ("split", item.split), ("group", item.group)) if value)


def _bad_row(tree: Tree, number: int, problem: str, got: str, expected: str, fix: str) -> DataError:
    return DataError(f"row {number} of {tree.location!r} {problem}", got=got, expected=expected, fix=fix)
