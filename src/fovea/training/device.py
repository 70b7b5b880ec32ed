"""Where a network learns: the processor, or a graphics card where torch finds one."""

from typing import Any

import torch

from fovea.errors import InputError


def pick_device(asked: str) -> torch.device:
    """The device that `asked` ("auto", "cpu", "cuda", "mps") names; "auto" takes a graphics card where there is one.

    Raises:
        InputError: This computer, or this build of torch, has no such device.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if asked == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there.get(asked, False):
        raise InputError(
            f"--device {asked} is not to be had here",
            got=f"torch {torch.__version__} sees {', '.join(name for name, found in there.items() if found)}",
            expected="a device that torch sees",
            fix="leave --device out, or install a build of torch for your graphics card",
        )
    return torch.device(asked)


def bfloat16_caution(device: torch.device) -> str:
    """Why bfloat16 is slow on this device, in a sentence; "" where it is not, or nobody knows."""
    told: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}
    if told.get("architecture") != "x86_64" or told.get("avx512_bf16") or told.get("amx_bf16"):
        return ""
    return (
        "this processor has no instructions for bfloat16: it can be twenty times slower here than float32, which --precision float32 takes"
    )
