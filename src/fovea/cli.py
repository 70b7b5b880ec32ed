"""The command line: commands made from the recipes' signatures and docstrings, and what happens around one of them.

Typer takes the words apart and prints the help pages. The recipe itself is called here, so that answers, errors and
interruptions come out in the same way for every command:

    stdout   the answer: for people, or with --json exactly one JSON object (an error is {"error": {...}})
    stderr   everything else: progress, what was chosen and why, errors
    exit     0 done, 1 failed (or some inputs failed), 2 bad input or usage (or all inputs failed), 130 interrupted
"""

import contextlib
import errno
import io
import os
import shlex
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from fovea import commands
from fovea.errors import DiskFull, FoveaError, InputError, from_os_error, missing_module
from fovea.files import json_text, printable
from fovea.options import Call, understand
from fovea.progress import shown

_SQLITE_FULL = 13  # sqlite3's code for a full disk, which it reports as an error of its own kind


class _Interrupted(FoveaError):
    exit_code = 130


def main(arguments: Sequence[str] | None = None, *, package: str = commands.PACKAGE) -> int:
    """Runs one command line and returns its exit code. Nothing is raised, whatever happens.

    Args:
        arguments: The words after `fovea`; the process's own by default.
        package: Where the recipes are.
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    _speak_utf8()
    options = words[: words.index("--")] if "--" in words else words
    as_json, debug = "--json" in options, "--debug" in options
    try:
        with _terminated_is_interrupted():
            understood = understand(words, package)
            return understood if isinstance(understood, int) else _carry_out(understood)
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        if isinstance(error, BrokenPipeError):  # the reader of our answer has gone, as in `fovea models | head -1`
            _drop_stdout()
            return 1
        if debug:
            traceback.print_exc()
        explained = _explain(error, words)
        _complain(explained, as_json)
        return explained.exit_code


def _carry_out(call: Call) -> int:
    """Calls the recipe, prints its answer, and gives its exit code."""
    with _stdout_is_for_the_answer(call.json), shown(not call.quiet):
        result: Any = call.run()
    if call.json:
        _answer(json_text({} if result is None else result.to_json()))
    elif result is not None:
        _answer(result.to_text() if hasattr(result, "to_text") else str(result))
    return int(getattr(result, "exit_code", 0))


def _explain(error: BaseException, words: Sequence[str]) -> FoveaError:
    """The error as it is told to a person, whatever was raised."""
    if isinstance(error, FoveaError):
        return error
    if isinstance(error, KeyboardInterrupt):
        return _Interrupted(f"interrupted: {_again(words)}", got="a request to stop", expected="time to finish", fix=_again(words))
    typed = shlex.join(["fovea", *words])
    for cause in _chain(error):
        if isinstance(cause, OSError):
            told = from_os_error(cause, cause.filename or "a file")
            if isinstance(told, DiskFull):
                return told
        elif getattr(cause, "sqlite_errorcode", None) == _SQLITE_FULL:
            return from_os_error(OSError(errno.ENOSPC, str(cause)), "the cache")
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        usage = " ".join(context.get_usage().split()) if context else "fovea COMMAND"
        command = context.command_path if context else "fovea"
        problem = error.format_message().rstrip(".")
        return InputError(problem[:1].lower() + problem[1:], got=typed, expected=usage.removeprefix("Usage: "), fix=f"see {command} --help")
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("fovea"):
        return missing_module(error.name.partition(".")[0], got=typed)
    return FoveaError(
        f"internal error: {type(error).__name__}: {error}".partition("\n")[0],
        got=typed,
        expected="an answer, or an error that says what to do: this is a fault in Fovea",
        fix="run again with --debug to see where, and report what it prints, together with `fovea --version`",
    )


def _again(words: Sequence[str]) -> str:
    """What to do after an interruption. Only a training goes on where it stopped, unless it was told to begin anew."""
    if next((word for word in words if not word.startswith("-")), None) != "train":
        return "run the same command again"
    without = ", without --overwrite," if "--overwrite" in words else ""
    return f"the same command{without} goes on where it stopped"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that, ..."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _complain(error: FoveaError, as_json: bool) -> None:
    first, *rest = printable(str(error)).splitlines()
    if isinstance(error, _Interrupted):
        rest = []
    if sys.stderr.isatty() and "NO_COLOR" not in os.environ:
        first = f"\033[1;31m{first}\033[0m"
    with contextlib.suppress(OSError):
        print("\n".join([first, *rest]), file=sys.stderr)
        if as_json:
            _answer(json_text({"error": error.to_json()}))


def _answer(text: str) -> None:
    """Prints to stdout, and makes sure now that it has arrived."""
    try:
        print(text, flush=True)
    except OSError:
        _drop_stdout()
        raise


def _drop_stdout() -> None:
    """Sends what is still buffered nowhere, so that Python does not fail on it once more at its end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _speak_utf8() -> None:
    """Whatever the locale: a file name in another script must not end the program."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


@contextlib.contextmanager
def _stdout_is_for_the_answer(on: bool) -> Iterator[None]:
    """With --json, what anyone prints on the way goes to stderr, C libraries and child processes included."""
    if not on:
        yield
        return
    sys.stdout.flush()
    stdout = kept = None
    with contextlib.suppress(OSError):  # a stream in memory, as in a test, has no number
        stdout = sys.stdout.fileno()
        kept = os.dup(stdout)
        os.dup2(sys.stderr.fileno(), stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        if stdout is not None and kept is not None:
            os.dup2(kept, stdout)
            os.close(kept)


@contextlib.contextmanager
def _terminated_is_interrupted() -> Iterator[None]:
    """A polite request to end (SIGTERM) is taken like Ctrl-C: files are closed, locks given back, and the exit code is 130."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
