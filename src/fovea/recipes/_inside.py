"""`fovea explain --view`: the view inside a network, and training pictures as examples; drawn into a folder."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fovea.bundle import Bundle
from fovea.errors import InputError
from fovea.explain.drawing import png
from fovea.explain.view import VIEWS, Asked, Picture, Seen, look_inside
from fovea.files import write_atomic
from fovea.models.network import PixelBackbone
from fovea.types import Pixels

EXAMPLES = "examples"
_EACH = 5


@dataclass(frozen=True)
class Inside:
    """What a view has shown: where its drawings stand, the same as values, and in sentences."""

    view: str
    written: tuple[Path, ...]
    facts: dict[str, Any]
    lines: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {"view": self.view, "files": [str(path) for path in self.written], **self.facts}

    def to_text(self) -> str:
        return "\n".join([*self.lines, *(f"written: {path}" for path in self.written)])


def views() -> list[str]:
    """The names of all views."""
    return sorted([*VIEWS.names(), EXAMPLES])


def show_inside(
    view: str,
    body: PixelBackbone,
    size_px: int,
    pictures: Sequence[tuple[str, Pixels]],
    out: str | Path,
    *,
    stage: int | None = None,
    channel: int | None = None,
) -> Inside:
    """Draws one view of a network.

    Args:
        view: A name of `VIEWS`.
        body: The network behind its scaling.
        size_px: Side of its pictures.
        pictures: (name, uint8 (S, S, 3)) as it sees them.
        out: The folder to write to.
        stage, channel: Which feature map and channel; None is the view's own choice.

    Raises:
        UnknownName, InputError: No such view, stage or channel, or nothing to look at.
    """
    seen: Seen = look_inside(view, Asked(body, size_px, [Picture(name, pixels) for name, pixels in pictures], stage, channel))
    written = tuple(write_atomic(Path(out) / f"{name}.png", png(pixels)) for name, pixels in seen.drawings.items())
    return Inside(view, written, dict(seen.facts), tuple(seen.lines))


def show_examples(bundle: Bundle, pictures: Sequence[tuple[str, Pixels]]) -> Inside:
    """The training pictures that speak for and against each answer, by name: the bundle holds no pictures.

    Args:
        bundle: Opened; it brings the training pictures' embeddings along.
        pictures: (name, uint8 (S, S, 3)) as the model sees them.

    Raises:
        InputError: The bundle brings none, or answers no classes.
    """
    neighbours = bundle.neighbours
    if neighbours is None or bundle.task.activation != "softmax":
        raise InputError(
            f"the bundle {str(bundle.path)!r} brings no training pictures to explain by example",
            got="no neighbours.npz" if neighbours is None else f"the task {bundle.task.name}",
            expected="a bundle of a classifier that `fovea train` has written",
            fix="train again, or explain with --method",
        )
    rows, lines = [], []
    for name, pixels in pictures:
        outputs = bundle.outputs(pixels[None])
        answer = bundle.class_names[int(outputs[bundle.task.answer][0].argmax())]
        found = neighbours.examples(outputs["embedding"][0], answer, count=_EACH)
        rows.append({"path": name, **found.to_json()})
        lines.append(f"{name}: {answer}")
        for word, each in (("for", found.supporting), ("against", found.opposing)):
            lines += [f"  {word}: {example.path} ({example.label}), {example.similarity:.2f} alike" for example in each]
    return Inside(EXAMPLES, (), {"examples": rows, "num_known": len(neighbours)}, tuple(lines))
