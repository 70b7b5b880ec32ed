"""The public names, and the recipes that are both commands and functions."""

import inspect
from pathlib import Path

import pytest

import fovea
from fovea import commands, options
from fovea.cli import main

RECIPES = sorted(commands.find().values(), key=lambda recipe: recipe.name)


def test_the_public_names_are_few_and_all_there() -> None:
    names = [name for name in dir(fovea) if not name.startswith("__")]
    assert "train" in names
    assert len(names) <= 25
    assert [name for name in names if not hasattr(fovea, name)] == []


def test_every_file_of_recipes_holds_a_recipe() -> None:
    assert len(RECIPES) > 0
    assert [recipe.name for recipe in RECIPES] == commands.names()


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_a_recipe_is_a_command(recipe: commands.Recipe, capsys: pytest.CaptureFixture[str]) -> None:
    function = recipe.load()
    text = commands.read_docstring(function.__doc__)
    parameters = commands.parameters(function)
    assert text.summary.endswith("."), "its summary is a sentence"
    assert list(text.parameters) == [parameter.name for parameter in parameters], "each parameter is told in Args, in order, and no other"
    assert all(text.parameters.values())
    for parameter in parameters:
        assert parameter.kind is not parameter.VAR_KEYWORD, "an unknown option is an error, and is not taken in silence"
        assert parameter.annotation is not parameter.empty
        assert parameter.name not in options.COMMON
        assert parameter.kind is parameter.KEYWORD_ONLY or parameter.annotation is not bool
        assert (
            parameter.kind is not parameter.KEYWORD_ONLY or commands.is_flag(parameter.annotation) or commands.shape(parameter.annotation)
        )
    assert inspect.signature(getattr(fovea, recipe.name)) == inspect.signature(function)
    assert main([recipe.command, "--help"]) == 0
    page = capsys.readouterr().out
    assert all(
        f"--{parameter.name.rstrip('_').replace('_', '-')}" in page for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY
    )


def test_every_recipe_gives_what_the_command_line_prints() -> None:
    """The class that a recipe says it returns can be printed as JSON."""
    for recipe in RECIPES:
        answer = inspect.signature(recipe.load(), eval_str=True).return_annotation
        assert answer is None or callable(getattr(answer, "to_json", None)), f"{recipe.name} returns {answer}, which has no to_json"


def test_the_folders_of_recipes_hold_no_others(root: Path) -> None:
    assert all(path.suffix == ".py" for path in (root / "src/fovea/recipes").iterdir() if path.name != "__pycache__")
