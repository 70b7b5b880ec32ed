"""An ordered, bounded, parallel map over threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

In = TypeVar("In")
Out = TypeVar("Out")


def num_threads() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_ordered(work: Callable[[In], Out], inputs: Iterable[In], *, threads: int | None = None, ahead: int = 4) -> Iterator[Out]:
    """`work` of each input, in the order of the inputs, whatever the number of threads.

    Args:
        work: Called in the threads; an exception in it is raised here, at its turn.
        inputs: Taken one by one: at most `threads * ahead` results are held, so memory stays bounded.
        threads: How many; by default one for each core.
        ahead: How many inputs are taken in advance for each thread.
    """
    threads = threads or num_threads()
    with ThreadPoolExecutor(threads, thread_name_prefix="fovea") as pool:
        waiting: deque[Future[Out]] = deque()
        try:
            for item in inputs:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= threads * ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def chunks(count: int, size: int) -> Iterator[range]:
    """0..count in runs of `size`, the last one shorter."""
    return (range(start, min(start + size, count)) for start in range(0, count, size))
