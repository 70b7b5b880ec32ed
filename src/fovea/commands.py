"""Finds the commands, which are the recipes, without importing them, and reads what their docstrings and types say.

A recipe is a file `recipes/NAME.py` with one public function NAME; no list names them. The command line and `fovea.NAME`
are both made from that one signature.
"""

import ast
import difflib
import gc
import inspect
import pkgutil
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "fovea.recipes"

_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Examples?|Notes?|Source):\s*$")
_ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*):\s*(.*)$")


@dataclass(frozen=True, slots=True)
class Recipe:
    """One command as its file shows it, before it is imported."""

    name: str  # as in Python, for example "bench_data"
    file: Path
    package: str

    @property
    def summary(self) -> str:
        """The first paragraph of its docstring."""
        body = ast.parse(self.file.read_bytes()).body
        return next(
            read_docstring(ast.get_docstring(node)).summary for node in body if isinstance(node, ast.FunctionDef) and node.name == self.name
        )

    @property
    def command(self) -> str:
        """Its name on the command line, for example "bench-data"."""
        return self.name.replace("_", "-")

    def load(self) -> Callable[..., object]:
        """Imports the recipe, with all that it needs, and gives its function."""
        gc.disable()  # all that is made now stays: looking for garbage among it takes a tenth of the start of `fovea train`
        try:
            return load(self.name, self.package)
        finally:
            gc.enable()
            gc.freeze()


def names(package: str = PACKAGE) -> list[str]:
    """The names of all recipes, sorted, by their files alone."""
    spec = find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return sorted(module.name for module in pkgutil.iter_modules(places or []) if not module.name.startswith("_"))


def find(package: str = PACKAGE) -> dict[str, Recipe]:
    """All recipes by their name on the command line, none of them imported.

    A file whose function is missing is left out here; a test fails on it.
    """
    spec = find_spec(package)
    folder = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    recipes = [Recipe(name, folder / f"{name}.py", package) for name in names(package)]
    return {recipe.command: recipe for recipe in recipes if f"\ndef {recipe.name}(" in recipe.file.read_text(encoding="utf-8")}


def load(name: str, package: str = PACKAGE) -> Callable[..., object]:
    """The function of one recipe, imported now."""
    function: Callable[..., object] = getattr(import_module(f"{package}.{name}"), name)
    return function


def near(name: str, known: Iterable[str]) -> str:
    """The known names that look like `name`, as the end of a sentence: "did you mean train?", or "" if there are none."""
    close = difflib.get_close_matches(name, list(known), n=3)
    return f"did you mean {' or '.join(close)}?" if close else ""


@dataclass(frozen=True, slots=True)
class Docstring:
    """A Google-style docstring in its parts."""

    summary: str = ""
    description: str = ""  # the paragraphs between the summary and the first section
    parameters: Mapping[str, str] = field(default_factory=dict)
    example: str = ""


def read_docstring(text: str | None) -> Docstring:
    """Takes a Google-style docstring apart. Continued lines are joined; stars before names are dropped."""
    sections: dict[str, list[str]] = {"": []}
    here = ""
    for line in inspect.cleandoc(text or "").splitlines():
        if start := _SECTION.match(line):
            here = start[1].rstrip("s")
            sections[here] = []
        else:
            sections[here].append(line)
    paragraphs = [" ".join(part.split("\n")) for part in "\n".join(sections[""]).strip().split("\n\n")]
    parameters: dict[str, str] = {}
    entry: list[str] = []
    for line in inspect.cleandoc("\n" + "\n".join(sections.get("Arg", []))).splitlines():
        if match := _ENTRY.match(line):
            entry = [name.lstrip("*") for name in match[1].split(", ")]
            parameters.update(dict.fromkeys(entry, match[2]))
        else:
            parameters.update({name: f"{parameters[name]} {line.strip()}".strip() for name in entry})
    example = inspect.cleandoc("\n" + "\n".join(sections.get("Example", [])))
    return Docstring(paragraphs[0], "\n\n".join(paragraphs[1:]), parameters, example)


def parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    """The parameters of a recipe, each with its type resolved (an alias, a string or `Annotated` is looked through)."""
    found = []
    for parameter in inspect.signature(function).parameters.values():
        annotation = parameter.annotation
        if isinstance(annotation, str):  # the return type is left alone: it may exist for type checkers only
            annotation = eval(annotation, getattr(function, "__globals__", {}))
        if typing.get_origin(annotation) is typing.Annotated:
            annotation = typing.get_args(annotation)[0]
        found.append(parameter.replace(annotation=annotation))
    return found


def alternatives(annotation: object) -> list[object]:
    """The members of a union but None, those that accept fewest texts first; any other type is its own only member."""
    if typing.get_origin(annotation) not in (typing.Union, types.UnionType):
        return [annotation]
    strictness = (typing.Literal, int, float, str, Path)

    def rank(member: object) -> int:
        return next((place for place, kind in enumerate(strictness) if kind in (member, typing.get_origin(member))), len(strictness))

    return sorted((member for member in typing.get_args(annotation) if member is not types.NoneType), key=rank)


def container(annotation: object) -> tuple[type, object] | None:
    """For a type that holds many, what it is and what it holds: (list, int) for `list[int] | None`; else None."""
    for member in alternatives(annotation):
        kind, inner = typing.get_origin(member), typing.get_args(member)
        if isinstance(kind, type) and issubclass(kind, (Sequence, Mapping)):
            return kind, inner[1] if issubclass(kind, Mapping) else inner[0]
    return None


def is_flag(annotation: object) -> bool:
    """Whether the option is given without a value."""
    return bool in alternatives(annotation)


def shape(annotation: object) -> str:
    """What a value looks like, for help pages: "auto|cpu|cuda", "NUMBER", "A,B,..."."""
    if many := container(annotation):
        return "KEY=A,B,..." if issubclass(many[0], Mapping) else "A,B,..."
    words: dict[object, str] = {int: "INTEGER", float: "NUMBER", str: "TEXT", Path: "PATH"}
    found = []
    for member in alternatives(annotation):
        if typing.get_origin(member) is typing.Literal:
            found.append("|".join(map(str, typing.get_args(member))))
        elif member in words:
            found.append(words[member])
        else:
            raise TypeError(f"no command-line option can be made of {member}: use str, int, float, bool, Path, Literal, or a list of these")
    return "PATH" if {"TEXT", "PATH"} <= set(found) else "|".join(found)


def convert(text: str, annotation: object) -> object:
    """The value that `text` spells for a type.

    Raises:
        ValueError: It spells none; the message says what is expected, as in "a whole number".
    """
    expected = []
    for kind in alternatives(annotation):
        if typing.get_origin(kind) is typing.Literal:
            choices = {str(choice): choice for choice in typing.get_args(kind)}
            if text in choices:
                return choices[text]
            expected.append(("one of " if len(choices) > 1 else "") + ", ".join(choices))
        elif kind in (int, float):
            try:
                return int(text) if kind is int else float(text)
            except ValueError:
                expected.append("a whole number" if kind is int else "a number")
        else:
            return Path(text) if kind is Path else text
    raise ValueError(", or ".join(expected))


def convert_many(texts: Sequence[str], annotation: object) -> object:
    """The values that several texts spell: each text is one or more of them, separated by commas, or `key=a,b` for a mapping.

    Raises:
        ValueError: As `convert`, or a text for a mapping has no "=".
    """
    kind, one = container(annotation) or (list, str)
    if issubclass(kind, Mapping):
        pairs = [text.partition("=") for text in texts]
        if not all(equals for _, equals, _ in pairs):
            raise ValueError("key=value")
        return {key.strip(): convert_many([value], one) if container(one) else convert(value.strip(), one) for key, _, value in pairs}
    values = [convert(part.strip(), one) for text in texts for part in text.split(",") if part.strip()]
    return tuple(values) if kind is tuple else values
