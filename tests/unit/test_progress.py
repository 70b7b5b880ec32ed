"""What is shown of long work, and that it costs nothing where nobody looks."""

import io
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import pytest

from fovea import progress
from fovea.progress import Progress, say, shown


class _Stream(io.StringIO):
    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


class Streams(Protocol):
    def __call__(self, *, terminal: bool) -> _Stream: ...


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Puts a stream in the place of stderr, and makes two seconds short enough for a test."""

    def put(*, terminal: bool) -> _Stream:
        stream = _Stream(terminal)
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        for name, seconds in (("SHORT_S", 0.1), ("FRAME_S", 0.02), ("LINE_S", 0.15)):
            monkeypatch.setattr(progress, name, seconds)
        return stream

    return put


def wait_for(happened: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)


def test_it_is_quiet_unless_asked(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SHORT_S", 0.0)
    say("hello")
    assert list(progress.progress([1, 2, 3], label="counting")) == [1, 2, 3]
    with shown(False):
        say("hello")
    assert capfd.readouterr() == ("", "")


def test_what_is_short_is_not_shown(capfd: pytest.CaptureFixture[str]) -> None:
    with shown():
        assert list(progress.progress(iter("abc"), label="counting")) == ["a", "b", "c"]
    assert capfd.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then(stderr: Streams) -> None:
    stream = stderr(terminal=False)
    with shown():
        say("[plain] words")
        with Progress("reading the pictures", total=4000) as bar, Progress("first part") as part:
            bar.advance(1000)
            part.advance(3)
            wait_for(lambda: stream.getvalue().count("\n") >= 3)
    first, *lines, last = stream.getvalue().splitlines()
    assert first == "[plain] words"
    for line in lines:
        assert re.fullmatch(r"reading the pictures: 1,000 of 4,000, about \d+ s left; first part: 3, \d+ s so far", line)
    assert re.fullmatch(r"reading the pictures: 1,000 of 4,000, in \d+ s", last)


def test_a_terminal_gets_bars_and_what_is_said_above_them(stderr: Streams) -> None:
    stream = stderr(terminal=True)
    with shown():
        with Progress("reading [the] pictures", total=4) as bar:
            bar.advance()
            wait_for(lambda: "1/4" in stream.getvalue())
            say("found [bold]one[/bold]")
        with Progress("short"):
            pass
    text = stream.getvalue()
    assert "reading [the] pictures" in text
    assert "found [bold]one[/bold]\n" in text
    assert "\033[?25h" in text.rpartition("\033[?25l")[2], "the cursor is shown again"
    assert "short" not in text
    assert re.search(r"reading \[the\] pictures: 1 of 4, in \d+ s\n$", text)


def test_failed_work_is_not_called_done(stderr: Streams) -> None:
    stream = stderr(terminal=False)

    def fail() -> None:
        with Progress("reading"):
            time.sleep(0.12)
            raise ValueError("no")

    with shown(), pytest.raises(ValueError, match="no"):
        fail()
    assert stream.getvalue() == ""


def test_a_stream_that_is_gone_does_not_stop_the_work(stderr: Streams) -> None:
    stream = stderr(terminal=True)
    with shown(), Progress("reading", total=3) as bar:
        stream.close()
        say("hello")
        time.sleep(0.2)
        bar.advance()
    assert bar.done == 1


def test_all_is_left_as_found(stderr: Streams) -> None:
    stderr(terminal=True)
    with shown(), Progress("reading"):
        time.sleep(0.15)
    assert progress._screen is None
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "fovea-progress"])


def test_many_threads_lose_no_step() -> None:
    def count() -> None:
        for _ in range(10_000):
            bar.advance()

    with shown(), Progress("counting", total=80_000) as bar, ThreadPoolExecutor(8) as pool:
        for _ in range(8):
            pool.submit(count)
    assert bar.done == 80_000


@pytest.mark.parametrize("on", [False, True])
def test_it_costs_nothing_worth_measuring(on: bool) -> None:
    """4,000 pictures take seconds; their progress may take 1 % of that (it takes about 2 ms here, on a quiet machine)."""
    with shown(on):
        start = time.process_time()
        for _ in progress.progress(range(4000), label="reading"):
            pass
        seconds = time.process_time() - start
    assert seconds < 0.05


def test_rich_is_imported_only_for_a_bar() -> None:
    use = "with shown(), Progress('x') as bar: bar.advance(); say('y')"
    code = f"import sys; from fovea.progress import *\n{use}\nassert 'rich' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
