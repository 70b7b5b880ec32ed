"""A training that ends in the middle, as if it had been killed."""

from collections.abc import Iterator
from typing import Any

import pytest

from fovea.loading.batches import Batches


class Stop(Exception):
    pass


def stopped_after(batches: Batches, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its iterator ends the process, as it were, when so many batches were taken in all."""
    epoch, taken = batches.epoch, []

    def until(*arguments: int) -> Iterator[Any]:
        for batch in epoch(*arguments):
            if len(taken) == count:
                raise Stop
            taken.append(1)
            yield batch

    monkeypatch.setattr(batches, "epoch", until)
