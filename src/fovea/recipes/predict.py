"""Ask a bundle about pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.bundle import load_bundle
from fovea.data.sniff import has_picture_suffix
from fovea.data.trees import FolderTree
from fovea.errors import InputError, UnreadableImage
from fovea.files import printable, write_csv
from fovea.loading.readers import FileReader, Reader
from fovea.progress import Progress
from fovea.types import Prediction


@dataclass(frozen=True)
class Predictions:
    """The answers in the order of the pictures, and the pictures that gave none."""

    predictions: list[tuple[str, Prediction]]
    errors: list[tuple[str, UnreadableImage]]
    top: int

    @property
    def exit_code(self) -> int:
        """0: all were answered; 1: some were; 2: none was."""
        return 0 if not self.errors else 1 if self.predictions else 2

    def to_json(self) -> dict[str, Any]:
        return {
            "predictions": [{"path": printable(path)} | prediction.to_json() for path, prediction in self.predictions],
            "errors": [{"path": printable(path), "problem": printable(error.problem), "fix": error.fix} for path, error in self.errors],
        }

    def to_text(self) -> str:
        lines = [f"{path}: {prediction.describe(self.top)}" for path, prediction in self.predictions]
        lines += [f"not answered: {error.problem} ({error.fix})" for _, error in self.errors]
        return printable("\n".join(lines))


def predict(bundle: str, *paths: str, out: str | None = None, top: int = 5) -> Predictions:
    """Say what is in pictures.

    Args:
        bundle: A bundle folder, a .fovea file, or a run folder.
        paths: Picture files, or folders of them.
        out: A CSV file to write the answers to: path, predicted, probability, and then each class.
        top: How many classes to name for each picture.

    Returns:
        The answers, in the order of the pictures.
    """
    if not paths:
        raise InputError(
            "there is nothing to predict",
            got="no paths",
            expected="picture files, or folders of them",
            fix="fovea predict BUNDLE photo.jpg",
        )
    if top < 1:
        raise InputError("--top names no class", got=str(top), expected="1 or more", fix="leave --top out to see the five most probable")
    opened = load_bundle(bundle)
    readers = [reader for path in paths for reader in _readers(path)]
    predictions: list[tuple[str, Prediction]] = []
    errors: list[tuple[str, UnreadableImage]] = []
    with Progress("predicting", total=len(readers)) as bar:
        for reader, outputs in zip(readers, opened.outputs_of(readers), strict=True):
            if isinstance(outputs, UnreadableImage):
                errors.append((reader.path, outputs))
            else:
                rows = {name: values[None] for name, values in outputs.items()}
                predictions.append((reader.path, opened.task.decode(rows)[0]))
            bar.advance(1)
    if out is not None:
        write_csv(out, *opened.task.table(predictions))
    return Predictions(predictions, errors, top)


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
