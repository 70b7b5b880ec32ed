"""Show what in a picture an answer comes from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from fovea.errors import BundleError, OutputError, UnreadableImage
from fovea.explain import METHODS, Explanation, Subject, explain_picture
from fovea.explain.bundle_subject import BundleSubject
from fovea.explain.comparison import Check
from fovea.explain.opening import Opened, network_of, open_subject
from fovea.files import printable
from fovea.loading.parallel import map_ordered
from fovea.loading.readers import Reader
from fovea.progress import Progress
from fovea.recipes._asking import check_choices, check_files, check_options, class_number, pictures_of
from fovea.recipes._boxes import Boxes, read_boxes
from fovea.recipes._checking import MOST_CHECKED, check_methods
from fovea.recipes._explanation_files import Sheets
from fovea.recipes._inside import Inside, look
from fovea.types import Floats, Pixels


@dataclass(frozen=True)
class Explanations:
    """One explanation for each picture, in their order, and in `errors` the pictures that could not be read.

    Where they were written, the maps are read again from there when they are asked for.
    """

    explanations: Sequence[tuple[str, Explanation]]
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
            lines += [f"  {note}" for note in found.notes if note.startswith("caution: ")]
        lines += [f"not explained: {error.problem} ({error.fix})" for _, error in self.errors]
        if self.explanations:
            first = self.explanations[0][1]
            lines.append(f"by {first.method}: {METHODS[first.method].info.purpose} ({METHODS[first.method].info.source})")
            lines += [note for note in first.notes if not note.startswith("caution: ")]
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
    boxes: str | None = None,
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
        boxes: With --check: a table of where the things lie, path,x0,y0,x1,y1 (and label) in pixels of the photos. How often the hottest
            place lies in a box of the class that is explained, and how much of the heat, are then measured too.
        view: Look inside instead: "filters", "maps", "channels" (without pictures, among those learned from), "deconvnet",
            "receptive_field", or "examples", the training pictures that speak for and against each answer.
        stage, channel: Of a view: which feature map (0 is the finest) and which of its channels; by default the view's own choice.
        colours: Of the heat; each can be told apart by colour-blind people, and in grey.
        animate: Also draw the way of integrated gradients as a moving picture, where the network's weights are at hand.
        out: A folder to write: for each picture a sheet (photo, heat, overlay, answers) as PNG and the raw heat as .npz, and explanations.json.
        seed: Of what a method draws by chance.
        overwrite: Replace earlier explanations in `out`, and remove those files of theirs that are not written again.

    Returns:
        The explanations, in the order of the pictures. A picture that cannot be read stops nothing: it stands in `errors`.
    """
    info = METHODS[method].info  # a name that does not exist is told before anything is opened
    check_choices(method, info, layer=layer, class_=class_, check=check, boxes=boxes, animate=animate, out=out, seed=seed)
    of_heat = {"method": method if method != "gradcam" else None, "colours": colours if colours != "viridis" else None}
    check_options(view, **of_heat, layer=layer, class_=class_, check=check, boxes=boxes, animate=animate, stage=stage, channel=channel)
    known = None if boxes is None else read_boxes(boxes)
    if out is not None and not overwrite and Path(out).is_dir() and any(Path(out).iterdir()):
        raise OutputError(
            f"{out!r} is not empty", got="other files", expected="a new or empty folder", fix="choose another --out, or add --overwrite"
        )
    if view is not None:
        return Explanations([], out=out, inside=look(view, model, pictures, out, stage=stage, channel=channel))
    asked = pictures_of(pictures)
    check_files(asked, model, check=check, boxes=boxes)
    opened = open_subject(model, method="integrated_gradients" if animate else method, layer=layer)
    target = class_number(class_, opened.subject)
    if known is not None:
        known.check([path for path, _ in asked], opened.subject.class_names)
    sheets = None if out is None else Sheets(out, opened, colours, animate)
    held: list[tuple[str, Explanation]] = []
    errors: list[tuple[str, UnreadableImage]] = []
    checked: list[tuple[Pixels, Floats | None]] = []
    step = max(1, -(-len(asked) // MOST_CHECKED))
    with Progress("explaining", total=len(asked)) as bar:
        for index, (path, answer) in enumerate(_explained(asked, opened, method, target, seed, known)):
            if isinstance(answer, UnreadableImage):
                errors.append((path, answer))
            else:
                pixels, explanation, lies = answer
                if check and index % step == 0:
                    checked.append((pixels.astype(np.uint8, copy=False), lies))
                if sheets is not None:
                    sheets.add(path, pixels, explanation)
                else:
                    held.append((path, explanation))
            bar.advance(1)
    table = check_methods(_with_weights(opened), checked, [method], target=target, seed=seed) if checked else None
    if sheets is None:
        return Explanations(held, errors, check=table)
    sheets.finish(table)
    result = Explanations(sheets.explanations, errors, sheets.files, out, table, sheets.further)
    if sheets.files:
        sheets.write_table(result.to_json())
    return result


_Found = tuple[Pixels | Floats, Explanation, Floats | None] | UnreadableImage  # and the boxes of what was explained, where they are known


def _explained(
    asked: Sequence[Any], opened: Opened, method: str, target: int | None, seed: int, known: Boxes | None
) -> Iterator[tuple[str, _Found]]:
    """Each picture explained, in order: side by side in threads where the bundle's engine answers, else one after the other."""
    shared = opened.subject

    def look(each: Any) -> tuple[str, _Found]:
        path, content = each
        subject = BundleSubject(shared.bundle) if isinstance(shared, BundleSubject) else shared  # one keeps a picture in mind
        try:
            if isinstance(content, Reader) and opened.bundle:
                pixels, (width_px, height_px) = opened.bundle.prepare_measured(content.read(), path=path)
                if max(width_px, height_px) == 1:
                    raise UnreadableImage(
                        f"{path!r} is a picture of one pixel: it has no places to tell apart", got="1 x 1 px", expected="at least 2 x 2 px",
                        fix="give the whole picture",
                    )  # fmt: skip
                caution = opened.bundle.caution(min(width_px, height_px))
            else:
                pixels, caution = content, ""
        except UnreadableImage as error:
            return path, error
        found = explain_picture(subject, pixels, method=method, target=target, seed=seed)
        lies = None
        if known is not None and opened.bundle:
            in_photo = known.of(path, found.target_name)
            lies = opened.bundle.info.preprocessing.move_boxes(in_photo, width_px=width_px, height_px=height_px)
        return path, (pixels, replace(found, notes=(*found.notes, f"caution: {caution}")) if caution else found, lies)

    with threadpool_limits(1, user_api="blas"):  # side by side, and small products all
        yield from map_ordered(look, asked) if isinstance(shared, BundleSubject) else map(look, asked)


def _with_weights(opened: Opened) -> Subject:
    """The network in torch where its weights are at hand, since they are made random for a check; else what there is."""
    if not isinstance(opened.subject, BundleSubject):
        return opened.subject
    from fovea.explain.network_subject import NetworkSubject  # torch, from here on

    try:
        return NetworkSubject(network_of(opened.subject.bundle), task=opened.subject.bundle.task)
    except BundleError:
        return opened.subject
