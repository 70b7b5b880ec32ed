"""Weights into a backbone and out of it: what was loaded, what is new, what was unused; what does not fit is refused."""

import contextlib
import fnmatch
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors
from torch import nn

from fovea.errors import InputError, WeightsError
from fovea.files import hash_bytes, sha256_file, write_atomic
from fovea.models.backbone import BACKBONES, Backbone
from fovea.models.passport import METADATA_KEY, Passport, read_passport
from fovea.models.weights.find import ResolvedWeights, in_run
from fovea.models.weights.naming import in_our_names, made_otherwise, of_another, sketch, what_fits
from fovea.models.weights.tensor_files import TensorFile, open_tensors


@dataclass(frozen=True)
class LoadReport:
    """What became of each tensor, by name: `loaded` from the file, `new` (as the network was made), `unused` in the file."""

    path: str
    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]
    notes: tuple[str, ...]

    def to_text(self) -> str:
        """A few lines for people."""
        lines = [f"loaded {len(self.loaded)} of {len(self.loaded) + len(self.new)} tensors from {self.path}"]
        lines += [f"  {what}: {', '.join(names)}" for what, names in (("new", self.new), ("unused", self.unused)) if names]
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)


def backbone_of(weights: str | Path) -> str | None:
    """The backbone that a weights file, or the one in a RUN folder, is of: by its digest, its passport, or its tensors.

    Returns:
        Its name, or None where no registered backbone has these tensors, at its default options or at a library's (`Backbone.origins`).

    Raises:
        WeightsError: The file cannot be read.
    """
    path = Path(weights).expanduser()
    path = in_run(path) if path.is_dir() else path
    digest = sha256_file(path) if path.is_file() else ""
    with open_tensors(path) as file:
        for entry in BACKBONES:
            if any(passport.sha256 == digest for passport in entry.info.passports):
                return entry.name
        with contextlib.suppress(KeyError, ValueError):  # a passport that cannot be read is an error when it is resolved
            if name := read_passport(file.metadata[METADATA_KEY]).backbone:
                return name
        fit = what_fits(file)
        return fit.name if fit else None


def load_weights(
    backbone: Backbone, weights: ResolvedWeights | str | Path, *, drop_classifier: bool = False, pattern: str | None = None
) -> LoadReport:
    """Loads a file into a backbone; half-precision numbers become the backbone's own.

    The classifier is left as it was made where `drop_classifier` is set, and where the file has none; a backbone without
    one leaves the file's unused. Everything else must fit, name by name and shape by shape: the backbone is unchanged
    after an error. Names of torchvision and of Keras are recognised where the network is theirs too; the report says so.

    Args:
        backbone: Takes the numbers.
        weights: A file, or what `resolve_weights` gave.
        drop_classifier: Leave the file's classifier out.
        pattern: A warm start of a part: only names that match are loaded, with * and ? as in file names ("blocks.[012].*"); the
            rest stays as it was made, whatever the file has there.

    Raises:
        InputError: No name matches the pattern.
        MissingExtra: The file is Keras's, and h5py is not installed.
        WeightsError: The file cannot be read, is of another architecture or of one with other options, or knows another
            number of classes.
    """
    path, notes = (weights.path, weights.notes) if isinstance(weights, ResolvedWeights) else (Path(weights), ())
    own: dict[str, torch.Tensor] = backbone.state_dict()  # shares the backbone's memory
    answering = tuple(f"{part}." for part in (backbone.classifier_name, *backbone.auxiliary_parts))
    with open_tensors(path) as opened:
        _check_options(path, opened, backbone, weights.passport if isinstance(weights, ResolvedWeights) else None)
        # a network that is pooled otherwise reads the file as the whole one does, and leaves the dense layers that it has not
        whole = backbone if backbone.pooling is None or not backbone.made_as else sketch(backbone.made_as, **backbone.made_with)
        file = in_our_names(path, opened, whole)
        apart = _apart(own, file.shapes, answering, drop=drop_classifier)
        apart |= {name for name in whole.state_dict() if whole is not backbone and name not in own}
        if pattern is not None:
            apart |= {name for name in {*own, *file.shapes} if not fnmatch.fnmatchcase(name, pattern)}
            _check_pattern(pattern, set(own) & set(file.shapes) - apart, own)
        loaded = [name for name in own if name in file.shapes and name not in apart]
        _check_fit(
            path,
            opened,
            backbone,
            own={name: tuple(tensor.shape) for name, tensor in own.items() if name not in apart},
            found={name: shape for name, shape in file.shapes.items() if name not in apart},
        )
        _check_kinds(path, [name for name in loaded if own[name].is_floating_point()], file)
        with torch.no_grad():
            for name in loaded:
                own[name].copy_(file.read(name))
        return LoadReport(
            path=str(path),
            loaded=tuple(loaded),
            new=tuple(name for name in own if name not in loaded),
            unused=tuple(sorted({*file.shapes, *file.left_out} - set(loaded))),
            notes=(*notes, *file.notes),
        )


def _check_options(path: Path, file: TensorFile, backbone: Backbone, passport: Passport | None) -> None:
    """Raises where the weights' passport asks for other options than the network was made with: shapes would not tell."""
    passport = passport or _known(path, file, backbone)
    if passport and backbone.made_as:
        other = {name: value for name, value in passport.options.items() if backbone.made_with.get(name, value) != value}
        if other:
            raise made_otherwise(path, backbone, f"{passport.name!r}", other)


def _known(path: Path, file: TensorFile, backbone: Backbone) -> Passport | None:
    """The passport in a file, or that of a published one of this backbone, told by its digest."""
    with contextlib.suppress(KeyError, ValueError):
        return read_passport(file.metadata[METADATA_KEY])
    published = BACKBONES[backbone.made_as].info.passports if backbone.made_as and ":" not in backbone.made_as else ()
    digest = sha256_file(path) if published else ""
    return next((passport for passport in published if passport.sha256 == digest), None)


def _apart(own: Iterable[str], found: Iterable[str], answering: tuple[str, ...], *, drop: bool) -> set[str]:
    """Names of the classifiers that are not loaded: all where they are dropped, and each that only one side has."""
    apart: set[str] = set()
    for prefix in answering:
        heads = [{name for name in names if name.startswith(prefix)} for names in (own, found)]
        apart |= set().union(*heads) if drop or not all(heads) else set()
    return apart


def save_weights(module: nn.Module, path: str | Path, passport: Passport, *, half: bool = False) -> Path:
    """Writes a module's tensors as safetensors, whole or not at all, with the passport in the metadata.

    Args:
        module: Left as it was found.
        path: The file.
        passport: Of these weights.
        half: Keep filters and matrices as float16, half as large; what counts for whole channels (biases, batch norm) stays exact.

    Raises:
        DiskFull, OutputError: The file could not be written.
    """
    return write_atomic(path, pack_weights(module, passport, half=half))


def pack_weights(module: nn.Module, passport: Passport, *, half: bool = False) -> bytes:
    """What `save_weights` writes."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    if half:
        tensors = {name: tensor.half() if tensor.ndim > 1 and tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
    text = json.dumps(replace(passport, sha256="").to_json(), sort_keys=True)  # no file can hold its own digest
    return bytes(to_safetensors(tensors, metadata={METADATA_KEY: text}))  # one key: the order of several is by chance


def weights_hash(module: nn.Module) -> str:
    """A hash of what a module computes with: its layers as torch prints them, and the names, kinds, shapes and bytes of its tensors.

    The layers are in it because the same numbers answer differently under another padding or stride. 40 hex digits.
    """
    parts: list[bytes | str] = [str(module)]
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().cpu().reshape(-1)  # in logical order, whatever the memory format
        parts += [name, f"{tensor.dtype} {tuple(tensor.shape)}", flat.view(torch.uint8).numpy().tobytes()]
    return hash_bytes(*parts)


def _check_pattern(pattern: str, matching: Iterable[str], own: Iterable[str]) -> None:
    if not any(True for _ in matching):
        raise InputError(
            f"nothing that the network and the file share matches {pattern!r}",
            got=pattern,
            expected="a pattern of names such as " + ", ".join(list(own)[:3]),
            fix="`fovea models NAME` lists the layers",
        )


def _check_kinds(path: Path, fractions: list[str], file: TensorFile) -> None:
    """Raises where a file holds whole numbers for tensors of fractions: torch would copy them as they are."""
    if whole := [name for name in fractions if name not in file.floating]:
        raise WeightsError(
            f"the weights are whole numbers where fractions are due: {str(path)!r}",
            got=f"integers in {whole[0]}",
            expected="float32, float16 or bfloat16",
            fix="use the file from before it was quantised",
        )


def _check_fit(
    path: Path, file: TensorFile, backbone: Backbone, *, own: Mapping[str, tuple[int, ...]], found: Mapping[str, tuple[int, ...]]
) -> None:
    """Raises where names or shapes differ; the counters of batch norm may be missing, as in old files."""
    prefix = backbone.classifier_name + "."
    differ = [name for name in own if name in found and own[name] != found[name]]
    missing = [name for name in own if name not in found and not name.endswith("num_batches_tracked")]
    extra = [name for name in found if name not in own]
    if (
        differ
        and not missing
        and not extra
        and all(name.startswith(prefix) for name in differ)
        and own[differ[0]][1:] == found[differ[0]][1:]
    ):
        raise WeightsError(
            f"the weights are for {found[differ[0]][0]} classes and the network has {own[differ[0]][0]}: {str(path)!r}",
            got=f"{differ[0]} {found[differ[0]]}",
            expected=f"{differ[0]} {own[differ[0]]}",
            fix=f"make the network with {found[differ[0]][0]} classes, or leave the file's classifier out (drop_classifier=True)",
        )
    if differ:
        got, expected = f"{differ[0]} {found[differ[0]]}", f"{differ[0]} {own[differ[0]]}"
    elif missing:
        got, expected = f"no {missing[0]} (and {len(missing) - 1} more missing)", f"{missing[0]} {own[missing[0]]}"
    elif extra:
        got, expected = f"{extra[0]} {found[extra[0]]} (and {len(extra) - 1} more that have no place)", "only the tensors of this backbone"
    else:
        return
    raise of_another(path, file, backbone, got=got, expected=expected)
