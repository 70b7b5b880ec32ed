"""How far long work has come, shown on stderr: bars on a terminal, a line now and then in a log, nothing when nobody asked.

Quiet unless someone asks: the command line asks with `shown()`; in Python the caller does. What is never shown costs next
to nothing, so that the stages can always report.
"""

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

T = TypeVar("T")

SHORT_S = 2.0  # what takes less is not shown
FRAME_S = 0.25  # between two pictures of a bar: smooth enough, and no measurable load on two cores
LINE_S = 10.0  # between two lines in a log


class Progress:
    """One piece of long work, as a context manager; `advance` may be called from any thread.

    Args:
        label: What is being done, in the words of the person who waits: "reading the pictures".
        total: How many steps there are, or None if that is not known.

    Example:
        with Progress("reading the pictures", total=len(paths)) as bar:
            for path in paths:
                read(path)
                bar.advance()
    """

    def __init__(self, label: str, *, total: int | None = None) -> None:
        self.label, self.total, self.done = label, total, 0
        self.started_s = time.monotonic()
        self._lock = threading.Lock()
        self._screen = _screen

    def advance(self, steps: int = 1) -> None:
        """Says that `steps` more are done."""
        with self._lock:
            self.done += steps

    def __enter__(self) -> Self:
        self.started_s = time.monotonic()
        if self._screen:
            self._screen.add(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._screen:
            self._screen.remove(self, finished=kind is None)


def progress(iterable: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
    """Gives the elements of `iterable` one by one and shows how far it has come.

    Args:
        iterable: What is worked through.
        label: What is being done, in the words of the person who waits.
        total: How many elements there are; taken from the iterable where it knows.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with Progress(label, total=total) as bar:
        for element in iterable:
            yield element
            bar.advance()


def say(text: str) -> None:
    """One line for the person who waits, on stderr, above any bar; nothing if progress is not shown."""
    if screen := _screen:
        screen.say(text)


@contextmanager
def shown(on: bool = True) -> Iterator[None]:
    """Within it, progress and what is said are shown on stderr (or hidden, with `on=False`)."""
    global _screen
    before, mine = _screen, _Screen() if on else None
    _screen = mine
    try:
        yield
    finally:
        _screen = before
        if mine:
            mine.close()


class _Screen:
    """Draws all running work, from one thread."""

    def __init__(self) -> None:
        self.stream = sys.stderr
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.running: list[Progress] = []
        self.bars: Bars | None = None
        self.tasks: dict[Progress, TaskID] = {}
        self.lock = threading.RLock()
        self.closed = threading.Event()
        self.thread: threading.Thread | None = None

    def add(self, work: Progress) -> None:
        with self.lock:
            self.running.append(work)
            if self.thread is None:
                self.thread = threading.Thread(target=self._keep_drawing, name="fovea-progress", daemon=True)
                self.thread.start()

    def remove(self, work: Progress, *, finished: bool) -> None:
        with self.lock:
            if work in self.running:
                self.running.remove(work)
            if not self.running:
                self._take_bars_away()
            elif self.bars and work in self.tasks:
                self.bars.remove_task(self.tasks.pop(work))
            seconds = time.monotonic() - work.started_s
            if finished and not self.running and seconds >= SHORT_S:
                self.say(f"{work.label}: {_count(work)}in {_clock(seconds)}")

    def say(self, text: str) -> None:
        with self.lock, suppress(OSError, ValueError):  # stderr may be gone: then nobody looks, and the work goes on
            if self.bars:
                self.bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            else:
                print(text, file=self.stream, flush=True)

    def close(self) -> None:
        self.closed.set()
        with self.lock:
            self.running.clear()
            self._take_bars_away()

    def _take_bars_away(self) -> None:
        bars, self.bars = self.bars, None
        self.tasks.clear()
        if bars:
            with suppress(OSError, ValueError):
                bars.stop()

    def _keep_drawing(self) -> None:
        while not self.closed.wait(FRAME_S if self.terminal else LINE_S):
            with self.lock, suppress(OSError, ValueError):
                now = time.monotonic()
                long = [work for work in self.running if now - work.started_s >= SHORT_S]
                if long and not self.closed.is_set():
                    self._draw(long, now)

    def _draw(self, works: list[Progress], now: float) -> None:
        if not self.terminal:
            self.say("; ".join(f"{work.label}: {_count(work)}{_left(work, now)}" for work in works))
            return
        if self.bars is None:
            self.bars = _new_bars()
            self.bars.start()
        for work in works:
            if work not in self.tasks:
                self.tasks[work] = self.bars.add_task(work.label, total=work.total)
            self.bars.update(self.tasks[work], completed=work.done)
        self.bars.refresh()


_screen: _Screen | None = None


def _new_bars() -> "Bars":
    """Rich's bars, imported only when something has run long enough to be shown."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("left"))
    return Bars(*columns, console=Console(stderr=True), auto_refresh=False, transient=True, redirect_stdout=False)


def _count(work: Progress) -> str:
    """How many steps are done, as the start of a sentence: "1,200 of 4,000, "; nothing where none was counted."""
    if work.total is not None:
        return f"{work.done:,} of {work.total:,}, "
    return f"{work.done:,}, " if work.done else ""


def _left(work: Progress, now: float) -> str:
    if not work.total or not work.done:
        return f"{_clock(now - work.started_s)} so far"
    seconds = (now - work.started_s) / work.done * max(0, work.total - work.done)
    return f"about {_clock(seconds)} left"


def _clock(seconds: float) -> str:
    """A time in words: "8 s", "2 min 05 s", "1 h 02 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"
