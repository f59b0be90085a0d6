"""What a file claims is looked at before it is believed: that it is a file, and that what it holds fits into memory."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BtunetError

DENSEST = 40_000  # zstd, the densest, makes a byte of 32 768 that are equal
SMALL = 2**27  # bytes that are not worth a look at what is free


def check_file(path: Path) -> None:
    """Raise ValueError if something is there that is neither a file nor a folder, and may be read without end."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # whoever opens it says why
        return
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ValueError(f"{path} is neither a file nor a folder; copy what comes out of it into a file, and name that")


def check_density(path: Path, shape: Sequence[int], dtype: Any) -> None:
    """Raise BtunetError if a file claims to hold more than any compression can make of its bytes."""
    size, stored = _bytes(shape, dtype), path.stat().st_size
    if size > max(SMALL, DENSEST * stored):
        raise BtunetError(f"{_claim(path.name, shape, dtype)} in {stored:,} bytes; it is broken, get another copy")


def check_room(name: str, shape: Sequence[int], dtype: Any) -> None:
    """Raise BtunetError if there is not the memory for so many values at once."""
    size = _bytes(shape, dtype)
    if size > SMALL and size > (free := free_memory()):
        raise BtunetError(
            f"{_claim(name, shape, dtype)}, but {free / 2**30:,.1f} GB of memory are free; save it as zarr in small "
            "chunks, or as TIFF without compression, which are read in parts"
        )


def _bytes(shape: Sequence[int], dtype: Any) -> int:
    return math.prod(int(n) for n in shape) * int(np.dtype(dtype).itemsize)


def _claim(name: str, shape: Sequence[int], dtype: Any) -> str:
    size = _bytes(shape, dtype) / 2**30
    return f"{name} claims to hold {' × '.join(map(str, shape))} values of {np.dtype(dtype)}, {size:,.1f} GB"


def free_memory() -> float:
    """Return how much memory can still be had beside a GPU's, bytes; infinite where the system does not say."""
    return min(_free_on_the_machine(), _free_in_the_group())


def _free_on_the_machine() -> float:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()  # Linux; counts what is cached and can be given up
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf, macOS does not know the pages
        return math.inf


def _free_in_the_group() -> float:
    """Return what is left of the limit of a container or of a job on a cluster (cgroup v2)."""
    try:
        own = next(line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::"))
        folder = Path(f"/sys/fs/cgroup{own}")
        limit, used = ((folder / name).read_text().strip() for name in ("memory.max", "memory.current"))
        statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return math.inf if limit == "max" else float(int(limit) - int(used) + int(statistics["inactive_file"]))
    except (OSError, StopIteration, KeyError, ValueError):
        return math.inf
