"""Windows of images on the device that trains.

A GPU waits for every window that a processor must cut, normalise and send. Where all images fit beside the network,
they are sent once, as they are stored (a byte or two per value), and windows are cut and normalised there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .device import send
from .patches import Source

SHARE = 0.25  # of a GPU's free memory that images may take
MOST = 4 * 2**30  # bytes; more take long to read at the start
STORED = ("u1", "i1", "u2", "i2")  # types that are kept as they are; others become float32

Place = tuple[int, int, int, int]
"""(image, plane, y, x) of a window's first pixel, which may lie outside."""


class Windows:
    """Cuts windows of sources: ``windows(places, size)`` is (N, C, size, size) float32 on the device.

    Parameters
    ----------
    sources
        The images.
    device
        Where windows are wanted.
    room
        Bytes that images may take there; by default a share of what is free on a GPU, none elsewhere.
    """

    def __init__(self, sources: Sequence[Source], device: torch.device, room: int | None = None) -> None:
        self._sources, self.device = sources, device
        if room is None:
            room = min(MOST, int(SHARE * torch.cuda.mem_get_info(device)[0])) if device.type == "cuda" else 0
        self._resident = [_Resident(s, device) for s in sources] if sum(map(_size, sources)) <= room else None

    @property
    def are_resident(self) -> bool:
        """Whether the images lie on the device."""
        return self._resident is not None

    def __call__(self, places: Sequence[Place], size: int) -> Tensor:
        """Return windows, mirrored beyond the border."""
        if self._resident is None:
            cut = [self._sources[image].patch(plane, y, x, size) for image, plane, y, x in places]
            return send(np.stack(cut), self.device)
        return torch.stack([self._resident[image](plane, y, x, size) for image, plane, y, x in places])


class _Resident:
    """One image on the device, every plane as it is stored."""

    def __init__(self, source: Source, device: torch.device) -> None:
        stack, dtype = source.stack, np.dtype(source.stack.data.dtype)
        kept = dtype.str[1:] in STORED
        self._is_uint16 = dtype.str[1:] == "u2"
        # torch has few operations for uint16, so its bits travel as int16
        of = getattr(torch, "int16" if self._is_uint16 else dtype.name) if kept else torch.float32
        self._planes = torch.empty((stack.planes, stack.channels, *stack.plane_shape), dtype=of, device=device)
        for plane in range(stack.planes):  # one after the other: together they may be more than this side can hold
            values = stack.read(plane)
            values = values if kept else values - source.limits[0][:, None, None]  # an offset must not cost contrast
            native = np.ascontiguousarray(values, dtype.newbyteorder("=") if kept else np.float32)
            self._planes[plane].copy_(torch.from_numpy(native.view(np.int16) if self._is_uint16 else native))
        low, high = source.limits if kept else (np.zeros(source.stack.channels), np.ptp(source.limits, axis=0))
        span = np.where(high > low, high - low, np.inf)
        self._low, self._span, self._shift = (
            torch.tensor(v, dtype=torch.float32, device=device)[:, None, None] for v in (low, span, 1.0 * (high > low))
        )

    def __call__(self, plane: int, y: int, x: int, size: int) -> Tensor:
        """Return a normalised window (C, size, size)."""
        height, width = self._planes.shape[-2:]
        rows, columns = (_mirrored(start, size, length) for start, length in ((y, height), (x, width)))
        window = self._planes[plane][:, rows][:, :, columns]
        values = (window.int() & 0xFFFF if self._is_uint16 else window).float()
        return ((values - self._low) / self._span * 2 - self._shift).clamp(-3, 5)


def _size(source: Source) -> int:
    """Return how many bytes an image takes on the device."""
    dtype = np.dtype(source.stack.data.dtype)
    item = dtype.itemsize if dtype.str[1:] in STORED else 4
    return source.stack.planes * source.stack.channels * int(np.prod(source.stack.plane_shape)) * item


def _mirrored(start: int, size: int, length: int) -> slice | list[int]:
    """Return which of ``length`` pixels a window shows, the border mirrored as in ``Source.patch``."""
    if start >= 0 and start + size <= length:
        return slice(start, start + size)
    period = np.arange(start, start + size) % (2 * length)
    return [int(p) for p in np.where(period < length, period, 2 * length - 1 - period)]
