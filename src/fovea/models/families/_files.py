"""What the families share: the files of a model in a folder or on the hub, and weights written down as ours."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from fovea.errors import UnknownName, WeightsError
from fovea.files import cache_folder, hash_bytes
from fovea.models.backbone import Backbone
from fovea.models.hub import HubFile, Unreachable, cached, fetch
from fovea.models.passport import Passport


@dataclass(frozen=True)
class Reference:
    """Where a model's files are.

    Args:
        name: The backbone's whole name.
        folder: On this machine, or None.
        repo, revision: On the hub.
    """

    name: str
    folder: Path | None = None
    repo: str = ""
    revision: str = "main"

    @property
    def said(self) -> str:
        return self.folder.name if self.folder else f"{self.repo}@{self.revision}"

    @property
    def page(self) -> str:
        return "the folder that it came from" if self.folder else f"the hub's page of {self.repo}"

    def file(self, filename: str) -> Path:
        """One of its files, from the hub where it is there.

        Raises:
            WeightsError: There is none, or the hub does not answer and it is not in its cache either.
        """
        if self.folder:
            if (self.folder / filename).is_file():
                return self.folder / filename
            raise WeightsError(
                f"the folder {str(self.folder)!r} holds no {filename}",
                got=", ".join(sorted(path.name for path in self.folder.iterdir())[:5]) or "an empty folder",
                expected=f"the files of one model: config.json, model.safetensors in one piece; and so {filename}",
                fix="name the folder that save_pretrained wrote; what lies there as .bin is saved as .safetensors by loading and saving it once",
            )
        file = HubFile(self.repo, self.revision, filename)
        try:
            return fetch(file, login=True)
        except Unreachable as error:
            if kept := cached(file):
                return kept
            raise WeightsError(
                f"{self.name!r} is not at hand: {filename} is on the hub, and not on this machine",
                got=f"the hub: {error}",
                expected="the hub, or the model's files in a folder",
                fix=f"connect to the network and run again, or bring the files here and name their folder: {self.name.partition(':')[0]}:FOLDER",
            ) from error

    def optional(self, filename: str) -> Path | None:
        """The same, or None where there is none."""
        try:
            return self.file(filename)
        except WeightsError:
            return None


def local_or_hub(name: str, rest: str) -> Reference:
    """A folder, or OWNER/NAME[@REVISION] on the hub.

    Raises:
        UnknownName: It is neither.
    """
    path = Path(rest).expanduser()
    if path.is_dir():
        return Reference(name, path.absolute())
    match = re.fullmatch(r"([\w-][\w.-]*/[\w.-]+)(?:@([\w.-]+))?", rest)
    if match is None or path.exists():
        raise UnknownName(
            f"{name!r} names no model",
            got=f"{rest!r}: a file" if path.exists() else f"{rest!r}: no such folder",
            expected="a folder with config.json, or OWNER/NAME on the hub",
            fix="name the folder itself" if path.exists() else "check the path",
        )
    return Reference(name, None, match[1], match[2] or "main")


def licence_of(reference: Reference) -> str:
    """What the model's card says, where it lies in the folder."""
    card = reference.folder / "README.md" if reference.folder else None
    found = (
        re.search(r"^license:\s*(\S+)", card.read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
        if card and card.is_file()
        else None
    )
    return found[1] if found else f"not stated here: see {reference.page}"


def nothing_new(name: str, model: nn.Module, missing: Iterable[str]) -> tuple[str, ...]:
    """A note on what the weights lack. That may only be what does nothing: the layer norms of maps, made so here, and ones and zeros.

    Raises:
        WeightsError: Anything else would be left to chance.
    """
    tensors = model.state_dict()
    lacking = sorted(set(missing) & set(tensors))
    for key in lacking:
        if isinstance(layer := model.get_submodule(key.rpartition(".")[0]), nn.LayerNorm):
            layer.reset_parameters()  # some models draw its numbers by chance
    by_chance = [key for key in lacking if not (tensors[key].dim() == 1 and ((tensors[key] == 1).all() or (tensors[key] == 0).all()))]
    if by_chance:
        raise WeightsError(
            f"the weights of {name!r} are not all there",
            got=f"none for {by_chance[0]} (and {len(by_chance) - 1} more)",
            expected="every number that the network computes with",
            fix="choose a folder whose config.json and model.safetensors belong together",
        )
    more = f" and {len(lacking) - 2} more" if len(lacking) > 2 else ""
    return (f"not among the weights, and left so that they do nothing: {', '.join(lacking[:2])}{more}",) if lacking else ()


def own_weights_file(backbone: Backbone, passport: Passport) -> Path:
    """Written into the cache, so that it is read, checked and hashed as every other weights file is."""
    from fovea.models.weights.load import save_weights  # it needs the registry

    folder = cache_folder() / "families"
    folder.mkdir(parents=True, exist_ok=True)
    return save_weights(backbone, folder / f"{hash_bytes(passport.backbone)}.safetensors", passport)
