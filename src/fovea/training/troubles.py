"""What can go wrong while a network learns, in words that name the pictures and the way out."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from fovea.errors import InputError, TrainingFailed
from fovea.training.method import Method


def not_a_number(loss: float, epoch: int, names: Sequence[str], note: Callable[[Sequence[str]], Path | None]) -> TrainingFailed:
    shown, place = ", ".join(names[:5]), note(names)
    more = f" and {len(names) - 5} more" + (f", all of them in {place}" if place else "") if len(names) > 5 else ""
    return TrainingFailed(
        f"the loss is no longer a number in epoch {epoch}",
        got=f"loss {loss} on the batch of {shown}{more}",
        expected="a finite loss" + (f"; the weights of the best epoch so far are kept in {place.parent}" if place and epoch > 1 else ""),
        fix="train again into another --out with a smaller --lr (`fovea train` also has --clip-norm 1); look at these pictures if it happens on them again",
    )


def check_names(metrics: Sequence[str], method: Method, *, has_accuracy: bool = True) -> None:
    """Whether the history has a column for everything, and one thing for each column."""
    if taken := sorted({"epoch", "split", "loss", "accuracy", "lr", "seconds"} & set(metrics)):
        raise InputError(
            f"a metric is called {taken[0]!r}, as a column of ours is", got=taken[0], expected="a name of its own", fix="rename it"
        )
    known = ["loss", *(["accuracy"] if has_accuracy else []), *metrics]
    if method.stop.monitor not in known:
        raise InputError(
            f"nothing that is measured is called {method.stop.monitor!r}", got=f"monitor={method.stop.monitor!r}", expected=f"one of {', '.join(known)}",
            fix="watch one of these, or add a metric of that name to the goal",
        )  # fmt: skip


@contextmanager
def explained(method: Method, batch_size: int) -> Iterator[None]:
    """What torch says of a missing compiler and of memory, in words that help."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error):
            raise TrainingFailed(
                f"a batch of {batch_size} does not fit into memory", got=str(error).splitlines()[0], expected="a batch that does",
                fix=f"give --batch-size {max(2, batch_size // 2)}, or a smaller --image-size",
            ) from error  # fmt: skip
        if method.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise InputError(
                "torch cannot compile the network on this machine", got=str(error).splitlines()[0], expected="a C++ compiler that torch finds",
                fix="leave --compile out, or install a compiler (g++)",
            ) from error  # fmt: skip
        raise
