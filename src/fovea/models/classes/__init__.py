"""Published lists of classes, in the order of the classifiers that were taught them. Imports no torch."""

import json
from dataclasses import dataclass
from importlib import resources

from fovea.errors import UnknownName
from fovea.models.passport import Passport


@dataclass(frozen=True)
class ClassList:
    """A published list of classes.

    Args:
        name: As a passport names it, for example "imagenet_1k".
        class_names: Unique, in the order of the classifier's outputs.
        synsets: WordNet's identifier of each.
        source, licence: Where the list is from.
    """

    name: str
    class_names: tuple[str, ...]
    synsets: tuple[str, ...]
    source: str
    licence: str


def load_classes(name: str) -> ClassList:
    """A class list by name.

    Raises:
        UnknownName: No such list.
    """
    folder = resources.files(__name__)
    known = sorted(file.name.removesuffix(".json") for file in folder.iterdir() if file.name.endswith(".json"))
    if name not in known:
        raise UnknownName(
            f"no class list is called {name!r}", got=repr(name), expected="one of " + ", ".join(known), fix="choose one of these lists"
        )
    content = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    synsets, class_names = zip(*content["classes"], strict=True)
    return ClassList(name, class_names, synsets, content["source"], content["licence"])


def class_names_of(passport: Passport) -> tuple[str, ...]:
    """The classes that these weights tell apart, in order; empty where nobody wrote them down."""
    if passport.class_names or not passport.classes:
        return passport.class_names
    return load_classes(passport.classes).class_names
