"""Memory: whether a batch fits, known before the first step; and memory that is used again instead of given back in between."""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch
from torch import nn

from fovea.errors import InputError
from fovea.models.modes import modes_kept

_TRIED = 2  # pictures of the trial: batch norm cannot learn from one
_SHARE = 0.9  # of the memory that is free
_OVERHEAD = 1.3  # a margin for gradients of activations and scratch space of convolutions, beside what is saved; set by judgement
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
_LARGEST, _USUAL = (1 << 30), (32 << 20)  # bytes; the second is how far glibc raises the threshold by itself
_GROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


def check_memory(
    network: nn.Module,
    *,
    size_px: int,
    batch_size: int,
    device: torch.device,
    free_bytes: Callable[[torch.device], int | None] | None = None,
) -> None:
    """Raises where a batch will not fit, with the largest that does.

    Args:
        network: Takes uint8 (B, S, S, 3); left as it was found.
        size_px: S.
        batch_size: What was asked for.
        device: Where it will learn.
        free_bytes: Gives the memory that is free; None where that is not known.

    Raises:
        InputError: It does not fit.
    """
    free = (free_bytes or _free_bytes)(device)
    if free is None or batch_size <= _TRIED:
        return
    each = _saved_bytes(network, size_px) * _OVERHEAD
    fixed = 4 * sum(p.numel() * p.element_size() for p in network.parameters() if p.requires_grad)  # gradient, two moments, best weights
    fits = int((free * _SHARE - fixed) // each)
    if fits < batch_size:
        gib = (each * batch_size + fixed) / 1024**3
        raise InputError(
            f"a batch of {batch_size} pictures of {size_px} px does not fit into memory",
            got=f"about {gib:.1f} GiB for it, {free / 1024**3:.1f} GiB free",
            expected=f"--batch-size {fits} or less" if fits >= 1 else "a smaller network or smaller pictures",
            fix=f"give --batch-size {2 ** (fits.bit_length() - 1)}"
            if fits >= 1
            else "choose a smaller --image-size, or another --backbone",
        )


def _saved_bytes(network: nn.Module, size_px: int) -> float:
    """What one picture leaves in memory for the way back, each piece counted once."""
    seen: dict[int, int] = {}
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            seen[storage.data_ptr()] = storage.nbytes()
        return tensor

    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    device = next(network.parameters()).device
    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    try:
        with modes_kept(network), torch.random.fork_rng(devices=[]), torch.enable_grad(), hooks:
            kept = network.train()(torch.zeros(_TRIED, size_px, size_px, 3, dtype=torch.uint8, device=device))
        del kept
    finally:
        for name, buffer in network.named_buffers():
            buffer.copy_(buffers[name])
    return sum(seen.values()) / _TRIED


def _free_bytes(device: torch.device) -> int | None:
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    found = []
    with suppress(OSError, ValueError, StopIteration):  # Linux
        line = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(int(line.split()[1]) * 1024)
    for limit, used in _GROUPS:  # a container's own limit, less what it holds
        with suppress(OSError, ValueError):
            found.append(int(Path(limit).read_text()) - int(Path(used).read_text()))
    if not found:
        with suppress(OSError, ValueError, AttributeError):
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(found) if found else None


@contextmanager
def reused_memory() -> Iterator[None]:
    """While it lasts, freed memory stays with the process, to be used again.

    glibc gives every large block back to the system when it is freed, and takes a new one, page by page, for the next layer. LOG.md
    has what that costs. Elsewhere nothing changes. Afterwards the memory goes back.
    """
    libc = _glibc()
    if libc is None:
        yield
        return
    libc.mallopt(_M_MMAP_THRESHOLD, _LARGEST)
    libc.mallopt(_M_TRIM_THRESHOLD, _LARGEST)
    try:
        yield
    finally:
        libc.mallopt(_M_MMAP_THRESHOLD, _USUAL)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * _USUAL)
        libc.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if sys.platform != "linux":
        return None
    with suppress(OSError):
        libc = ctypes.CDLL(None)
        if all(hasattr(libc, name) for name in ("gnu_get_libc_version", "mallopt", "malloc_trim")):
            return libc
    return None
