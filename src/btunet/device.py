"""Where the work runs: device, threads, priority, memory manners of the process."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, TypeVar

from .task import Progress, Task

if TYPE_CHECKING:
    import numpy as np
    import torch

Module = TypeVar("Module", bound="torch.nn.Module")


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def place() -> tuple[int, int]:
    """Return the number of this process among those that train together, and how many they are, as torchrun says."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def pick_device() -> torch.device:
    """Return the fastest device there is: CUDA, then Apple's MPS, then the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def explain_device() -> str:
    """Name the device and the reason it was chosen, as one line for the user."""
    import torch

    device = pick_device()
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info()
        return f"GPU, {torch.cuda.get_device_name()}: {free / 2**30:.0f} of {total / 2**30:.0f} GB free"
    if device.type == "mps":
        return "GPU, Apple MPS"
    threads = torch.get_num_threads()
    reason = "no CUDA device found" if torch.version.cuda else "this PyTorch is built without CUDA"
    return f"CPU, {threads} thread{'s' * (threads > 1)}: {reason}"


def describe_device() -> Task[str]:
    """Return `explain_device` as a task, so that a process without torch can ask another."""
    yield Progress("looking for a device", 0, 1)
    return explain_device()


def settle(network: Module) -> Module:
    """Move a network to the fastest device, in the order of values that convolutions are fastest in (channels last)."""
    import torch

    moved: Module = network.to(pick_device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def send(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """Return an array as a tensor on a device; a GPU fetches it by itself while the processor goes on."""
    import torch

    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def channels_last(images: torch.Tensor) -> torch.Tensor:
    """Return (N, C, Y, X) images in the order of a settled network, also where a single channel leaves the order open.

    torch takes that for the other order, and what follows alternates between the two at great cost.
    """
    import torch

    _, c, y, x = images.shape
    images = images.contiguous(memory_format=torch.channels_last)
    return images.as_strided(images.shape, (c * y * x, 1, c * x, c))


def precision(device: torch.device) -> torch.autocast:
    """Return the context networks run in: bfloat16 products where the device has units for them, float32 elsewhere.

    Those are CUDA devices from Ampere on and processors with AMX or AVX512-BF16; others only emulate it, slowly.
    ``BTUNET_PRECISION`` decides otherwise (float32, bfloat16).
    """
    import torch

    wanted = os.environ.get("BTUNET_PRECISION", "")
    if wanted not in ("", "float32", "bfloat16"):
        raise ValueError(f"BTUNET_PRECISION is {wanted!r}; choose float32 or bfloat16")
    half = wanted == "bfloat16" or (not wanted and _is_fast(device))
    return torch.autocast(device.type, torch.bfloat16, enabled=half)


def _is_fast(device: torch.device) -> bool:
    """Return whether a device has units for bfloat16."""
    import torch

    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if device.type != "cpu":
        return False
    units = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # older versions of torch have fewer of these
    return any(getattr(torch.cpu, unit, bool)() for unit in units)


def use_threads(count: int) -> None:
    """Let torch use ``count`` threads; 0 means all cores but one, so that the screen keeps a core."""
    import torch

    torch.set_num_threads(count or max(1, cores() - 1))


def lower_priority(niceness: int = 10) -> None:
    """Let everything else on the machine go first (POSIX; elsewhere the launcher sets it)."""
    if hasattr(os, "nice"):
        os.nice(niceness)


def mind_the_machine() -> None:
    """Set up the process for long work; to be called before torch is imported.

    Threads sleep while they wait for each other: on a machine that does other work too, threads that spin made a step
    four times slower. And glibc keeps big blocks instead of giving them back after every step, which costs page faults.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):  # musl has none
            trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of glibc's malloc.h
            libc.mallopt(mmap_max, 0)
            libc.mallopt(trim_threshold, 2**31 - 1)
