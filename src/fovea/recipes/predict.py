"""Ask a bundle about pictures."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fovea.bundle import load_bundle
from fovea.bundle.bundle import SIDE
from fovea.data.sniff import has_picture_suffix
from fovea.data.trees import FolderTree
from fovea.errors import InputError, UnreadableImage
from fovea.files import check_new_file, printable, write_csv
from fovea.loading.readers import FileReader, Reader
from fovea.progress import Progress
from fovea.types import Prediction

_TOP = 5  # classes that are named for each picture unless someone asks for more or fewer


@dataclass(frozen=True)
class Predictions:
    """The answers in the order of the pictures, and in `errors` the pictures that gave none, each with what is wrong.

    `cautions` says by path what must be known with an answer, as of a picture that is far too small.

    Where some gave none, `exit_code` is not 0; `raise_errors` stops there.
    """

    predictions: list[tuple[str, Prediction]]
    errors: list[tuple[str, UnreadableImage]]
    top: int | None = None
    out: str | None = None
    cautions: Mapping[str, str] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0: all were answered; 1: some were; 2: none was."""
        return 0 if not self.errors else 1 if self.predictions else 2

    def raise_errors(self) -> None:
        """For callers who need every answer.

        Raises:
            UnreadableImage: The first picture that gave none.
        """
        for _, error in self.errors:
            raise error

    def to_json(self) -> dict[str, Any]:
        return {
            "predictions": [
                {"path": printable(path)}
                | _shortened(prediction.to_json(), self.top)
                | ({"caution": self.cautions[path]} if path in self.cautions else {})
                for path, prediction in self.predictions
            ],
            "errors": [{"path": printable(path), "problem": printable(error.problem), "fix": error.fix} for path, error in self.errors],
        }

    def to_text(self) -> str:
        lines = []
        for path, prediction in self.predictions:
            lines.append(f"{path}: {prediction.describe(self.top or _TOP)}")
            lines += [f"  caution: {self.cautions[path]}"] if path in self.cautions else []
        lines += [f"not answered: {error.problem} ({error.fix})" for _, error in self.errors]
        lines += [f"written to {self.out}"] if self.out is not None else []
        return printable("\n".join(lines))


def predict(
    bundle: str, *paths: str | Path | Sequence[str | Path], out: str | None = None, top: int | None = None, overwrite: bool = False
) -> Predictions:
    """Say what is in pictures.

    Args:
        bundle: A bundle folder, a .fovea file, or a run folder.
        paths: Picture files, or folders of them.
        out: A CSV file to write the answers to: path, predicted, probability, then each class, the classes that together are as
            sure as was promised, whether the picture was refused, and last the problem where there is no answer or one not to be trusted.
        top: How many classes to name for each picture; by default five, and with --json all.
        overwrite: Replace a file that stands at `out` already.

    Returns:
        The answers, in the order of the pictures. A picture that is missing or cannot be read stops nothing: it stands in
        `errors`, and `raise_errors()` raises the first of them.
    """
    asked = [os.fspath(path) for given in paths for path in ([given] if isinstance(given, (str, Path)) else given)]
    if not asked:
        raise InputError(
            "there is nothing to predict",
            got="no paths",
            expected="picture files, or folders of them",
            fix="fovea predict BUNDLE photo.jpg",
        )
    if top is not None and top < 1:
        raise InputError("--top names no class", got=str(top), expected="1 or more", fix="leave --top out to see the five most probable")
    if out is not None:
        check_new_file(out, overwrite=overwrite)
    opened = load_bundle(bundle)
    readers = [reader for path in asked for reader in _readers(path)]
    predictions: list[tuple[str, Prediction]] = []
    errors: list[tuple[str, UnreadableImage]] = []
    cautions: dict[str, str] = {}
    header = [*opened.task.table([])[0], "problem"]
    rows: list[list[object]] = []
    with Progress("predicting", total=len(readers)) as bar:
        for reader, outputs in zip(readers, opened.outputs_of(readers), strict=True):
            if isinstance(outputs, UnreadableImage):
                errors.append((reader.path, outputs))
                rows.append([reader.path, *[""] * (len(header) - 2), outputs.problem])
            else:
                batch = {name: values[None] for name, values in outputs.items()}
                predictions.append((reader.path, opened.task.decode(batch)[0]))
                if caution := opened.caution(int(outputs[SIDE])):
                    cautions[reader.path] = caution
                rows += [[*row, caution] for row in opened.task.table(predictions[-1:])[1]]
            bar.advance(1)
    if out is not None:
        write_csv(out, header, rows)
    return Predictions(predictions, errors, top, out, cautions)


def _shortened(answer: dict[str, Any], top: int | None) -> dict[str, Any]:
    """An answer with the `top` most probable classes alone, where it has probabilities of classes and someone asked for fewer."""
    named = answer.get("probabilities")
    if top is None or not isinstance(named, dict):
        return answer
    return answer | {"probabilities": dict(sorted(named.items(), key=lambda pair: -pair[1])[:top])}


def check_some_there(pictures: Sequence[Any]) -> None:
    """Whether a single one of the pictures can be had at all, before anything is opened or written for them.

    Raises:
        UnreadableImage: All of them are files, and none is there; it names the first.
    """
    problems = []
    for each in pictures:
        if not isinstance(each, FileReader):
            return
        try:
            each.check()
        except UnreadableImage as error:
            problems.append(error)
        else:
            return
    if problems:
        raise problems[0]


def _readers(path: str) -> list[Reader]:
    """The pictures at a path: the file itself, or all pictures of a folder and the folders in it."""
    place = Path(path)
    if not place.is_dir():
        return [FileReader(path, place)]
    inside = [name for name in sorted(FolderTree(place).paths) if has_picture_suffix(name) is not False]
    if not inside:
        raise InputError(
            f"the folder {path!r} holds no pictures", got="no picture files", expected="at least one", fix="name another folder, or files"
        )
    return [FileReader(f"{path.rstrip('/')}/{name}", place / name) for name in inside]
