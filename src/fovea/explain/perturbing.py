"""Pictures changed in places, and what that does to a score: what methods without gradients share."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import numpy as np

from fovea.explain.subject import TURN, Subject
from fovea.types import Floats


def blended(below: Any, above: Any, mask: Floats) -> Any:
    """Two pictures (H, W, 3) of one kind: `above` where the mask (H, W) is 1, `below` where it is 0."""
    share = mask[:, :, None].astype(np.float32)
    mixed = below.astype(np.float32) * (1 - share) + above.astype(np.float32) * share
    return np.rint(mixed).astype(np.uint8) if above.dtype == np.uint8 else mixed.astype(above.dtype)


def in_batches(subject: Subject, pictures: Iterable[Any], target: int) -> Floats:
    """The score of each of many pictures, of which only some are held at once."""
    flow, found = iter(pictures), []
    while batch := list(islice(flow, 2 * TURN)):
        found.append(subject.scores(np.stack(batch), target))
    return np.concatenate(found) if found else np.zeros(0, np.float32)
