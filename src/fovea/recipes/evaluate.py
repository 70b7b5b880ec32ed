"""Measure a bundle on labelled pictures."""

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fovea.bundle import Bundle, load_bundle
from fovea.bundle.bundle import SIDE
from fovea.data import group_by_path, number_groups, open_source
from fovea.errors import DataError, UnreadableImage
from fovea.evaluation.grouped import by_groups, caution
from fovea.files import hash_bytes, printable
from fovea.loading.readers import Reader, source_readers
from fovea.progress import Progress
from fovea.tasks import create_task
from fovea.tasks.kinds import check_kind
from fovea.types import Floats, Item

_MOST_CLASSES = 20  # rows of the table: what a screen holds
_MOST_MISTAKES = 5


@dataclass(frozen=True)
class Report:
    """The measures of a bundle on some data."""

    task: str
    class_names: list[str]
    metrics: dict[str, Any]
    unreadable: list[dict[str, str]]

    def to_json(self) -> dict[str, Any]:
        return {"task": self.task, "class_names": self.class_names, "metrics": self.metrics, "unreadable": self.unreadable}

    def to_text(self) -> str:
        told = create_task(self.task, self.class_names).told(self.metrics, split="measured")
        if told is not None:
            return printable("\n".join([*told.to_text(), *(f"left out: {entry['problem']}" for entry in self.unreadable)]))
        low, high = self.metrics["accuracy_ci95"]
        n = self.metrics["n"]
        lines = [
            f"right on {round(self.metrics['accuracy'] * n):,} of {n:,} pictures: {self.metrics['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%})",
            f"log-likelihood loss {self.metrics['nll']:.4f}, calibration error {self.metrics['ece']:.4f}",
        ]
        lines += caution(self.metrics, "measured")
        if "set_coverage" in self.metrics:
            lines.append(
                f"sets hold the right class {self.metrics['set_coverage']:.1%} of the time, with {self.metrics['set_size']:.2f} classes on average"
            )
        if "refused" in self.metrics:
            lines.append(f"refused as like nothing it was shown: {self.metrics['refused']:.1%}")
        if confusion := self.metrics.get("confusion"):
            lines[1:1] = [_baseline(self.class_names, confusion, low)]
            lines += ["", *_classes(self.class_names, confusion), *_mistakes(self.class_names, confusion)]
        lines += [f"left out: {entry['problem']}" for entry in self.unreadable]
        return printable("\n".join(lines))


def _baseline(names: list[str], confusion: list[list[int]], low: float) -> str:
    """What it must beat: the answer of someone who knows nothing but which class is the commonest here."""
    sizes = [sum(row) for row in confusion]
    share, name = max(sizes) / sum(sizes), names[sizes.index(max(sizes))]
    if low <= share:
        return f"that is not shown to be better than always answering {name!r}, which is right on {share:.1%}"
    return f"always answering {name!r}, the commonest class here, would be right on {share:.1%}"


def _classes(names: list[str], confusion: list[list[int]]) -> list[str]:
    """A table: a row for each class, or for those that were recognised least where there are many."""
    answers = [sum(column) for column in zip(*confusion, strict=True)]
    rows = []
    for index, (name, row) in enumerate(zip(names, confusion, strict=True)):
        pictures, right = sum(row), row[index]
        rows.append((name, pictures, right / pictures if pictures else None, right / answers[index] if answers[index] else None))
    title = []
    if len(rows) > _MOST_CLASSES:
        rows = sorted((row for row in rows if row[1]), key=lambda row: row[2] or 0.0)[:_MOST_CLASSES]
        title = [f"of the {len(names):,} classes, the {len(rows)} that were recognised least:"]
    wide = max(len("class"), *(len(name) for name, *_ in rows))
    table = [f"{'class':<{wide}}  pictures  recognised  right when it says so"]
    for name, pictures, recognised, trusted in rows:
        table.append(f"{name:<{wide}}  {pictures:>8,}  {_share(recognised):>10}  {_share(trusted):>21}")
    return title + table


def _mistakes(names: list[str], confusion: list[list[int]]) -> list[str]:
    """The commonest mistakes, commonest first."""
    wrong = sorted((-n, i, j) for i, row in enumerate(confusion) for j, n in enumerate(row) if n and i != j)
    lines = [f"  {names[i]!r} was taken for {names[j]!r}: {-n:,} of {sum(confusion[i]):,}" for n, i, j in wrong[:_MOST_MISTAKES]]
    few = f", {len(lines)} of {len(wrong):,} kinds" if len(wrong) > len(lines) else ""
    return ["", f"the commonest mistakes{few}:", *lines] if lines else []


def _share(part: float | None) -> str:
    return "-" if part is None else f"{part:.1%}"


class _Hashed(Reader):
    """A reader that remembers the hash of what it has read: equal files are one picture, however often they are named."""

    def __init__(self, reader: Reader) -> None:
        self.path, self._reader, self.hash = reader.path, reader, ""

    def read(self) -> bytes:
        content = self._reader.read()
        self.hash = hash_bytes(content)
        return content


def _grouped(items: list[Item], split_by: str | None, bundle: Bundle) -> list[Item]:
    """The items with their groups: as is asked, else as the data name them, else as the run around the bundle was told to find them."""
    if split_by is not None:
        return group_by_path(items, split_by)
    if any(item.group for item in items):
        return items
    folder = bundle.path if (bundle.path / "bundle.json").is_file() else bundle.path / "bundle"
    try:
        asked = json.loads((folder.resolve().parent / "checkpoint" / "settings.json").read_bytes())["settings"]["split_by"]
        return group_by_path(items, asked) if isinstance(asked, str) else items
    except (OSError, ValueError, KeyError, TypeError):  # no run around it, or its pictures were called otherwise (InputError)
        return items


def evaluate(
    bundle: str, data: str, *, split: Literal["all", "train", "validation", "test"] = "all", split_by: str | None = None
) -> Report:
    """Measure a bundle on labelled pictures, for example new ones that it was never shown.

    Args:
        bundle: A bundle folder, a .fovea file, or a run folder.
        data: As for `fovea train`; its classes (labels, numbers) must be among the bundle's.
        split: Which pictures; "all" takes every one that the data names.
        split_by: A regular expression whose first group, in a picture's path, names what hangs together (a patient, a place): the
            interval of the accuracy then counts groups. By default as the data, or the training, had it.

    Returns:
        The measures, with their intervals.
    """
    opened = load_bundle(bundle)
    with open_source(data, for_training=False) as source:
        items = [item for item in source.items if split in ("all", item.split)]
        if not items:
            raise DataError(
                f"the data has no split {split!r}",
                got="no pictures",
                expected="a folder or a column that names it",
                fix="leave --split out to measure on all pictures",
            )
        check_kind(opened.info.task, opened.class_names, source)
        items = _grouped(items, split_by, opened)
        readers = [_Hashed(reader) for reader in source_readers(source, items)]
        targets = opened.task.targets([item.label or "" for item in items])
        rows: list[dict[str, Floats]] = []
        kept: list[int] = []
        unreadable = []
        with Progress("evaluating", total=len(items)) as bar:
            for index, outputs in enumerate(opened.outputs_of(readers)):
                if isinstance(outputs, UnreadableImage):
                    unreadable.append({"path": items[index].path, "problem": outputs.problem, "fix": outputs.fix})
                else:
                    rows.append({name: values for name, values in outputs.items() if name not in ("embedding", SIDE)})
                    kept.append(index)
                bar.advance(1)
    if not rows:
        raise DataError(
            "none of the pictures can be read",
            got=f"{len(unreadable)} unreadable files",
            expected="at least one picture",
            fix=unreadable[0]["fix"],
        )
    stacked = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    measured = opened.task.metrics(stacked, targets[kept])
    if opened.task.activation == "softmax":
        groups = np.array(number_groups([items[i] for i in kept], [readers[i].hash for i in kept]))
        measured = by_groups(measured, stacked[opened.task.answer].argmax(axis=1) == targets[kept], groups)
    return Report(opened.info.task, opened.class_names, measured, unreadable)
