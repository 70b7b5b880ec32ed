"""`fovea explain --view`: the view inside a network, and training pictures as examples; drawn into a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fovea.bundle import Bundle, load_bundle
from fovea.bundle.neighbours import Examples
from fovea.data import decode, open_source
from fovea.errors import FoveaError, InputError
from fovea.explain.drawing import contact_sheet, png
from fovea.explain.opening import network_of
from fovea.files import write_atomic
from fovea.progress import Progress
from fovea.recipes.predict import _readers, check_some_there
from fovea.types import Pixels

if TYPE_CHECKING:
    from fovea.models.network import PixelBackbone

EXAMPLES, _OF_TRAINING = "examples", "channels"  # without pictures, the latter looks at those that the network learned from
_EACH, _THUMB_PX, _MOST_LEARNED = 5, 180, 500


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


def look(
    view: str,
    model: Any,
    pictures: Sequence[Any],
    out: str | Path | None,
    *,
    stage: int | None = None,
    channel: int | None = None,
) -> Inside:
    """One view of a run or a bundle, drawn into a folder.

    Args:
        view: A name of `VIEWS`, or "examples".
        model: A run folder, a bundle or a .fovea file.
        pictures: Picture files, or folders of them.
        out: The folder; of "examples", where there are no drawings without the training pictures, it may be None.
        stage, channel: Which feature map and channel; None is the view's own choice.

    Raises:
        UnknownName: No such view.
        InputError: There is no place to draw to, no picture to look at, or nothing to show.
        BundleError: The weights are not at hand.
        UnreadableImage: A picture cannot be decoded.
    """
    if view != EXAMPLES:
        from fovea.explain.view import VIEWS  # torch, from here on

        if view not in VIEWS:  # told before anything is opened
            raise VIEWS.unknown(view, also=[EXAMPLES])
    if out is None and view != EXAMPLES:
        raise InputError(
            f"the view {view!r} is drawn, and there is no place to draw it to", got="no --out", expected="a folder", fix="add --out DIR"
        )
    if not isinstance(model, str | Path | Bundle):
        raise InputError(
            "a view shows a run or a bundle", got=type(model).__name__, expected="a run folder, a bundle folder or a .fovea file",
            fix="make one of it: fovea train, or fovea bundle; fovea.explain without view= explains a network in memory",
        )  # fmt: skip
    if wrong := [each for each in pictures if not isinstance(each, str | os.PathLike | list | tuple)]:
        raise InputError(
            "a view looks at picture files", got=type(wrong[0]).__name__, expected="the names of picture files, or of folders of them",
            fix="save the picture and give its name",
        )  # fmt: skip
    readers = [
        reader
        for given in pictures
        for path in ([given] if isinstance(given, str | os.PathLike) else given)
        for reader in _readers(os.fspath(path))
    ]
    for reader in readers:
        check_some_there([reader])
    bundle = model if isinstance(model, Bundle) else load_bundle(model)
    with Progress("looking", total=len(readers)) as bar:
        shown, cautions = [], list[str]()
        for reader in readers:
            pixels, size_px = bundle.prepare_measured(reader.read(), path=reader.path)
            shown.append((reader.path, pixels))
            cautions += [f"caution: {reader.path}: {caution}"] if (caution := bundle.caution(min(size_px))) else []
            bar.advance(1)
    if view == _OF_TRAINING and not shown:
        shown = _learned_from(bundle)
    if view == EXAMPLES:
        found = show_examples(bundle, shown, out)
        return replace(found, facts=found.facts | {"cautions": cautions}, lines=(*found.lines, *cautions))
    body = network_of(bundle, method=f"the view {view}").body
    return show_inside(view, body, bundle.info.preprocessing.size_px, shown, out or ".", stage=stage, channel=channel)


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
    from fovea.explain.view import Asked, Picture, look_inside

    seen = look_inside(view, Asked(body, size_px, [Picture(name, pixels) for name, pixels in pictures], stage, channel))
    written = tuple(write_atomic(Path(out) / f"{name}.png", png(pixels)) for name, pixels in seen.drawings.items())
    return Inside(view, written, dict(seen.facts), tuple(seen.lines))


def show_examples(bundle: Bundle, pictures: Sequence[tuple[str, Pixels]], out: str | Path | None) -> Inside:
    """The training pictures that speak for and against each answer: by name, and drawn where they are still at hand.

    Args:
        bundle: Opened; it brings the training pictures' embeddings along.
        pictures: (name, uint8 (S, S, 3)) as the model sees them.
        out: The folder to draw to.

    Raises:
        InputError: The bundle brings none, or answers no classes; or there is no picture.
    """
    neighbours = bundle.neighbours
    if neighbours is None and bundle.info.averaging:
        raise InputError(
            f"the bundle {str(bundle.path)!r} brings no training pictures to explain by example",
            got="what `fovea average` made, which keeps none",
            expected="a run of `fovea train`",
            fix="name one of the runs that were averaged, or explain with --method occlusion",
        )
    if neighbours is None or bundle.task.activation != "softmax":
        raise InputError(
            f"the bundle {str(bundle.path)!r} brings no training pictures to explain by example",
            got="no neighbours.npz" if neighbours is None else f"the task {bundle.task.name}",
            expected="a bundle of a classifier that `fovea train` has written",
            fix="train again, or explain with --method",
        )
    if not pictures:
        raise InputError(
            "there is nothing to explain",
            got="no pictures",
            expected="picture files, or folders of them",
            fix="fovea explain RUN photo.jpg --view examples",
        )
    found: list[tuple[str, Examples]] = []
    for name, pixels in pictures:
        outputs = bundle.outputs(pixels[None])
        answer = bundle.class_names[int(outputs[bundle.task.answer][0].argmax())]
        found.append((name, neighbours.examples(outputs["embedding"][0], answer, count=_EACH)))
    lines = []
    for name, examples in found:
        lines.append(f"{name}: {examples.answer}")
        for word, each in (("for", examples.supporting), ("against", examples.opposing)):
            lines += [f"  {word}: {example.path} ({example.label}), {example.similarity:.2f} alike" for example in each]
    written: list[Path] = []
    if out is not None:
        known = _training_pictures(bundle, [each.path for _, examples in found for each in (*examples.supporting, *examples.opposing)])
        if not known:
            lines.append("the training pictures are not where they were: they are named, and not drawn")
        for number, ((name, pixels), (_, examples)) in enumerate(zip(pictures, found, strict=True), start=1):
            tiles = [(f"{Path(name).name}: {examples.answer}", pixels)]
            tiles += [(f"for: {each.label}, {each.similarity:.2f}", known[each.path]) for each in examples.supporting if each.path in known]
            tiles += [
                (f"against: {each.label}, {each.similarity:.2f}", known[each.path]) for each in examples.opposing if each.path in known
            ]
            if len(tiles) > 1:
                drawing = contact_sheet(tiles, title=f"{Path(name).name}: the training pictures most like it", columns=1 + _EACH)
                written.append(write_atomic(Path(out) / f"examples_{number}_{Path(name).stem}.png", png(drawing)))
    facts = {"examples": [{"path": name, **examples.to_json()} for name, examples in found], "num_known": len(neighbours)}
    return Inside(EXAMPLES, tuple(written), facts, tuple(lines))


def _learned_from(bundle: Bundle) -> list[tuple[str, Pixels]]:
    """Up to 500 of the pictures that the bundle remembers learning from, as the model sees them; none where they are gone."""
    preprocessing, known = bundle.info.preprocessing, bundle.neighbours.paths if bundle.neighbours else ()
    chosen = known[:: max(1, -(-len(known) // _MOST_LEARNED))]
    with Progress("reading training pictures", total=len(chosen)) as bar:
        found = _training_pictures(bundle, chosen, min_side_px=preprocessing.min_side_px)
        bar.advance(len(chosen))
    return [(path, preprocessing.apply(pixels)) for path, pixels in sorted(found.items())]


def _training_pictures(bundle: Bundle, paths: Sequence[str], *, min_side_px: int = _THUMB_PX) -> dict[str, Pixels]:
    """Those of the training pictures that can still be read where the run around the bundle says that they were."""
    folder = bundle.path if (bundle.path / "bundle.json").is_file() else bundle.path / "bundle"
    try:
        settings = json.loads((folder.resolve().parent / "checkpoint" / "settings.json").read_bytes())["settings"]
        with open_source(settings["data"], seed=settings["seed"]) as source:
            at = {item.path: item for item in source.items}
            return {path: decode(source.read(at[path]), path=path, min_side_px=min_side_px).pixels for path in set(paths) if path in at}
    except (OSError, ValueError, KeyError, TypeError, FoveaError):  # a bundle that has travelled knows no pictures
        return {}
