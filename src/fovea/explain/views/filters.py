"""The filters of the first layers, which are small pictures themselves."""

import numpy as np
from torch import nn

from fovea.errors import InputError
from fovea.explain.view import VIEWS, Asked, Seen, ViewInfo
from fovea.explain.views._tiles import about_grey, tiled

_MOST, _COLUMNS, _SIDE_PX = 64, 8, 56
_OUTS, _INS = 12, 12  # of a later layer: a row for each filter, a column for each channel that it reads
_LAYERS = 3
_ALONE = (1, 3)  # channels that a filter reads and that make one picture of it: grey, or red, green and blue


@VIEWS.add(
    ViewInfo(shows="the filters of the first layers", needs_pictures=False, source="Krizhevsky, Sutskever and Hinton 2012, figure 3")
)
def filters(asked: Asked) -> Seen:
    """The first layer's filters in colour; of the two layers behind it a row for each filter, a column for each channel that it reads.

    Each filter is scaled by itself: grey is 0.

    Raises:
        InputError: The network has no convolution.
    """
    convolutions = [(name, part) for name, part in asked.backbone.named_modules() if isinstance(part, nn.Conv2d)]
    wide = [(name, part) for name, part in convolutions if max(part.kernel_size) > 1][:_LAYERS]  # a 1 x 1 filter is one dot
    if not wide:
        raise InputError(
            "the network has no convolution whose filters could be shown",
            got=type(asked.backbone).__name__,
            expected="a layer of filters larger than one pixel",
            fix="choose another --view",
        )
    drawings, facts, lines = {}, [], []
    for number, (name, part) in enumerate(wide):
        weight = part.weight.detach().float().cpu().numpy()  # (O, I, k, k)
        if weight.shape[1] in _ALONE:
            tiles = [about_grey(np.broadcast_to(each.transpose(1, 2, 0), (*each.shape[1:], 3))) for each in weight[:_MOST]]
            drawing = tiled(tiles, columns=_COLUMNS, side_px=_SIDE_PX)
        else:
            scaled = [about_grey(each) for each in weight[:_OUTS]]  # a filter's slices on one scale
            slices = [np.repeat(one[:, :, None], 3, axis=2) for each in scaled for one in each[:_INS]]
            drawing = tiled(slices, columns=min(_INS, weight.shape[1]), side_px=_SIDE_PX // 2)
        drawings[f"filters_{number + 1}_{name.replace('.', '_')}"] = drawing
        facts.append({"layer": name, "shape": list(weight.shape)})
        shown = min(len(weight), _MOST if weight.shape[1] in _ALONE else _OUTS)
        lines.append(f"{name}: {len(weight)} filters of {weight.shape[2]} x {weight.shape[3]} px, {shown} shown")
    return Seen(drawings, {"filters": facts}, lines)
