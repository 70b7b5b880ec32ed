"""What is read from a recipe's file, docstring and types."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import pytest

from fovea import commands

Choice = Literal["auto", "cpu", "cuda"]


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("-3", int | None, -3),
        ("1e-3", float, 0.001),
        ("x", str, "x"),
        ("a/b", Path, Path("a/b")),
        ("a/b", str | Path, "a/b"),
        ("cpu", Choice, "cpu"),
        ("cpu", Choice | None, "cpu"),
        ("auto", int | Literal["auto"], "auto"),
        ("32", int | Literal["auto"], 32),
        ("2", Literal[1, 2], 2),
        ("x", Choice | str, "x"),
    ],
)
def test_convert(text: str, annotation: object, value: object) -> None:
    converted = commands.convert(text, annotation)
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "expected"),
    [
        ("1.5", int, "a whole number"),
        ("x", float | None, "a number"),
        ("gpu", Choice, "one of auto, cpu, cuda"),
        ("x", int | Literal["auto"], "auto, or a whole number"),
    ],
)
def test_convert_says_what_is_expected(text: str, annotation: object, expected: str) -> None:
    with pytest.raises(ValueError, match=f"^{expected}$"):
        commands.convert(text, annotation)


@pytest.mark.parametrize(
    ("texts", "annotation", "value"),
    [
        (["a,b", "c"], list[str], ["a", "b", "c"]),
        (["1, 2"], Sequence[int] | None, [1, 2]),
        (["probe"], tuple[str, ...], ("probe",)),
        (["lr=1e-3,1e-4", "image_size=160"], Mapping[str, Sequence[str]], {"lr": ["1e-3", "1e-4"], "image_size": ["160"]}),
        (["a=1"], dict[str, int], {"a": 1}),
    ],
)
def test_convert_many(texts: list[str], annotation: object, value: object) -> None:
    assert commands.convert_many(texts, annotation) == value


def test_a_mapping_needs_keys() -> None:
    with pytest.raises(ValueError, match=r"^key=value$"):
        commands.convert_many(["lr"], Mapping[str, str])


@pytest.mark.parametrize(
    ("annotation", "shape"),
    [
        (int | None, "INTEGER"),
        (float, "NUMBER"),
        (str | Path, "PATH"),
        (Choice, "auto|cpu|cuda"),
        (int | Literal["auto"], "auto|INTEGER"),
        (list[str], "A,B,..."),
        (Mapping[str, Sequence[str]] | None, "KEY=A,B,..."),
    ],
)
def test_shape(annotation: object, shape: str) -> None:
    assert commands.shape(annotation) == shape


def test_a_type_that_no_option_can_spell_is_refused() -> None:
    with pytest.raises(TypeError, match=r"no command-line option can be made of .*complex"):
        commands.shape(complex)


def test_types_are_looked_through() -> None:
    def recipe(a: "int | None", *, b: Annotated[float, "metres"] = 0.5) -> "NotKnownAtRunTime":  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    kinds = {parameter.name: parameter.annotation for parameter in commands.parameters(recipe)}
    assert kinds == {"a": int | None, "b": float}


def test_docstring() -> None:
    read = commands.read_docstring(
        """Learns to tell classes apart,
        and writes a run.

        More of it,
        over two lines.

        Args:
            data: A folder: of class folders,
                or a CSV.
            *paths: Pictures.
            mean, std: Per channel.

        Raises:
            DataError: No classes.

        Example:
            fovea train photos/ --out run
              --seed 1
        """
    )
    assert read.summary == "Learns to tell classes apart, and writes a run."
    assert read.description == "More of it, over two lines."
    assert read.parameters == {
        "data": "A folder: of class folders, or a CSV.",
        "paths": "Pictures.",
        "mean": "Per channel.",
        "std": "Per channel.",
    }
    assert read.example == "fovea train photos/ --out run\n  --seed 1"
    assert commands.read_docstring(None) == commands.Docstring()


def test_recipes_are_found_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "found_recipes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "bench_data.py").write_text('import no_such_module\ndef bench_data():\n    """Times the data.\n\n    More."""\n')
    (package / "_shared.py").write_text("")
    (package / "unfinished.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = commands.find("found_recipes")
    assert found == {"bench-data": commands.Recipe("bench_data", package / "bench_data.py", "found_recipes")}
    assert found["bench-data"].summary == "Times the data."
    assert commands.names("found_recipes") == ["bench_data", "unfinished"]
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        found["bench-data"].load()
    assert commands.names("no_such_recipes") == []


def test_near_names() -> None:
    assert commands.near("trian", ["train", "audit"]) == "did you mean train?"
    assert commands.near("zzz", ["train"]) == ""


def test_parameters_keep_their_kinds() -> None:
    def recipe(bundle: str, *paths: str, top: int = 5) -> None: ...

    kinds = [parameter.kind for parameter in commands.parameters(recipe)]
    assert kinds == [inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.KEYWORD_ONLY]
