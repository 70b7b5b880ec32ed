"""Several streams read side by side, each by a thread of its own, and dealt out in blocks."""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from fovea.errors import InputError

T = TypeVar("T")

_AHEAD = 2  # blocks that a stream may be ahead
_LOOK_S = 0.1  # how often a waiting thread looks whether anybody still wants its block


def interleave(streams: Sequence[Callable[[], Iterator[T]]], *, cycle: int = 4, block: int = 16, deterministic: bool = True) -> Iterator[T]:
    """The elements of all streams, of which `cycle` are read at once, `block` elements from each in turn.

    As tf.data's interleave with the same `cycle_length` and `block_length`, element for element: a stream that ends in the
    middle of its block gives its turn away, and the next stream takes its place at the next round.

    Args:
        streams: Each opens one, in the thread that reads it. They are begun in this order.
        cycle: Streams at once, and threads.
        block: Elements of one before the next has its turn.
        deterministic: Whether the order is the same each time. If not, whichever stream has a block ready is next, so that
            a slow one holds nobody up; all elements come all the same, and those of one stream in their order.

    Raises:
        InputError: `cycle` or `block` is below 1.
        Exception: What a stream raises, at its turn.
    """
    for name, value in (("cycle", cycle), ("block", block)):
        if value < 1:
            raise InputError(f"{name} is {value}", got=value, expected="1 or more", fix=f"give {name} another value, or leave it out")
    return _in_turn(streams, cycle, block) if deterministic else _as_they_come(streams, cycle, block)


@dataclass
class _Block(Generic[T]):
    elements: list[T]
    is_last: bool = False
    error: BaseException | None = None


@dataclass
class _Reader(Generic[T]):
    """A thread that puts the blocks of a stream into a queue, until nobody wants them any more."""

    open: Callable[[], Iterator[T]]
    blocks: "queue.Queue[_Block[T]]"
    size: int
    stop: threading.Event
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, name="fovea-shard", daemon=True)
        self.thread.start()

    def _run(self) -> None:
        elements: list[T] = []
        try:
            for element in self.open():
                elements.append(element)
                if len(elements) == self.size:
                    if not self._put(_Block(elements)):
                        return
                    elements = []
        except BaseException as error:  # told at its turn, to whoever reads
            self._put(_Block(elements, is_last=True, error=error))
            return
        self._put(_Block(elements, is_last=True))

    def _put(self, block: _Block[T]) -> bool:
        while not self.stop.is_set():
            try:
                self.blocks.put(block, timeout=_LOOK_S)
                return True
            except queue.Full:
                continue
        return False


def _in_turn(streams: Sequence[Callable[[], Iterator[T]]], cycle: int, block: int) -> Iterator[T]:
    stop, waiting = threading.Event(), list(reversed(streams))
    begun: list[_Reader[T]] = []

    def begin() -> _Reader[T] | None:
        if not waiting:
            return None
        begun.append(_Reader(waiting.pop(), queue.Queue(_AHEAD), block, stop))
        return begun[-1]

    try:
        places = [begin() for _ in range(min(cycle, len(streams)))]
        while any(places):
            for index, reader in enumerate(places):
                if reader is None:
                    continue
                taken = reader.blocks.get()
                yield from taken.elements
                if taken.error:
                    raise taken.error
                if taken.is_last:
                    places[index] = begin()
    finally:
        _end(stop, begun)


def _as_they_come(streams: Sequence[Callable[[], Iterator[T]]], cycle: int, block: int) -> Iterator[T]:
    stop, waiting = threading.Event(), list(reversed(streams))
    blocks: queue.Queue[_Block[T]] = queue.Queue(_AHEAD * cycle)
    begun: list[_Reader[T]] = []
    num_open = 0
    try:
        while waiting or num_open:
            while waiting and num_open < cycle:
                begun.append(_Reader(waiting.pop(), blocks, block, stop))
                num_open += 1
            taken = blocks.get()
            yield from taken.elements
            if taken.error:
                raise taken.error
            num_open -= taken.is_last
    finally:
        _end(stop, begun)


def _end(stop: threading.Event, readers: Sequence[_Reader[T]]) -> None:
    stop.set()
    for reader in readers:
        reader.thread.join()
