"""The feature maps of a picture at each stage: what is left of it, and what each channel answers to."""

from pathlib import Path

import numpy as np
import torch

from fovea.explain.drawing import colour
from fovea.explain.view import VIEWS, Asked, Seen, ViewInfo
from fovea.explain.views._tiles import tiled
from fovea.types import Floats

_SHOWN, _COLUMNS, _SIDE_PX = 32, 8, 96


@VIEWS.add(ViewInfo(shows="the feature maps of a picture at each stage", needs_pictures=True, source="Zeiler and Fergus 2014, section 4"))
def maps(asked: Asked) -> Seen:
    """For each picture and stage the 32 channels that answer most strongly, or the one that was asked for.

    The channels of one drawing share their scale: the brightest colour is the strongest answer of the stage.
    """
    asked.one_stage()
    drawings, facts = {}, []
    for number, (picture, found) in enumerate(asked.maps()):
        for stage in asked.stages():
            feature: Floats = torch.relu(found[stage]).float().numpy()
            strongest = np.argsort(-feature.reshape(len(feature), -1).max(axis=1), kind="stable")
            shown = [asked.channel] if asked.channel is not None else strongest[:_SHOWN].tolist()
            largest = float(feature[shown].max()) or 1.0
            tiles = [colour(feature[channel] / largest) for channel in shown]
            drawings[f"maps_{number + 1}_{Path(picture.path).stem}_stage{stage}"] = tiled(tiles, columns=_COLUMNS, side_px=_SIDE_PX)
            facts.append(
                {
                    "path": picture.path,
                    "stage": stage,
                    "shape": list(feature.shape),
                    "channels": shown,
                    "silent": float((feature.reshape(len(feature), -1).max(axis=1) == 0).mean()),
                }
            )
    lines = [f"{each['path']}: stage {each['stage']}, {each['shape']}, {each['silent']:.0%} of its channels silent" for each in facts]
    return Seen(drawings, {"maps": facts}, lines)
