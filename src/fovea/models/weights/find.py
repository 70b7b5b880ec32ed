"""Where a backbone's weights are, and what they are: the `FOVEA_WEIGHTS` folder, the package, the hub, or a path."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fovea.errors import WeightsError, told_of
from fovea.files import sha256_file
from fovea.models.backbone import BACKBONES, BackboneInfo
from fovea.models.hub import HubFile, Unreachable, cached, fetch, parse_hub
from fovea.models.passport import METADATA_KEY, Passport, read_passport
from fovea.models.weights.strangers import options_of, stranger
from fovea.models.weights.tensor_files import TensorFile, open_tensors
from fovea.registry import Entry

Where = Literal["path", "folder", "packaged", "hub"]

_FOLDER_VARIABLE = "FOVEA_WEIGHTS"
PACKAGED = Path(__file__).parents[1] / "packaged"
_IN_A_RUN = ("checkpoint/best.safetensors", "bundle/model.safetensors", "best.safetensors", "model.safetensors")


@dataclass(frozen=True)
class ResolvedWeights:
    """A weights file that was found.

    Args:
        path: Where it lies.
        passport: What is known of it; its `options` are those that the backbone must be created with.
        where: Which kind of place that is.
        said: A sentence for people.
        notes: What could not be known and was taken for granted, in words; they appear in the load report.
    """

    path: Path
    passport: Passport
    where: Where
    said: str
    notes: tuple[str, ...] = ()


def resolve_weights(backbone: str, weights: str | Path = "auto") -> ResolvedWeights | None:
    """Finds a backbone's weights.

    Args:
        backbone: Its name.
        weights: "auto" (the `FOVEA_WEIGHTS` folder, then the package, then the hub), "none", the path of a file, a RUN
            folder, or "hub:OWNER/NAME@REVISION[/FILE]".

    Returns:
        None for "none" only.

    Raises:
        UnknownName: No such backbone.
        WeightsError: Nothing was found; says where it was looked for, and what to do.
    """
    entry = BACKBONES[backbone]
    if weights == "none":
        return None
    if weights == "auto":
        return _auto(entry)
    if isinstance(weights, str) and weights.startswith("hub:"):
        file = parse_hub(weights)
        try:
            return _found(entry, fetch(file, login=True), "hub", f"on the hub ({file})")
        except Unreachable as error:
            raise _not_at_hand(entry, {"the hub": str(error)}, _by_network(entry, file)) from error
    path = Path(weights).expanduser()
    if path.is_dir():
        path = in_run(path)
    return _found(entry, path, "path", str(path))


def candidates() -> dict[str, Where]:
    """The backbones whose weights are at hand without a network, and where; those that the user put there come first."""
    found: list[tuple[str, Where]] = []
    for entry in BACKBONES:
        published = _published(entry)
        if _in_folder(entry.name):
            found.append((entry.name, "folder"))
        elif _in_package(entry.name):
            found.append((entry.name, "packaged"))
        elif published and published.revision and cached(_hub_file(published)):
            found.append((entry.name, "hub"))
    order: tuple[Where, ...] = ("folder", "packaged", "hub")
    return dict(sorted(found, key=lambda item: order.index(item[1])))


def _auto(entry: Entry[BackboneInfo]) -> ResolvedWeights:
    looked: dict[str, str] = {}
    if entry.info.own_weights:
        written, notes = entry.info.own_weights()
        found = _found(entry, written, "path", "as its package reads them")
        return replace(found, notes=(*found.notes, *notes))
    if paths := _in_folder(entry.name):
        others = f", the first of {len(paths)} that fit" if len(paths) > 1 else ""
        return _found(entry, paths[0], "folder", f"in the {_FOLDER_VARIABLE} folder ({paths[0].name}{others})")
    looked[_FOLDER_VARIABLE] = (
        f"no {entry.name}*.safetensors in {os.environ[_FOLDER_VARIABLE]}" if os.environ.get(_FOLDER_VARIABLE) else "not set"
    )
    if paths := _in_package(entry.name):
        return _found(entry, paths[0], "packaged", "in the package")
    looked["the package"] = "ships none"
    passport = _published(entry)
    if passport is None:
        looked["the hub"] = "none are known there"
        raise _not_at_hand(entry, looked)
    file = _hub_file(passport)
    if not passport.revision:
        looked["the hub"] = f"{passport.repo} is known, but no revision of it is pinned here"
        raise _not_at_hand(entry, looked, f"name a revision yourself: --weights hub:{passport.repo}@REVISION (a commit, or main)")
    try:
        path = fetch(file, sha256=passport.sha256)
    except Unreachable as error:
        looked["the hub"] = str(error)
        raise _not_at_hand(entry, looked, _by_network(entry, file)) from error
    return ResolvedWeights(path, passport, "hub", _sentence(entry.name, passport, f"on the hub ({file})"))


def _found(entry: Entry[BackboneInfo], path: Path, where: Where, place: str) -> ResolvedWeights:
    """Identifies a file: by its digest, else by its own metadata, else as unknown, with a note that says what is taken for granted."""
    with open_tensors(path) as file:
        digest = sha256_file(path)
        for other in BACKBONES:
            for passport in other.info.passports:
                if passport.sha256 == digest and other.name == entry.name:
                    return ResolvedWeights(path, passport, where, _sentence(entry.name, passport, place))
                if passport.sha256 == digest:
                    raise _of_another(entry, path, passport, other.name)
        if METADATA_KEY in file.metadata:
            passport, notes = replace(_passport_in(file, path), sha256=digest), tuple[str, ...]()
        else:
            passport, notes = stranger(entry, path, digest, file)
    if passport.backbone not in ("", entry.name):
        raise _of_another(entry, path, passport, passport.backbone)
    if unknown := sorted(set(passport.options) - options_of(entry)):
        raise WeightsError(
            f"{str(path)!r} needs a {entry.name} with options that it does not have",
            got=", ".join(unknown),
            expected="one of " + ", ".join(sorted(options_of(entry))),
            fix="choose the backbone that these weights were saved from",
        )
    return ResolvedWeights(path, passport, where, _sentence(entry.name, passport, place), notes)


def _passport_in(file: TensorFile, path: Path) -> Passport:
    try:
        return read_passport(file.metadata[METADATA_KEY])
    except ValueError as error:
        raise WeightsError(
            f"the passport in {str(path)!r} cannot be read",
            got=told_of(error),
            expected=f"JSON in the metadata key {METADATA_KEY!r}, as save_weights writes it",
            fix="write the file anew with save_weights, or remove the key",
        ) from error


def _of_another(entry: Entry[BackboneInfo], path: Path, passport: Passport, other: str) -> WeightsError:
    return WeightsError(
        f"{str(path)!r} holds weights of {other}, not of {entry.name}",
        got=f"the weights {passport.name!r} of {other}",
        expected=f"weights of {entry.name}",
        fix=f"choose --backbone {other}, or other weights",
    )


def _sentence(backbone: str, passport: Passport, place: str) -> str:
    return f"{backbone} with the weights {passport.name!r} (trained on: {passport.trained_on}; licence: {passport.licence}), found {place}"


def _published(entry: Entry[BackboneInfo]) -> Passport | None:
    return next((passport for passport in entry.info.passports if passport.repo), None)


def _hub_file(passport: Passport) -> HubFile:
    return HubFile(passport.repo or "", passport.revision or "main", passport.filename)


def _in_folder(backbone: str) -> list[Path]:
    """Files for a backbone in the folder that the user named, the plainest name first."""
    if not (folder := os.environ.get(_FOLDER_VARIABLE)):
        return []
    if not Path(folder).expanduser().is_dir():
        raise WeightsError(
            f"{_FOLDER_VARIABLE} names no folder: {folder!r}",
            got="a file" if Path(folder).exists() else "nothing there",
            expected="a folder",
            fix="correct or unset it",
        )
    return _matching(Path(folder).expanduser(), backbone)


def _in_package(backbone: str) -> list[Path]:
    return _matching(PACKAGED, backbone)


def _matching(folder: Path, backbone: str) -> list[Path]:
    """BACKBONE*.safetensors, without files that are another's whose name begins alike (vgg16, vgg16_bn)."""
    longer = [name for name in BACKBONES.names() if name != backbone and name.startswith(backbone)]
    paths = [path for path in folder.glob(f"{backbone}*.safetensors") if not any(path.stem.startswith(name) for name in longer)]
    return sorted(paths, key=lambda path: (len(path.name), path.name))


def in_run(folder: Path) -> Path:
    """The weights file in a run's folder, or in a bundle.

    Raises:
        WeightsError: There is none.
    """
    for inside in _IN_A_RUN:
        if (folder / inside).is_file():
            return folder / inside
    raise WeightsError(
        f"the folder {str(folder)!r} holds no weights",
        got="neither " + " nor ".join(_IN_A_RUN[:2]),
        expected="a run's folder, or a file",
        fix="name a weights file, or the folder of a run that has finished",
    )


def _not_at_hand(entry: Entry[BackboneInfo], looked: Mapping[str, str], *ways: str) -> WeightsError:
    """Nothing was found: where it was looked, and the ways out."""
    always = (
        f"put {entry.name}.safetensors into a folder and name that in {_FOLDER_VARIABLE}, or pass a file with --weights PATH",
        "or learn from nothing: --strategy scratch --weights none",
    )
    return WeightsError(
        f"no weights for {entry.name!r} are at hand",
        got="; ".join(f"{place}: {what}" for place, what in looked.items()),
        expected=f"{entry.name}*.safetensors in one of these places",
        fix="\n            ".join((*ways, *always)),
    )


def _by_network(entry: Entry[BackboneInfo], file: HubFile) -> str:
    """The way out where the hub does not answer."""
    size = next((f", {p.num_bytes / 1e6:.0f} MB" for p in entry.info.passports if p.repo == file.repo and p.num_bytes), "")
    return f"connect to the network and run again, or fetch the file on another machine ({file.url}{size})"
