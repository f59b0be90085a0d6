"""Files that are filled window by window: TIFF, PNG and zarr; nothing of them is held in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tifffile
from PIL import Image

from .errors import BtunetError
from .images import Stack
from .pyramid import ZarrTarget
from .reading import TIFF, read

CLASSIC = 2**32 - 2**25  # bytes above which ImageJ's kind of TIFF cannot say where its pages are
IMAGEJ = (np.uint8, np.uint16, np.float32)


class Target(Protocol):
    """A file, or several, that will hold one image; what an interrupted run has put there already stays."""

    def put(self, plane: int, y: slice, x: slice, values: np.ndarray) -> None:
        """Write a window of one plane: (y, x), or (C, y, x) if there are channels; y and x have both ends."""

    def finish(self) -> list[Path]:
        """Write what can only be written at the end; return all files."""


def open_target(path: Path, like: Stack, dtype: Any, channels: int = 0) -> Target:
    """Create or reopen a file for an image on the spatial axes of ``like``.

    Parameters
    ----------
    path
        Ends in .tif, .png or .zarr. PNG holds one plane, so a stack becomes ``name_000.png`` and so on.
    like
        The image it belongs to: axes, planes and calibration.
    dtype
        Type of its numbers.
    channels
        Length of its channel axis; 0 for a mask, which has none.
    """
    kinds: dict[str, Any] = {**dict.fromkeys(TIFF, _Tiff), ".png": _Pictures, ".zarr": ZarrTarget}
    target: Target = kinds[path.suffix.lower()](path, like, np.dtype(dtype), channels, scale_of(like))
    return target


def check_target(path: Path, like: Stack) -> None:
    """Raise ValueError if this is no path for a file that belongs to an image."""
    suffixes = (*TIFF, ".png", ".zarr")
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"{path.name} should end in one of: {', '.join(suffixes)}")
    if like.path is not None and path.resolve() in (like.path.resolve(), *like.path.resolve().parents):
        raise ValueError(f"{path} is the image itself; choose another folder or name")


def files_of(path: Path, like: Stack) -> list[Path]:
    """Return the files that a mask of an image is written to: PNG holds one plane, so a stack takes several."""
    if path.suffix.lower() != ".png" or len(like.spatial_axes) == 2:
        return [path]
    return [path.with_name(f"{path.stem}_{i:03d}.png") for i in range(like.planes)]


def scale_of(like: Stack) -> tuple[float, ...]:
    """Return the pixel size along the spatial axes; () if there is none."""
    scale = tuple(abs(size) for size in like.scale)  # a viewer may mirror an axis, a file cannot
    return scale if all(scale) else ()


class Written:
    """What was written, read again from the disk."""

    def __init__(self, files: list[Path], like: Stack, dtype: Any, channels: int = 0) -> None:
        self._files, self._plane, self._stack = files, 0, read(files[0])
        planes = self._stack.planes * len(files)
        found = (planes, self._stack.plane_shape, self._stack.channels, np.dtype(self._stack.data.dtype))
        if found != (like.planes, like.plane_shape, max(1, channels), np.dtype(dtype)):
            raise _forgotten(files[0])
        scale = scale_of(like)[-2:]
        if self._stack.scale and scale and not np.allclose(self._stack.scale[-2:], scale, rtol=1e-4):
            raise BtunetError(f"{files[0].name} came back with a pixel size of {self._stack.scale}, not {scale}")

    def read(self, plane: int, y: slice, x: slice) -> np.ndarray:
        """Return a window of one plane: (C, y, x)."""
        if len(self._files) == 1:
            return self._stack.read(plane, y, x)
        if plane != self._plane:  # one picture per plane
            self._plane, self._stack = plane, read(self._files[plane])
        return self._stack.read(0, y, x)

    def check(self, plane: int, y: slice, x: slice, same: Any) -> None:
        """Raise BtunetError unless ``same`` says so of a window."""
        if not same(self.read(plane, y, x)):
            raise _forgotten(self._files[0])


def _forgotten(path: Path) -> BtunetError:
    return BtunetError(f"{path.name} did not come back as it was written; the disk may be full or faulty")


class _Raw:
    """Numbers in the order (plane, channel, y, x) from some byte of a file on."""

    def __init__(self, path: Path, like: Stack, dtype: Any, channels: int) -> None:
        self._like, self._raw, self._dtype, self._offset = like, path, dtype, 0
        self._channels = max(1, channels)

    def put(self, plane: int, y: slice, x: slice, values: np.ndarray) -> None:
        """Write a window; with ordinary writes, since a full disk would kill who writes into mapped memory."""
        height, width = self._like.plane_shape
        windows = np.ascontiguousarray(values, self._dtype).reshape(-1, y.stop - y.start, x.stop - x.start)
        whole = x.stop - x.start == width
        with self._raw.open("r+b") as file:
            for channel, window in enumerate(windows):
                first = ((plane * self._channels + channel) * height + y.start) * width + x.start
                for row, part in enumerate((window,) if whole else window):
                    file.seek(self._offset + (first + row * width) * self._dtype.itemsize)
                    file.write(part.data)


class _Tiff(_Raw):
    def __init__(self, path: Path, like: Stack, dtype: Any, channels: int, scale: tuple[float, ...]) -> None:
        super().__init__(path, like, dtype, channels)
        if not path.exists():
            self._create(path, channels, scale)
        with tifffile.TiffFile(path) as tiff:
            self._offset = int(tiff.series[0].dataoffset or 0)

    def _create(self, path: Path, channels: int, scale: tuple[float, ...]) -> None:
        """Write all but the pixels: what ImageJ understands where it can say it, else OME's or tifffile's own way."""
        like, leading = self._like, len(self._like.stack_shape)
        axes = like.spatial_axes[:-2] + "C" * bool(channels) + "YX"
        shape = (*like.stack_shape, *([channels] * bool(channels)), *like.plane_shape)
        sizes = dict(zip(like.spatial_axes, scale, strict=False))
        size = int(np.prod(shape)) * self._dtype.itemsize
        how: dict[str, Any] = {"metadata": {"axes": axes}, "bigtiff": size > CLASSIC, "photometric": "minisblack"}
        if size > CLASSIC and set(axes) <= set("TZCYX"):
            how |= {"ome": True, "metadata": {"axes": axes, **_ome_sizes(sizes, like.unit)}}
        elif size <= CLASSIC and leading <= 2 and self._dtype in IMAGEJ and shape[-1] > 1:  # tifffile fails at 1
            axes = (axes[:leading] if axes[:leading] == "T" else "TZ"[2 - leading :]) + axes[leading:]
            sizes = dict(zip(axes.replace("C", ""), scale, strict=False))
            how |= {"imagej": True, "metadata": {"axes": axes, **_imagej_sizes(sizes, like.unit)}}
            how["resolution"] = (1 / sizes["X"], 1 / sizes["Y"]) if sizes else None
        tifffile.imwrite(path, None, shape=shape, dtype=self._dtype, **how)

    def finish(self) -> list[Path]:
        return [self._raw]


def _imagej_sizes(sizes: dict[str, float], unit: str) -> dict[str, Any]:
    named = "micron" if unit == "µm" else unit
    told = "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in named)  # as ImageJ does
    return ({"unit": told} if told else {}) | ({"spacing": sizes["Z"]} if "Z" in sizes else {})


def _ome_sizes(sizes: dict[str, float], unit: str) -> dict[str, Any]:
    known = {f"PhysicalSize{a}": size for a, size in sizes.items() if a in "ZYX"}
    return known | ({f"{name}Unit": unit for name in known} if unit else {})


class _Pictures(_Raw):
    """PNG is written in one go: the pixels wait in a file of their own."""

    def __init__(self, path: Path, like: Stack, dtype: Any, channels: int, _: tuple[float, ...]) -> None:
        super().__init__(path.with_suffix(".raw"), like, dtype, channels)
        self._path = path
        with self._raw.open("ab") as file:
            file.truncate(like.planes * int(np.prod(like.plane_shape)) * dtype.itemsize)

    def finish(self) -> list[Path]:
        planes = np.memmap(self._raw, self._dtype, "r", 0, (self._like.planes, *self._like.plane_shape))
        files = files_of(self._path, self._like)
        for file, plane in zip(files, planes, strict=True):
            Image.fromarray(np.ascontiguousarray(plane)).save(file, "PNG")
        return files
