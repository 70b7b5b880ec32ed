"""What a view inside a network is: pictures of its filters, of what its maps hold, and of what they answer to."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from fovea.errors import InputError
from fovea.models.backbone import Backbone
from fovea.models.modes import evaluating
from fovea.models.network import PixelBackbone
from fovea.registry import Registry
from fovea.types import Pixels

_TURN = 8  # pictures that a network looks at at once


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture as the network sees it, uint8 (S, S, 3), and what it is called."""

    path: str
    pixels: Pixels


@dataclass(frozen=True)
class ViewInfo:
    """What a view states of itself.

    Args:
        shows: In words.
        needs_pictures: Whether it looks at pictures; a view of weights alone does not.
        source: The paper, where there is one.
    """

    shows: str
    needs_pictures: bool
    source: str = ""


@dataclass(frozen=True, eq=False)
class Seen:
    """What a view shows.

    Args:
        drawings: File name without ending -> uint8 (H, W, 3).
        facts: The same as JSON values.
        lines: What a person is told, in sentences.
    """

    drawings: Mapping[str, Pixels]
    facts: Mapping[str, Any] = field(default_factory=dict)
    lines: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Asked:
    """What is looked into, and where.

    Args:
        body: The network behind its scaling; left as it was found.
        size_px: Side of the pictures that it is meant for.
        pictures: To look at.
        stage: Index of a feature map, 0 the finest; None is the view's own choice.
        channel: Of that map; None is the view's own choice.
    """

    body: PixelBackbone
    size_px: int
    pictures: Sequence[Picture] = ()
    stage: int | None = None
    channel: int | None = None

    @property
    def backbone(self) -> Backbone:
        return self.body.backbone

    def stages(self) -> list[int]:
        """The stage that was asked for, or all."""
        return list(range(len(self.backbone.channels))) if self.stage is None else [self.one_stage()]

    def one_stage(self) -> int:
        """The stage that was asked for, or the last.

        Raises:
            InputError: There is no such stage, or it has no such channel.
        """
        count = len(self.backbone.channels)
        stage = count - 1 if self.stage is None else self.stage
        if not 0 <= stage < count:
            raise InputError(
                f"the network has no stage {stage}",
                got=str(stage),
                expected=f"0 (the finest) to {count - 1}",
                fix="leave --stage out for all of them",
            )
        channels = self.backbone.channels[stage]
        if self.channel is not None and not 0 <= self.channel < channels:
            raise InputError(
                f"stage {stage} has no channel {self.channel}", got=str(self.channel), expected=f"0 to {channels - 1}", fix="choose another --channel"
            )  # fmt: skip
        return stage

    def maps(self) -> Iterator[tuple[Picture, tuple[torch.Tensor, ...]]]:
        """Each picture with its feature maps, each (C, h, w)."""
        with evaluating(self.body), torch.inference_mode():
            for start in range(0, len(self.pictures), _TURN):
                turn = self.pictures[start : start + _TURN]
                found = self.backbone.forward_maps(self.inputs([each.pixels for each in turn])).maps
                for index, picture in enumerate(turn):
                    yield picture, tuple(each[index] for each in found)

    def inputs(self, pixels: Sequence[Pixels]) -> torch.Tensor:
        """Pictures -> float32 (B, 3, H, W) as the backbone takes them."""
        return self.body.scaled(torch.from_numpy(np.stack(pixels)))


# A view is a function (asked: Asked) -> Seen.
VIEWS: Registry[ViewInfo] = Registry("view", "fovea.explain.views")
View = Callable[[Asked], Seen]


def look_inside(view: str, asked: Asked) -> Seen:
    """One view by name.

    Raises:
        UnknownName: No such view.
        InputError: It needs pictures and there are none; no such stage or channel; or the network has nothing that it could show.
    """
    entry = VIEWS[view]
    if entry.info.needs_pictures and not asked.pictures:
        raise InputError(
            f"the view {view!r} looks at pictures, and there are none",
            got="no paths",
            expected="picture files, or folders of them",
            fix=f"fovea explain RUN photo.jpg --view {view} --out DIR",
        )
    seen = entry.build(asked)
    if not isinstance(seen, Seen):
        raise TypeError(f"the view {view!r} gives a {type(seen).__name__}, not a Seen")
    return seen
