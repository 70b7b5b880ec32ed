"""What in a picture made a channel answer: its strongest answer, sent back to the pixels (Zeiler and Fergus 2014, arXiv:1311.2901)."""

from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from fovea.errors import InputError
from fovea.explain.drawing import contact_sheet
from fovea.explain.view import VIEWS, Asked, Seen, ViewInfo
from fovea.explain.views._tiles import about_grey
from fovea.models.modes import evaluating
from fovea.types import Floats, Pixels

_CHANNELS = 4
_WHOLE = 0.999  # of a projection's numbers are told apart: the field of a cell is a small part of the picture

_RELU = {torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, F.relu, F.relu_}
_MAXIMA = {F.max_pool2d, torch.max_pool2d}
_OTHERS = {F.gelu, F.silu, F.hardswish, F.elu, F.selu, F.mish, F.softplus}


@VIEWS.add(
    ViewInfo(
        shows="what in a picture made channels answer, sent back to the pixels",
        needs_pictures=True,
        source="Zeiler and Fergus 2014, section 2.1",
    )
)
def deconvnet(asked: Asked) -> Seen:
    """For each picture the four channels of a stage (the last, unless one is named) with the strongest answers, or the one that was named.

    Raises:
        InputError: The network has no relu, which the way back is defined for.
    """
    stage = asked.one_stage()
    drawings, facts, num_unpooled = {}, [], 0
    for number, picture in enumerate(asked.pictures):
        with evaluating(asked.body), torch.inference_mode():
            feature = asked.backbone.forward_maps(asked.inputs([picture.pixels])).maps[stage][0]
        peaks = feature.amax(dim=(1, 2))
        chosen = [asked.channel] if asked.channel is not None else peaks.topk(min(_CHANNELS, len(peaks))).indices.tolist()
        tiles = [(picture.path, picture.pixels)]
        for channel in chosen:
            y, x = divmod(int(feature[channel].argmax()), feature.shape[2])
            seen, num_unpooled = project(asked, picture.pixels, stage=stage, channel=channel)
            tiles.append((f"channel {channel}: {float(peaks[channel]):.2f}", about_grey(seen, whole=_WHOLE)))
            facts.append(
                {"path": picture.path, "stage": stage, "channel": channel, "strength": float(peaks[channel]), "row": y, "column": x}
            )
        title = f"stage {stage}: the strongest answers of four channels, sent back to the pixels (grey: nothing)"
        drawings[f"deconvnet_{number + 1}_{Path(picture.path).stem}_stage{stage}"] = contact_sheet(tiles, title=title)
    lines = [f"stage {stage}: {len(facts)} answers sent back to the pixels"]
    if not num_unpooled:  # Springenberg et al. 2015, section 3.4
        lines.append("this network keeps no places of maxima (it has no max pooling): what comes back says little of the picture")
    return Seen(drawings, {"deconvnet": facts}, lines)


def project(asked: Asked, pixels: Pixels, *, stage: int, channel: int) -> tuple[Floats, int]:
    """The strongest answer of a channel, alone, sent back: float32 (H, W, 3), signed; and how many maxima were unpooled.

    On the way back a convolution is transposed, a maximum is put where it was found (unpooling by its switches), and a relu is applied
    to what comes back, whatever it did on the way there. The first two are exactly what backpropagation does; for the relu its rule is replaced
    (Springenberg et al. 2015, arXiv:1412.6806, figure 1). Batch norm scales; what was added up (a shortcut) goes back both ways.

    Raises:
        InputError: The network has no relu.
    """
    with evaluating(asked.body), torch.enable_grad(), torch.inference_mode(mode=False):
        x = asked.inputs([pixels]).clone().requires_grad_()
        with _RectifiedOnTheWayBack() as way:
            feature = asked.backbone.forward_maps(x).maps[stage]
        if not way.num_rectified or way.num_others:
            raise InputError(
                "a way back is only defined through relu, and this network has other activations",
                got=f"{way.num_rectified} relu, {way.num_others} others",
                expected="a network whose activations are all relu, such as vgg16, alexnet, resnet50 or convnet",
                fix="choose --view channels or maps for this one",
            )
        peak = feature[0, channel].flatten().max()
        (back,) = torch.autograd.grad(peak, x)
    return back[0].permute(1, 2, 0).float().numpy(), way.num_unpooled


class _Rectified(torch.autograd.Function):
    """Relu on the way there (up to `top`), and relu of what comes back."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, top: float) -> torch.Tensor:
        return x.clamp(0, top)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return grads[0].clamp(min=0), None


class _RectifiedOnTheWayBack(TorchFunctionMode):
    """Within it every relu, a layer or a function, has the deconvnet's way back."""

    def __init__(self) -> None:
        super().__init__()
        self.num_rectified = self.num_others = self.num_unpooled = 0

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.num_others += function in _OTHERS
        self.num_unpooled += function in _MAXIMA
        is_six = function is F.relu6 or (function is F.hardtanh and tuple(args[1:3]) == (0.0, 6.0))
        if function in _RELU or is_six:
            self.num_rectified += 1
            return _Rectified.apply(args[0] if args else kwargs["input"], 6.0 if is_six else float("inf"))  # type: ignore[no-untyped-call]
        return function(*args, **kwargs)
