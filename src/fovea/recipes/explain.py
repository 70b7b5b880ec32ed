"""Show what in a picture an answer comes from."""

import difflib
import json
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fovea.bundle import Bundle
from fovea.bundle.archive import pack_arrays
from fovea.errors import InputError, OutputError, UnreadableImage
from fovea.explain import METHODS, Explanation, Subject, explain_picture
from fovea.explain.bundle_subject import BundleSubject
from fovea.explain.comparison import Check
from fovea.explain.drawing import ColourMap, animation, contact_sheet, overlay, png, sheet
from fovea.explain.opening import Opened, open_subject
from fovea.explain.path import integrated_path, path_frames
from fovea.files import printable, ready_folder, write_atomic, write_json
from fovea.loading.parallel import map_ordered
from fovea.loading.readers import Reader
from fovea.progress import Progress
from fovea.recipes._checking import check_methods
from fovea.recipes._inside import EXAMPLES, Inside, look
from fovea.recipes.predict import _readers
from fovea.types import Floats, Pixels

_CONTACT, _MOST_TILES = "contact-sheet.png", 100
_TABLE, _WRITTEN = "explanations.json", (".png", ".npz", ".gif", ".webp")


@dataclass(frozen=True)
class Explanations:
    """One explanation for each picture, in their order, and in `errors` the pictures that could not be read."""

    explanations: list[tuple[str, Explanation]]
    errors: list[tuple[str, UnreadableImage]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)  # the sheets, one for each explanation, where they were written
    out: str | None = None
    check: Check | None = None  # how far the method can be believed, where that was asked
    further: list[str] = field(default_factory=list)  # what was drawn besides: the contact sheet, moving pictures
    inside: Inside | None = None  # what a view has shown, where one was asked for in place of explanations

    @property
    def exit_code(self) -> int:
        """0: all were explained; 1: some were; 2: none was."""
        return 0 if not self.errors else 1 if self.explanations else 2

    @property
    def heat(self) -> Floats:
        """The heat map of the first picture, (H, W) in 0..1."""
        return self.explanations[0][1].heat

    def to_json(self) -> dict[str, Any]:
        if self.inside is not None:
            return self.inside.to_json()
        rows = []
        for index, (path, found) in enumerate(self.explanations):
            files = {"sheet": self.files[index], "raw": self.files[index].removesuffix(".png") + ".npz"} if self.files else {}
            rows.append({"path": printable(path)} | found.to_json() | files)
        errors = [{"path": printable(path), "problem": printable(error.problem), "fix": error.fix} for path, error in self.errors]
        further = {"further": self.further} if self.further else {}
        return {"explanations": rows, "errors": errors} | further | ({"check": self.check.to_json()} if self.check else {})

    def to_text(self) -> str:
        if self.inside is not None:
            return printable(self.inside.to_text())
        lines = []
        for path, found in self.explanations:
            at = found.to_json()["hottest"]
            where = (
                f"most at {at['x']}, {at['y']} of {found.heat.shape[1]} x {found.heat.shape[0]} px"
                if found.heat.any()
                else "nowhere in particular"
            )
            lines.append(f"{path}: {found.target_name} (score {found.score:.3g}), {where}")
        lines += [f"not explained: {error.problem} ({error.fix})" for _, error in self.errors]
        if self.explanations:
            first = self.explanations[0][1]
            lines.append(f"by {first.method}: {METHODS[first.method].info.purpose} ({METHODS[first.method].info.source})")
            lines += first.notes
        lines += ["", self.check.to_text()] if self.check else []
        lines += [f"written to {self.out}"] if self.out is not None else []
        return printable("\n".join(lines))


def explain(
    model: Any,
    *pictures: Any,
    method: str = "gradcam",
    layer: str | None = None,
    class_: str | int | None = None,
    check: bool = False,
    view: str | None = None,
    stage: int | None = None,
    channel: int | None = None,
    colours: Literal["viridis", "cividis", "inferno"] = "viridis",
    animate: Literal["gif", "webp"] | None = None,
    out: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> Explanations:
    """Show what in a picture an answer comes from, as a heat map.

    Args:
        model: A run folder, a bundle folder or a .fovea file; in Python also a torch network, nested, pretrained or your own.
        pictures: Picture files, or folders of them. In Python also arrays: (H, W, 3) or (B, H, W, 3) of bytes as the model
            sees them, or floats (3, H, W) or (B, 3, H, W) as a network takes them.
        method: gradcam, gradcam_plus_plus, layercam, eigencam, scorecam, ablationcam, cam, gradients, smoothgrad, guided_backprop,
            integrated_gradients, occlusion, rise or attention_rollout, a plug-in's, or captum:NAME.
        layer: Whose maps are looked at; by default those of the last convolution, which is found and said.
        class_: The class to explain, by its name or its number from 0; by default the most probable of each picture.
        check: Also measure how far the method can be believed on these pictures (up to 20 of them), beside a spot in the middle of each
            and heat by chance. Ten or more pictures are needed to tell; it takes about a minute.
        view: Look inside instead: "filters", "maps", "channels", "deconvnet", "receptive_field", or "examples", the training pictures that
            speak for and against each answer.
        stage, channel: Of a view: which feature map (0 is the finest) and which of its channels; by default the view's own choice.
        colours: Of the heat; each can be told apart by colour-blind people, and in grey.
        animate: Also draw the way of integrated gradients as a moving picture, where the network's weights are at hand.
        out: A folder to write: for each picture a sheet (photo, heat, overlay, answers) as PNG and the raw heat as .npz, and explanations.json.
        seed: Of what a method draws by chance.
        overwrite: Replace earlier explanations in `out`, and remove those files of theirs that are not written again.

    Returns:
        The explanations, in the order of the pictures. A picture that cannot be read stops nothing: it stands in `errors`.
    """
    METHODS[method]  # a name that does not exist is told before anything is opened
    _check_options(view, layer=layer, class_=class_, check=check, animate=animate, stage=stage, channel=channel)
    if animate and out is None:
        raise InputError(
            "a moving picture is written, and there is no place for it", got="no --out", expected="a folder", fix="add --out DIR"
        )
    if out is not None and any(ready_folder(out).iterdir()) and not overwrite:
        raise OutputError(
            f"{out!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another --out, or add --overwrite"
        )
    if view is not None:
        return Explanations([], out=out, inside=look(view, model, pictures, out, stage=stage, channel=channel))
    opened = open_subject(model, method="integrated_gradients" if animate else method, layer=layer)
    target = _target(class_, opened.subject)
    asked = _asked(pictures, opened)
    done: list[tuple[str, Pixels | Floats, Explanation]] = []
    errors: list[tuple[str, UnreadableImage]] = []
    with Progress("explaining", total=len(asked)) as bar:
        for path, answer in _explained(asked, opened, method, target, seed):
            if isinstance(answer, UnreadableImage):
                errors.append((path, answer))
            else:
                done.append((path, *answer))
            bar.advance(1)
    names, further = _file_names([path for path, *_ in done]), []
    if out is not None:
        for name, (path, pixels, explanation) in zip(names, done, strict=True):
            _write(Path(out), name, path, pixels, explanation, opened, colours)
            if animate:
                further.append(f"{name.removesuffix('.png')}.{animate}")
                _animate(Path(out) / further[-1], pixels, explanation, opened, animate)
        if len(done) > 1:
            further.append(_CONTACT)
            _write_contact(Path(out) / _CONTACT, done, colours)
    table = check_methods(opened.subject, _of_bytes([pixels for _, pixels, _ in done]), [method], seed=seed) if check and done else None
    result = Explanations([(path, found) for path, _, found in done], errors, names if out is not None else [], out, table, further)
    if out is not None:
        before = _named(Path(out))
        write_json(Path(out) / _TABLE, result.to_json())
        for name in before - _named(Path(out)):
            (Path(out) / name).unlink(missing_ok=True)
    return result


def _named(folder: Path) -> set[str]:
    """The files in a folder that its explanations.json names; whatever else lies there is somebody's own."""
    try:
        said = json.loads((folder / _TABLE).read_bytes())
        names = [row[key] for row in said["explanations"] for key in ("sheet", "raw") if key in row] + said.get("further", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    mine = (name for name in names if isinstance(name, str) and Path(name).name == name and Path(name).suffix in _WRITTEN)
    return {name for name in mine if (folder / name).is_file()}


def _check_options(view: str | None, **given: Any) -> None:
    """Raises InputError where an option would be ignored."""
    of_views = ("stage", "channel")
    if view is None:
        unused, fix = of_views, "add --view maps, or leave it out"
    else:
        unused = ("layer", "class_", "check", "animate", *(of_views if view == EXAMPLES else ()))
        fix = "leave it out, or leave --view out"
    if wrong := [f"--{name.rstrip('_')}" for name in unused if given[name] is not None and given[name] is not False]:
        what = "an explanation" if view is None else f"the view {view!r}"
        raise InputError(
            f"{what} does not heed {' and '.join(wrong)}", got=" ".join(wrong),
            expected=f"only options of {what}", fix=fix,
        )  # fmt: skip


_Found = tuple[Pixels | Floats, Explanation] | UnreadableImage


def _explained(asked: Sequence[Any], opened: Opened, method: str, target: int | None, seed: int) -> Iterator[tuple[str, _Found]]:
    """Each picture explained, in order: side by side in threads where the bundle's engine answers, else one after the other."""
    shared = opened.subject

    def look(each: Any) -> tuple[str, _Found]:
        path, content = each
        subject = BundleSubject(shared.bundle) if isinstance(shared, BundleSubject) else shared  # one keeps a picture in mind
        try:
            pixels = opened.bundle.prepare(content.read(), path=path) if isinstance(content, Reader) and opened.bundle else content
        except UnreadableImage as error:
            return path, error
        return path, (pixels, explain_picture(subject, pixels, method=method, target=target, seed=seed))

    return map_ordered(look, asked) if isinstance(shared, BundleSubject) else map(look, asked)


def _asked(pictures: Sequence[Any], opened: Opened) -> list[tuple[str, Any]]:
    """A name for each picture, with the reader of its file, or with its pixels (H, W, 3)."""
    found: list[tuple[str, Any]] = []
    for given in pictures:
        if isinstance(given, str | os.PathLike):
            found += [(reader.path, reader) for reader in _readers(os.fspath(given))]
        elif isinstance(given, list | tuple):
            found += _asked(given, opened)
        else:
            found += [(f"picture {len(found) + number}", pixels) for number, pixels in enumerate(_arrays(given), start=1)]
    if not found:
        raise InputError(
            "there is nothing to explain",
            got="no pictures",
            expected="picture files, or folders of them",
            fix="fovea explain RUN photo.jpg",
        )
    if opened.bundle is None and any(isinstance(each, Reader) for _, each in found):
        raise InputError(
            "how a file becomes what this network takes is known of runs and bundles alone", got="picture files and a torch network",
            expected="arrays: (H, W, 3) of bytes, or floats (3, H, W) prepared as the network was trained", fix="prepare the pictures and give the arrays",
        )  # fmt: skip
    return found


def _arrays(given: Any) -> Sequence[Any]:
    """Pictures (H, W, 3), of bytes or of float32, from an array or a tensor of one or several."""
    if hasattr(given, "detach"):  # a tensor
        given = given.detach().cpu().numpy()
    array = np.asarray(given)
    if array.ndim == 3:
        array = array[None]
    is_bytes, is_floats = array.dtype == np.uint8, array.dtype.kind == "f"
    if array.ndim == 4 and array.shape[1] == 3 and (is_floats or array.shape[3] != 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim != 4 or array.shape[3] != 3 or not (is_bytes or is_floats):
        raise InputError(
            "that is no picture", got=f"{array.dtype} {tuple(np.shape(given))}",
            expected="bytes (H, W, 3) or (B, H, W, 3), or floats (3, H, W) or (B, 3, H, W)", fix="give one of these",
        )  # fmt: skip
    return [np.ascontiguousarray(each if is_bytes else each.astype(np.float32)) for each in array]


def _target(asked: str | int | None, subject: Subject) -> int | None:
    """The number of a class, from its name or its number."""
    if asked is None or isinstance(asked, int):
        return asked
    names = subject.class_names
    if asked in names:
        return names.index(asked)
    if re.fullmatch(r"-?\d+", asked):
        return int(asked)
    near = difflib.get_close_matches(asked, names, n=3)
    raise InputError(
        f"no class is called {asked!r}", got=repr(asked), expected="one of " + ", ".join(names[:10]) + (" ..." if len(names) > 10 else ""),
        fix=f"did you mean {' or '.join(near)}?" if near else "name one of these, or give its number from 0",
    )  # fmt: skip


def _file_names(paths: Sequence[str]) -> list[str]:
    """A name for the sheet of each picture; the second of two pictures of one name gets a number."""
    found: list[str] = []
    taken, counts = {_CONTACT}, Counter[str]()
    for path in paths:
        stem = re.sub(r"[^\w.-]+", "_", printable(Path(path).stem)) or "picture"
        name = f"{stem}.png"
        while name in taken:
            counts[stem] += 1
            name = f"{stem}-{counts[stem] + 1}.png"
        taken.add(name)
        found.append(name)
    return found


def _write(folder: Path, name: str, path: str, pixels: Pixels | Floats, found: Explanation, opened: Opened, colours: ColourMap) -> None:
    photo = _photo(pixels)
    are_shares = not isinstance(opened.bundle, Bundle) or opened.bundle.task.activation != "identity"
    title = f"{Path(path).name}: what speaks for {found.target_name} ({found.method})"
    write_atomic(folder / name, png(sheet(photo, found.heat, list(found.top) if are_shares else [], title, colours=colours)))
    write_atomic(folder / (name.removesuffix(".png") + ".npz"), pack_arrays({"heat": found.heat, "evidence": found.evidence}))


def _write_contact(path: Path, done: Sequence[tuple[str, Pixels | Floats, Explanation]], colours: ColourMap) -> None:
    """All of them on one sheet."""
    tiles = [
        (
            f"{found.target_name}: {Path(path).name}",
            overlay(_photo(pixels), found.heat, colours=colours),
        )
        for path, pixels, found in done[:_MOST_TILES]
    ]
    more = f" (the first {_MOST_TILES} of {len(done):,})" if len(done) > _MOST_TILES else ""
    write_atomic(path, png(contact_sheet(tiles, title=f"what speaks for the answers, by {done[0][2].method}{more}")))


def _animate(path: Path, pixels: Pixels | Floats, found: Explanation, opened: Opened, kind: Literal["gif", "webp"]) -> None:
    from fovea.explain.network_subject import NetworkSubject

    if not isinstance(opened.subject, NetworkSubject) or pixels.dtype != np.uint8:
        raise InputError(
            "the way of integrated gradients begins at a black picture of bytes", got=str(pixels.dtype), expected="pictures (H, W, 3) of bytes",
            fix="leave --animate out",
        )  # fmt: skip
    way = integrated_path(opened.subject, pixels.astype(np.uint8, copy=False), found.target)
    write_atomic(path, animation(path_frames(way), kind=kind))


def _of_bytes(pictures: Sequence[Pixels | Floats]) -> list[Pixels]:
    """The pictures, which a check covers and blurs as bytes."""
    if any(pixels.dtype != np.uint8 for pixels in pictures):
        raise InputError(
            "a method is checked on pictures of bytes",
            got="floats",
            expected="uint8 (H, W, 3), or picture files",
            fix="leave check out, or give bytes",
        )
    return [pixels.astype(np.uint8, copy=False) for pixels in pictures]


def _photo(pixels: Pixels | Floats) -> Pixels:
    """A picture for people: bytes as they are, prepared floats stretched to what they hold."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    low, high = float(pixels.min()), float(pixels.max())
    return ((pixels - low) / max(high - low, 1e-12) * 255).astype(np.uint8)
