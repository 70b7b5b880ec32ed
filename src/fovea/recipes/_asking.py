"""What `fovea explain` is asked: which options go together, which pictures, and which class, as people and programs name them."""

import difflib
import operator
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fovea.bundle import Bundle
from fovea.errors import InputError
from fovea.explain import MethodInfo, Subject
from fovea.loading.readers import Reader
from fovea.recipes._inside import EXAMPLES
from fovea.recipes.predict import _readers, check_some_there


def check_options(view: str | None, **given: Any) -> None:
    """Raises InputError where an option would be ignored."""
    of_views = ("stage", "channel")
    if view is None:
        unused, fix = of_views, "add --view maps, or leave it out"
    else:
        unused = ("method", "colours", "layer", "class_", "check", "boxes", "animate", *(of_views if view == EXAMPLES else ()))
        fix = "leave it out, or leave --view out"
    if wrong := [f"--{name.rstrip('_')}" for name in unused if given[name] is not None and given[name] is not False]:
        what = "an explanation" if view is None else f"the view {view!r}"
        raise InputError(
            f"{what} does not heed {' and '.join(wrong)}", got=" ".join(wrong),
            expected=f"only options of {what}", fix=fix,
        )  # fmt: skip


def check_choices(
    method: str, info: MethodInfo, *, layer: Any, class_: Any, check: bool, boxes: Any, animate: Any, out: str | None, seed: int
) -> None:
    """Raises InputError where one option does not go with another."""
    if wrong := "--class" if class_ is not None and info.tells == "seen" else "--layer" if layer and "maps" not in info.needs else "":
        raise InputError(
            f"{method} does not heed {wrong}", got=wrong,
            expected=f"a method that {'follows a class' if wrong == '--class' else 'looks at the maps of a layer'}, as gradcam",
            fix=f"leave {wrong} out, or take another --method",
        )  # fmt: skip
    if seed < 0:
        raise InputError("a seed is no negative number", got=str(seed), expected="0 or more", fix="choose another --seed")
    if animate not in (None, "gif", "webp"):
        raise InputError("there is no such moving picture", got=repr(animate), expected="gif or webp", fix="choose one of these")
    if animate and out is None:
        raise InputError(
            "a moving picture is written, and there is no place for it", got="no --out", expected="a folder", fix="add --out DIR"
        )
    if boxes is not None and not check:
        raise InputError(
            "boxes are for the check of a method", got="--boxes without --check", expected="both", fix="add --check, or leave --boxes out"
        )


def pictures_of(pictures: Sequence[Any]) -> list[tuple[str, Any]]:
    """A name for each picture, with the reader of its file, or with its pixels (H, W, 3)."""
    found: list[tuple[str, Any]] = []
    for given in pictures:
        if isinstance(given, str | os.PathLike):
            found += [(reader.path, reader) for reader in _readers(os.fspath(given))]
        elif isinstance(given, list | tuple):
            found += pictures_of(given)
        else:
            found += [(f"picture {len(found) + number}", pixels) for number, pixels in enumerate(_arrays(given), start=1)]
    if not found:
        raise InputError(
            "there is nothing to explain",
            got="no pictures",
            expected="picture files, or folders of them",
            fix="fovea explain RUN photo.jpg",
        )
    return found


def check_files(asked: Sequence[tuple[str, Any]], model: Any, *, check: bool, boxes: str | None) -> None:
    """Raises InputError where the pictures cannot be had, or are not of the kind that is needed."""
    if not isinstance(model, str | Path | Bundle) and any(isinstance(each, Reader) for _, each in asked):
        raise InputError(
            "how a file becomes what this network takes is known of runs and bundles alone", got="picture files and a torch network",
            expected="arrays: (H, W, 3) of bytes, or floats (3, H, W) prepared as the network was trained", fix="prepare the pictures and give the arrays",
        )  # fmt: skip
    if boxes is not None and not all(isinstance(each, Reader) for _, each in asked):
        raise InputError(
            "a table of boxes names picture files", got="arrays", expected="picture files", fix="leave boxes out, or give the files"
        )
    check_some_there([content for _, content in asked])
    if check and any(not isinstance(content, Reader) and content.dtype != np.uint8 for _, content in asked):
        raise InputError(
            "a method is checked on pictures of bytes", got="floats", expected="uint8 (H, W, 3), or picture files",
            fix="leave check out, or give bytes",
        )  # fmt: skip


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


def class_number(asked: str | int | None, subject: Subject) -> int | None:
    """The number of a class, from its name or its number."""
    if asked is None:
        return None
    if not isinstance(asked, str):
        try:
            return operator.index(asked)
        except TypeError as error:
            raise InputError("that is no class", got=repr(asked), expected="its name, or its number from 0", fix="name it") from error
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
