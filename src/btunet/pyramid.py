"""Write images as OME-Zarr 0.5, window by window, with a pyramid of smaller levels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from .images import Stack, index_of
from .omezarr import TYPES, UNITS

CHUNK = 512  # side of a chunk, pixels


class ZarrTarget:
    """An image on the disk that is filled window by window; what is there already stays.

    Parameters
    ----------
    path
        Ends in .zarr.
    like
        The image it belongs to: axes, planes and calibration.
    dtype
        Type of its numbers.
    channels
        Length of its channel axis; 0 for a mask, which has none.
    scale
        Size of a pixel along the spatial axes; () if unknown.
    """

    def __init__(self, path: Path, like: Stack, dtype: Any, channels: int, scale: tuple[float, ...]) -> None:
        import zarr

        self.path, self._like, self._scale, self._nearest = path, like, scale, not channels
        self.axes, self._is_image = _order(like.spatial_axes, "C" * bool(channels))
        sizes = dict(zip(like.spatial_axes, like.spatial_shape, strict=True)) | {"C": channels}
        self.shape = tuple(sizes[a] for a in self.axes)
        self._group: Any = zarr.open_group(path, mode="a", zarr_format=3)
        self._full: Any = self._group["0"] if "0" in self._group else self._level(0, self.shape, dtype)

    def put(self, plane: int, y: slice, x: slice, values: np.ndarray) -> None:
        """Write a window of one plane: (y, x), or (C, y, x) if there are channels."""
        self._full[index_of(self.axes, self._like.stack_shape, plane, y, x)] = values

    def finish(self) -> list[Path]:
        """Add the smaller levels and the description; return what was written."""
        level, levels = self._full, 1
        while self._is_image and max(level.shape[-2:]) > CHUNK:
            level, levels = self._halved(level, levels), levels + 1
        if self._is_image:
            self._group.attrs["ome"] = {"version": "0.5", "multiscales": [self._describe(levels)]}
        return [self.path]

    def _level(self, number: int, shape: tuple[int, ...], dtype: Any) -> Any:
        chunks = (1,) * (len(shape) - 2) + tuple(min(n, CHUNK) for n in shape[-2:])
        names = [a.lower() for a in self.axes]
        return self._group.create_array(
            str(number), shape=shape, dtype=dtype, chunks=chunks, dimension_names=names, overwrite=True
        )

    def _halved(self, level: Any, number: int) -> Any:
        """Return the next level, made chunk by chunk: every second pixel of a mask, else the mean of four."""
        height, width = (math.ceil(n / 2) for n in level.shape[-2:])
        half = self._level(number, (*level.shape[:-2], height, width), level.dtype)
        for leading in np.ndindex(level.shape[:-2]):
            for top in range(0, height, CHUNK):
                for left in range(0, width, CHUNK):
                    place = (*leading, slice(2 * top, 2 * (top + CHUNK)), slice(2 * left, 2 * (left + CHUNK)))
                    window = level[place]
                    if not self._nearest:  # the border of a side that is odd counts twice
                        window = np.pad(window, [(0, n % 2) for n in window.shape], mode="edge")
                        window = (window[::2] + window[1::2]) / 2
                        window = (window[:, ::2] + window[:, 1::2]) / 2
                    else:
                        window = window[::2, ::2]
                    half[(*leading, slice(top, top + CHUNK), slice(left, left + CHUNK))] = window
        return half

    def _describe(self, levels: int) -> dict[str, Any]:
        """Return the description of the image as version 0.5 has it."""
        names = {unit: name for name, unit in UNITS.items()}
        sizes = dict(zip(self.axes.replace("C", ""), self._scale, strict=False))  # what is unknown is 1
        axes: list[dict[str, str]] = []
        for letter in self.axes:
            kind = {"type": TYPES[letter]} if letter in TYPES else {}
            known = {"unit": names.get(self._like.unit, self._like.unit)} if self._like.unit and sizes else {}
            axes.append({"name": letter.lower(), **kind, **(known if letter in "ZYX" else {})})
        datasets = []
        for level in range(levels):
            grown = dict.fromkeys("YX", 2**level)
            scale = [sizes.get(a, 1.0) * grown.get(a, 1) for a in self.axes]
            transforms: list[dict[str, Any]] = [{"type": "scale", "scale": scale}]
            if level and not self._nearest:  # the middle of four pixels is not that of the first
                moved = [sizes.get(a, 1.0) * (grown.get(a, 1) - 1) / 2 for a in self.axes]
                transforms.append({"type": "translation", "translation": moved})
            datasets.append({"path": str(level), "coordinateTransformations": transforms})
        return {"axes": axes, "datasets": datasets, "name": self.path.stem}


def _order(spatial: str, channel: str) -> tuple[str, bool]:
    """Return the axes of an image with the channel where OME-Zarr wants it, and whether OME-Zarr has words for them.

    Time comes first, then the channel or one axis of another kind, then space.
    """
    time = "T" * spatial.startswith("T")
    axes = time + channel + spatial[len(time) :]
    others = axes[len(time) :].rstrip("YX").removesuffix("Z")
    if len(others) <= 1 and "T" not in others:
        return axes, True
    return spatial[:-2] + channel + "YX", False
