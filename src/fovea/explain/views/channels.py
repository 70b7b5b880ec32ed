"""What a channel answers to most: the pictures that it answers to most strongly, and the place in each."""

import numpy as np
import torch

from fovea.explain.drawing import contact_sheet, overlay
from fovea.explain.explanation import heat_of
from fovea.explain.view import VIEWS, Asked, Seen, ViewInfo
from fovea.types import Floats

_CHANNELS, _PICTURES = 6, 5


@VIEWS.add(
    ViewInfo(
        shows="the pictures, by default of those learned from, to which a channel answers most strongly",
        needs_pictures=True,
        source="Zeiler and Fergus 2014, figure 2",
    )
)
def channels(asked: Asked) -> Seen:
    """For a channel of a stage (the last, unless one is named) the five pictures with its strongest answers, and where in them.

    Without a channel, those six whose strongest answers differ most between the pictures: they tell pictures apart.
    """
    stage = asked.one_stage()
    peaks: list[Floats] = []  # of each picture, (C,)
    means: list[Floats] = []  # which decide between peaks that are cut off alike (relu6)
    for _, found in asked.maps():
        peaks.append(found[stage].float().amax(dim=(1, 2)).numpy())
        means.append(found[stage].float().mean(dim=(1, 2)).numpy())
    strength, breadth = np.stack(peaks), np.stack(means)  # (N, C)
    spread = strength.std(axis=0) / (np.abs(strength).mean(axis=0) + 1e-6)
    shown = [asked.channel] if asked.channel is not None else np.argsort(-spread, kind="stable")[:_CHANNELS].tolist()
    tiles, facts = [], []
    for channel in shown:
        best = np.lexsort((-breadth[:, channel], -strength[:, channel]))[:_PICTURES].tolist()
        again = Asked(asked.body, asked.size_px, [asked.pictures[row] for row in best], stage)
        for row, (picture, found) in zip(best, again.maps(), strict=True):
            heat = torch.relu(found[stage][channel]).float().numpy()
            margins = asked.body.backbone.margins_of(heat.shape[0], asked.size_px)
            large = heat_of(heat, *picture.pixels.shape[:2], margins_px=(margins, margins))
            tiles.append((f"{channel}: {strength[row, channel]:.2f}  {picture.path}", overlay(picture.pixels, large)))
            facts.append({"stage": stage, "channel": channel, "path": picture.path, "strength": float(strength[row, channel])})
    title = f"stage {stage}: strongest answers among {len(asked.pictures):,} pictures (channel: strength, picture)"
    drawing = contact_sheet(tiles, title=title, columns=min(_PICTURES, len(asked.pictures)))
    return Seen(
        {f"channels_stage{stage}": drawing},
        {"channels": facts},
        [f"stage {stage}, channels {', '.join(map(str, shown))}: of {len(asked.pictures):,} pictures the strongest"],
    )
