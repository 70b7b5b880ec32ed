"""Measure a bundle on labelled pictures."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fovea.bundle import load_bundle
from fovea.data import open_source
from fovea.errors import DataError, UnreadableImage
from fovea.files import printable
from fovea.loading.readers import source_readers
from fovea.progress import Progress
from fovea.types import Floats


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
        low, high = self.metrics["accuracy_ci95"]
        n = self.metrics["n"]
        lines = [
            f"right on {round(self.metrics['accuracy'] * n):,} of {n:,} pictures: {self.metrics['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%})",
            f"log-likelihood loss {self.metrics['nll']:.4f}, calibration error {self.metrics['ece']:.4f}",
        ]
        lines += [printable(f"left out: {entry['problem']}") for entry in self.unreadable]
        return "\n".join(lines)


def evaluate(bundle: str, data: str, *, split: Literal["all", "train", "validation", "test"] = "all") -> Report:
    """Measure a bundle on labelled pictures, for example new ones that it was never shown.

    Args:
        bundle: A bundle folder, a .fovea file, or a run folder.
        data: As for `fovea train`; its classes must be among the bundle's.
        split: Which pictures; "all" takes every one that the data names.

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
        targets = opened.task.targets([item.label or "" for item in items])
        rows: list[dict[str, Floats]] = []
        kept: list[int] = []
        unreadable = []
        with Progress("evaluating", total=len(items)) as bar:
            for index, outputs in enumerate(opened.outputs_of(source_readers(source, items))):
                if isinstance(outputs, UnreadableImage):
                    unreadable.append({"path": items[index].path, "problem": outputs.problem, "fix": outputs.fix})
                else:
                    rows.append({name: values for name, values in outputs.items() if name != "embedding"})
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
    return Report(opened.info.task, opened.class_names, opened.task.metrics(stacked, targets[kept]), unreadable)
