"""Takes a command line apart: Typer commands made from the recipes' signatures and docstrings. No list names them."""

import contextlib
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from fovea import __version__, commands
from fovea.errors import InputError, UnknownName

COMMON = {
    "json": "Print one JSON object on stdout; everything else goes to stderr.",
    "quiet": "Show no progress.",
    "debug": "If something fails, show where in the program.",
}
_PLACE = re.compile(r"(?:A|The)(?: [A-Z]+)? (file|folder)\b(?!, or)")  # how the help of an option begins that names one
_ABOUT = "From a small folder of pictures to a model that can be trusted and shipped, on this machine, offline."
_START = "Start with: fovea train photos/ --out run (photos/ holds a folder for each class), then open run/report.html."


@dataclass(frozen=True, slots=True)
class Call:
    """A command line that has been understood."""

    run: Callable[[], object]
    json: bool
    quiet: bool
    debug: bool


def understand(words: Sequence[str], package: str) -> Call | int:
    """Takes the command line apart; an exit code where that was all, as for `--help`."""
    rich = sys.stdout.isatty()
    spell = _literal if rich else str  # brackets in a docstring are no markup
    app = typer.Typer(cls=_Root, add_completion=False, rich_markup_mode="rich" if rich else None)
    app.callback(help=spell(_ABOUT), epilog=spell(_START))(_root)
    recipes = commands.find(package)
    called = next((word for word in words if not word.startswith("-")), None)
    if called is not None and called not in recipes:
        raise UnknownName(
            f"there is no command {called!r}",
            got=shlex.join(["fovea", *words]),
            expected="one of " + ", ".join(recipes),
            fix=commands.near(called, recipes) or "see fovea --help",
        )
    for recipe in recipes.values():
        if recipe.command == called:
            with contextlib.redirect_stdout(sys.stderr):  # some libraries greet when they are imported
                function = recipe.load()
            text = commands.read_docstring(function.__doc__)
            page = spell("\n\n".join(filter(None, [text.summary, text.description])))
            example = spell(text.example) if rich or not text.example else f"\b\n{text.example}"  # \b: leave the lines as they are
            app.command(recipe.command, cls=_Command, help=page, epilog=example)(_reader(function, text.parameters, spell))
        else:
            app.command(recipe.command, short_help=spell(recipe.summary))(lambda: None)
    result = typer.main.get_command(app).main(words, prog_name="fovea", standalone_mode=False)
    return result if isinstance(result, (Call, int)) else 0


def _reader(function: Callable[..., object], helps: Mapping[str, str], spell: Callable[[str], str]) -> Callable[..., Call]:
    """A function with the options of a recipe, which Typer can fill in; it gives the call that they mean."""
    parameters = commands.parameters(function)

    def read(**given: Any) -> Call:
        positional: list[object] = []
        keywords: dict[str, object] = {}
        for parameter in parameters:
            value = _value(parameter, given[parameter.name])
            if parameter.kind is parameter.VAR_POSITIONAL:
                positional += value
            elif parameter.kind is parameter.KEYWORD_ONLY:
                keywords[parameter.name] = value
            else:
                positional.append(value)
        return Call(partial(function, *positional, **keywords), **{name: given[name] for name in COMMON})

    words = [_word(parameter, spell(helps.get(parameter.name, ""))) for parameter in parameters]
    common = [_flag(name, spell(text)) for name, text in COMMON.items()]
    read.__signature__ = inspect.Signature([*words, *common])  # type: ignore[attr-defined]
    return read


def _word(parameter: inspect.Parameter, text: str) -> inspect.Parameter:
    """One parameter of a recipe as Typer wants it: a word in its place, or an option. Values stay text until `_value`."""
    name, kind, default = parameter.name, parameter.annotation, parameter.default
    dashed = f"--{_dashed(name)}"
    needed = default is parameter.empty
    info: Any
    if parameter.kind is parameter.VAR_POSITIONAL:
        many, info = True, typer.Argument(metavar=f"{name.upper()}...", help=text, parser=_as_typed)
    elif parameter.kind is not parameter.KEYWORD_ONLY:
        many, info = False, typer.Argument(metavar=name.upper(), help=text, parser=_as_typed)
    elif commands.is_flag(kind):
        return _flag(name, text, default=default, names=dashed if default is False else f"{dashed}/--no-{dashed[2:]}")
    else:
        many = commands.container(kind) is not None
        place = _PLACE.match(text)
        metavar = commands.shape(kind) if place is None or commands.shape(kind) != "TEXT" else place[1].upper()
        info = typer.Option(dashed, metavar=metavar, help=text, parser=_as_typed)
    if many and not needed:
        info.show_default = ",".join(map(str, default)) if default else False
        default = None
    annotation: Any = list[str] if many else str
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, info])


def _dashed(name: str) -> str:
    """How an option is typed: "image-size"; "class" for a parameter that Python does not let be called so."""
    return name.rstrip("_").replace("_", "-")


def _flag(name: str, text: str, *, default: bool = False, names: str = "") -> inspect.Parameter:
    info = typer.Option(names or f"--{name}", help=text)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[bool, info])


def _as_typed(text: str) -> str:
    return text


def _value(parameter: inspect.Parameter, typed: Any) -> Any:
    """The value for one parameter of a recipe, from what was typed: text, texts, a flag, or None if nothing was."""
    default, kind = parameter.default, parameter.annotation
    name = parameter.name.upper() if parameter.kind is not parameter.KEYWORD_ONLY else f"--{_dashed(parameter.name)}"
    if typed is None or (typed == default and type(typed) is type(default)):
        return default
    try:
        if parameter.kind is parameter.VAR_POSITIONAL:
            return [commands.convert(text, kind) for text in typed]
        if isinstance(typed, list):
            return commands.convert_many(typed, kind)
        return commands.convert(typed, kind) if isinstance(typed, str) else typed
    except ValueError as error:
        choices = str(error).removeprefix("one of ").split(", ")
        got = typed if isinstance(typed, str) else ",".join(typed)
        raise InputError(
            f"{name} cannot be {got!r}",
            got=repr(got),
            expected=error,
            fix=commands.near(got, choices) or "see --help for what each option means",
        ) from None


def _without_types(words: list[Any]) -> list[Any]:
    """Takes "<str>" and "<bool>" off the help page: beside a name or a flag they say nothing to a person."""
    for word in words:
        if word.param_type_name == "argument" or word.is_flag:
            word.display_type_rich = lambda ctx: ""
    return words


class _Root(TyperGroup):
    """`fovea` itself, with the page of all commands."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))


class _Command(TyperCommand):
    """A command whose usage line names what must be given: "fovea train DATA --out TEXT [OPTIONS]"."""

    def get_params(self, ctx: Any) -> list[Any]:
        return _without_types(super().get_params(ctx))

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = []
        for word in self.params:
            name = word.metavar or ""
            if word.param_type_name == "argument":
                pieces.append(name if word.required else f"[{name}]")
            elif word.required:
                pieces.append(f"{word.opts[0]} {name}")
        return [*pieces, "[OPTIONS]"]


def _print_version(asked: bool) -> None:
    if asked:
        print(f"fovea {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[bool, typer.Option("--version", is_eager=True, help="Show the version.", callback=_print_version)] = False,
) -> None:
    """The options that stand before any command."""


def _literal(text: str) -> str:
    from rich.markup import escape

    return escape(text)
