"""Checkpoints: tensors and plain JSON in one safetensors file, written whole or not at all. No pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fovea.files import write_atomic

LAST = "last.safetensors"  # to go on from
FAILED = "failed_batch.txt"  # the pictures on which the loss was no number
BEST = "best.safetensors"  # the backbone with its best weights and its passport: `--weights RUN` takes it
VIEWS = ("views.json", "views.pixels", "views.answers")  # how many batches a teacher was asked about, and what it said of them


def save_checkpoint(path: Path, *, groups: dict[str, dict[str, torch.Tensor]], state: dict[str, Any]) -> None:
    """Writes named groups of tensors and a JSON value."""
    tensors = {
        f"{group}/{name}": tensor.detach().contiguous().clone() for group, content in groups.items() for name, tensor in content.items()
    }
    write_atomic(path, save(tensors, metadata={"state": json.dumps(state)}))


def load_checkpoint(path: Path) -> tuple[dict[str, dict[str, torch.Tensor]], dict[str, Any]] | None:
    """What `save_checkpoint` wrote, or None where there is none that can be read (a run then begins anew)."""
    try:
        with safe_open(path, framework="pt") as file:
            groups: dict[str, dict[str, torch.Tensor]] = {}
            for key in file.keys():  # noqa: SIM118 - not a dict: it cannot be iterated itself
                group, name = key.split("/", 1)
                groups.setdefault(group, {})[name] = file.get_tensor(key)
            return groups, json.loads((file.metadata() or {})["state"])
    except (FileNotFoundError, SafetensorError, OSError, KeyError, ValueError):
        return None


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """The state of an optimizer as named tensors: "INDEX.NAME" for the parameter of that index."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Puts back what `optimizer_tensors` gave."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
