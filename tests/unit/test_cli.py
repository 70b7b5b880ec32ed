"""The command line with toy recipes: what goes to stdout, what to stderr, and the exit code."""

import errno
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fovea
from fovea.cli import main
from fovea.errors import missing_module

WORK = '''
"""A toy recipe."""
import errno, os, sqlite3, sys, time
from typing import Literal
from fovea.errors import DataError
from fovea.progress import say

print("a greeting from a library")


class Answer:
    def __init__(self, exit_code=0, **fields):
        self.exit_code, self.fields = exit_code, fields

    def to_json(self):
        return self.fields

    def __str__(self):
        return "\\n".join(f"{name} = {value}" for name, value in self.fields.items())


def work(
    data: str,
    *paths: str,
    how: Literal["well", "bug", "data", "disk", "wrapped-disk", "sqlite", "pipe", "extra", "sleep", "some", "nothing"] = "well",
    num_epochs: int | None = None,
    lr: float = 1e-3,
    strategies: tuple[str, ...] = ("probe", "scratch"),
    overwrite: bool = False,
    browser: bool = True,
) -> Answer:
    """Works on `data`, in [one] way or another.

    Longer words, in [brackets].

    Args:
        data: What to work on.
        paths: More of it.
        how: The way to work.
        num_epochs: How often.
        lr: The step size.
        strategies: Those to compare.
        overwrite: Replace what stands there.
        browser: Open a browser.

    Example:
        fovea work photos/
          --how well
    """
    print("a stray print")
    os.write(1, b"a stray write from a C library\\n")
    say("what was chosen, and why")
    if how == "bug":
        raise KeyError("a\\nb")
    if how == "data":
        raise DataError(f"{data!r} holds no pictures", got="3 files", expected="pictures", fix="look elsewhere")
    if how == "disk":
        raise OSError(errno.ENOSPC, "No space left on device", "run/metrics.json")
    if how == "wrapped-disk":
        try:
            raise OSError(errno.ENOSPC, "No space left on device", "model.onnx")
        except OSError as error:
            raise RuntimeError("could not save") from error
    if how == "sqlite":
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error
    if how == "pipe":
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if how == "extra":
        import no_such_package.inner
    if how == "sleep":
        print("ready", file=sys.stderr, flush=True)
        time.sleep(60)
    if how == "some":
        return Answer(exit_code=1, errors=1)
    if how == "nothing":
        return None
    given = dict(locals())
    return Answer(**{name: given[name] for name in ("data", "paths", "num_epochs", "lr", "strategies", "overwrite", "browser")})
'''

SIT = '''
def sit_still(name: str | None = None, *, out: str, table: str | None = None, note: str | None = None):
    """Does nothing.

    Args:
        name: Whose.
        out: The folder to write.
        table: A CSV file to write.
        note: What to say of a file.
    """
    return None
'''

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toys")
    package = folder / "toy_recipes"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "work.py").write_text(WORK)
    (package / "sit_still.py").write_text(SIT)
    (folder / "toy.py").write_text("import sys\nfrom fovea.cli import main\nsys.exit(main(package='toy_recipes'))\n")
    return folder


def environment(toys: Path, **extra: str) -> dict[str, str]:
    source = str(Path(fovea.__file__).parents[1])
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}  # buffers are part of what is tested
    return {**inherited, "PYTHONPATH": os.pathsep.join([source, str(toys)]), **extra}


@pytest.fixture
def run(toys: Path) -> Run:
    """Runs a toy command in a process of its own: streams, signals and exit codes are then the real ones."""

    def run(*words: str | bytes, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(toys / "toy.py"), *words]
        return subprocess.run(command, env=environment(toys, **extra), capture_output=True, encoding="utf-8", timeout=60)

    return run


def test_the_answer_is_on_stdout_and_the_rest_on_stderr(run: Run) -> None:
    done = run(
        "work", "photos", "a", "--num-epochs", "3", "--lr=0.1", "--strategies", "x,y", "--strategies", "z", "--overwrite", "--no-browser"
    )
    assert done.returncode == 0
    assert done.stdout.splitlines()[-7:] == [
        "data = photos",
        "paths = ('a',)",
        "num_epochs = 3",
        "lr = 0.1",
        "strategies = ('x', 'y', 'z')",
        "overwrite = True",
        "browser = False",
    ]
    assert done.stderr.splitlines() == ["a greeting from a library", "what was chosen, and why"]


def test_json_is_one_object_whatever_is_printed_on_the_way(run: Run) -> None:
    done = run("work", "photos", "a", "b", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout) == {
        "data": "photos",
        "paths": ["a", "b"],
        "num_epochs": None,
        "lr": 0.001,
        "strategies": ["probe", "scratch"],
        "overwrite": False,
        "browser": True,
    }
    for stray in ("a greeting", "a stray print", "a stray write", "what was chosen"):
        assert stray in done.stderr


def test_quiet_says_nothing(run: Run) -> None:
    assert "what was chosen" not in run("work", "photos", "a", "--quiet").stderr


@pytest.mark.parametrize(
    ("how", "code", "first_line"),
    [
        ("data", 2, "'photos' holds no pictures"),
        ("disk", 1, "the disk is full: 'run/metrics.json' could not be written"),
        ("wrapped-disk", 1, "the disk is full: 'model.onnx' could not be written"),
        ("sqlite", 1, "the disk is full: 'the cache' could not be written"),
        ("bug", 1, "internal error: KeyError: 'a\\nb'"),
        ("extra", 2, "this command needs the module 'no_such_package', which is not installed"),
    ],
)
def test_an_error_says_what_is_wrong_on_its_first_line(run: Run, how: str, code: int, first_line: str) -> None:
    done = run("work", "photos", "a", "--how", how, "--json", "--quiet")
    told = done.stderr.partition("a stray write from a C library\n")[2].splitlines()
    assert done.returncode == code
    assert told[0] == first_line
    assert [line.split(":")[0] for line in told[1:]] == ["  got", "  expected", "  fix"]
    error = json.loads(done.stdout)["error"]
    assert error["problem"] == first_line
    assert set(error) == {"problem", "got", "expected", "fix"}
    assert "Traceback" not in done.stderr


def test_an_internal_error_says_how_to_report_it(run: Run) -> None:
    done = run("work", "photos", "a", "--how", "bug")
    assert "run again with --debug" in done.stderr
    assert "fovea work photos a --how bug" in done.stderr


@pytest.mark.parametrize("how", ["data", "bug"])
def test_debug_shows_where(run: Run, how: str) -> None:
    done = run("work", "photos", "a", "--how", how, "--debug")
    assert "Traceback (most recent call last)" in done.stderr
    assert "toy_recipes" in done.stderr


def test_a_missing_package_is_named_itself(run: Run) -> None:
    """The name "fovea" belongs to somebody else's project on the package index, and so may that of any module."""
    assert "fix:      install the package that brings the module 'no_such_package'" in run("work", "photos", "a", "--how", "extra").stderr
    assert missing_module("torch", got="fovea train").fix == "pip install torch"
    assert missing_module("cv2", got="fovea train").fix == "pip install opencv-python-headless"
    assert missing_module("google_crc32c", got="fovea train").fix == "pip install google-crc32c"


def test_the_answer_gives_the_exit_code(run: Run) -> None:
    done = run("work", "photos", "a", "--how", "some", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (1, {"errors": 1})
    done = run("work", "photos", "a", "--how", "nothing", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {})


@pytest.mark.parametrize(
    ("words", "first_line", "fix"),
    [
        (["wrok"], "there is no command 'wrok'", "did you mean work?"),
        (["zzz"], "there is no command 'zzz'", "see fovea --help"),
        (["work"], "missing argument 'DATA'", "see fovea work --help"),
        (["work", "photos"], "missing argument 'PATHS...'", "see fovea work --help"),
        (["sit-still"], "missing option '--out'", "see fovea sit-still --help"),
        (["work", "photos", "a", "--num-epoch", "3"], "no such option: --num-epoch", "see fovea work --help"),
        (["work", "photos", "a", "--num-epochs", "many"], "--num-epochs cannot be 'many'", "see --help for what each option means"),
        (["work", "photos", "a", "--how", "wel"], "--how cannot be 'wel'", "did you mean well?"),
        (["--bogus"], "no such option: --bogus", "see fovea --help"),
    ],
)
def test_wrong_usage(run: Run, words: list[str], first_line: str, fix: str) -> None:
    done = run(*words, "--json") if len(words) > 1 else run(*words)
    lines = done.stderr.removeprefix("a greeting from a library\n").splitlines()
    assert done.returncode == 2
    assert lines[0].startswith(first_line)
    assert lines[-1] == f"  fix:      {fix}"
    assert len(words) == 1 or json.loads(done.stdout)["error"]["fix"] == fix


@pytest.fixture
def heeding() -> Iterator[None]:
    """What was started in the background ignores interruptions, and passes that on to its children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name == "nt", reason="signals are POSIX's")
@pytest.mark.usefixtures("heeding")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_says_so_in_one_line(toys: Path, number: signal.Signals) -> None:
    command = [sys.executable, str(toys / "toy.py"), "work", "photos", "a", "--how", "sleep", "--quiet"]
    with subprocess.Popen(command, env=environment(toys), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "ready" not in process.stderr.readline():
            pass
        process.send_signal(number)
        assert process.stderr.read() == "interrupted: run the same command again\n"
        assert process.wait(20) == 130


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["train", "photos", "--out", "run"], "interrupted: the same command goes on where it stopped"),
        (
            ["train", "photos", "--out", "run", "--overwrite"],
            "interrupted: the same command, without --overwrite, goes on where it stopped",
        ),
        (["audit", "train"], "interrupted: run the same command again"),
    ],
)
def test_after_an_interruption_it_says_what_to_do(
    words: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("fovea.cli.understand", interrupted)
    assert main(words) == 130
    assert capsys.readouterr().err == f"{told}\n"


def test_nobody_reads_the_answer(run: Run, toys: Path) -> None:
    assert (run("work", "photos", "a", "--how", "pipe").stderr).splitlines() == ["a greeting from a library", "what was chosen, and why"]
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, str(toys / "toy.py"), "work", "photos", "a", "--json"]
    done = subprocess.run(command, env=environment(toys), stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writer)
    assert done.returncode == 1
    assert "Error" not in done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no disk that is always full")
def test_the_answer_meets_a_full_disk(toys: Path) -> None:
    command = [sys.executable, str(toys / "toy.py"), "work", "photos", "a", "--json", "--quiet"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, env=environment(toys), stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_any_name_in_any_locale(run: Run) -> None:
    done = run("work", "фото 🐈", b"caf\xe9.jpg", "--json", PYTHONIOENCODING="ascii:strict")
    answer = json.loads(done.stdout)
    assert (answer["data"], answer["paths"]) == ("фото 🐈", ["caf\\xe9.jpg"])
    done = run("work", "фото 🐈", b"caf\xe9.jpg", PYTHONIOENCODING="ascii:strict")
    assert "data = фото 🐈" in done.stdout.splitlines()
    done = run("work", "x", b"caf\xe9.jpg", "--how", b"caf\xe9", PYTHONIOENCODING="ascii:strict")
    assert "--how cannot be 'caf\\udce9'" in done.stderr


def test_help_pages(run: Run) -> None:
    for words in ([], ["--help"]):
        page = run(*words)
        assert page.returncode == 0
        assert "  sit-still  Does nothing." in page.stdout
        assert "  work       Works on `data`, in [one] way or another." in page.stdout
        assert "\033" not in page.stdout
    page = run("work", "--help")
    assert page.returncode == 0
    assert page.stdout.startswith("Usage: fovea work DATA PATHS... [OPTIONS]\n")
    for part in (
        "Longer words, in [brackets].",
        "--num-epochs INTEGER",
        "How often.",
        "--browser / --no-browser",
        "[default: 0.001]",
        "[default: (probe,scratch)]",
    ):
        assert part in " ".join(page.stdout.split())
    assert "  fovea work photos/\n    --how well\n" in page.stdout
    page = run("sit-still", "--help")
    assert page.stdout.startswith("Usage: fovea sit-still [NAME] --out FOLDER [OPTIONS]\n")
    for part in ("--out FOLDER", "--table FILE", "--note TEXT"):
        assert part in page.stdout


def test_version(run: Run) -> None:
    assert run("--version").stdout == f"fovea {fovea.__version__}\n"


def test_main_can_be_called_in_a_process(toys: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.syspath_prepend(toys)
    before = signal.getsignal(signal.SIGTERM)
    assert main(["work", "photos", "a", "--json", "--quiet"], package="toy_recipes") == 0
    assert json.loads(capsys.readouterr().out)["data"] == "photos"
    assert main(["work", "photos", "a", "--how", "disk"], package="toy_recipes") == 1
    assert os.strerror(errno.ENOSPC) in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_help_page_is_quick(capsys: pytest.CaptureFixture[str]) -> None:
    """The goal is 0.4 s; a machine that does other work at the same time is given 1 s."""
    source = str(Path(fovea.__file__).parents[1])
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "fovea", "--help"], env={**os.environ, "PYTHONPATH": source}, check=True, stdout=subprocess.DEVNULL
        )
        seconds.append(time.perf_counter() - start)
    with capsys.disabled():
        print(f"\nfovea --help: median {statistics.median(seconds):.2f} s of {len(seconds)}")
    assert statistics.median(seconds) < 1.0
