"""Images as they come: arrays and files of any axes, seen as a list of planes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .claims import check_room
from .errors import BtunetError

CHANNEL_AXES = "CS"  # C: channels, S: samples of one pixel (RGB)
LEADING_AXES = "QPTZ"  # names given to unnamed axes in front of Y and X, the last ones first
BAND = 2**24  # values of a plane that are held at once where it is only looked through
LARGE = 2**24  # pixels of a plane above which a sample of it is looked at instead of all
GLIMPSES = np.linspace(0, 1, 8)  # where the windows of such a sample begin, along each side
GLIMPSE = 32  # side of each of them, pixels
LIMIT = np.finfo(np.float32).max  # networks compute with such numbers


@dataclass(frozen=True)
class Stack:
    """An image as an ordered list of planes that share one shape; nothing is read before it is asked for.

    Parameters
    ----------
    data
        numpy, dask or zarr array with real numbers.
    axes
        One letter per axis of ``data``: Y before X, at most one channel axis (C or S), anything else counts planes.
    name
        What messages call it.
    scale
        Size of a pixel along every spatial axis, in ``unit``; empty when unknown.
    unit
        Such as ``"µm"``; empty when unknown.
    path
        Where it came from, if from a file.

    Raises
    ------
    ValueError
        If the axes do not fit the data, the image is empty, or its values are not real numbers.
    """

    data: Any = field(repr=False)
    axes: str
    name: str = "image"
    scale: tuple[float, ...] = ()
    unit: str = ""
    path: Path | None = None

    def __post_init__(self) -> None:
        shape, axes = self.data.shape, self.axes
        if len(axes) != len(shape) or not self.spatial_axes.endswith("YX") or len(axes) > len(self.spatial_axes) + 1:
            raise ValueError(
                f"{self.name} has shape {shape} and axes {axes or '(none)'}; expected a letter per axis, Y and X last "
                "of the spatial ones, and at most one channel axis (C or S)"
            )
        if 0 in shape:
            raise ValueError(f"{self.name} is empty: its shape is {shape}")
        if np.dtype(self.data.dtype).kind not in "buif":
            raise ValueError(f"{self.name} holds {self.data.dtype} values; expected real numbers")

    @property
    def channels(self) -> int:
        """Number of channels, 1 for gray."""
        return next((int(n) for a, n in zip(self.axes, self.data.shape, strict=True) if a in CHANNEL_AXES), 1)

    @property
    def spatial_axes(self) -> str:
        """The axes without the channel axis."""
        return "".join(a for a in self.axes if a not in CHANNEL_AXES)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        """Shape without the channel axis: the shape of strokes and masks."""
        return tuple(int(n) for a, n in zip(self.axes, self.data.shape, strict=True) if a not in CHANNEL_AXES)

    @property
    def plane_shape(self) -> tuple[int, int]:
        """Height and width of every plane, pixels."""
        return int(self.data.shape[self.axes.index("Y")]), int(self.data.shape[self.axes.index("X")])

    @property
    def stack_shape(self) -> tuple[int, ...]:
        """Shape of the axes that count planes; () for a single plane."""
        axes = zip(self.axes, self.data.shape, strict=True)
        return tuple(int(n) for a, n in axes if a not in CHANNEL_AXES and a not in "YX")

    @property
    def planes(self) -> int:
        """Number of planes."""
        return int(np.prod(self.stack_shape, dtype=int))

    def read(self, plane: int, y: slice = slice(None), x: slice = slice(None)) -> np.ndarray:
        """Return a window of one plane as stored: (C, y, x), the image's own dtype.

        Raises
        ------
        ValueError
            If a value is NaN or infinite, or no 32-bit float.
        BtunetError
            If it is on a disk and cannot be read.
        """
        sizes = (len(range(*s.indices(n))) for s, n in zip((y, x), self.plane_shape, strict=True))
        check_room(self.name, (self.channels, *sizes), self.data.dtype)
        try:
            window = np.asarray(self.data[index_of(self.axes, self.stack_shape, plane, y, x)])
        except (OSError, RuntimeError, ValueError) as error:  # what is read only now may be broken only here
            raise BtunetError(
                f"{self.name} cannot be read in plane {plane}: {error}; its file may be broken"
            ) from error
        kept = [a for a in self.axes if a in CHANNEL_AXES or a in "YX"]
        channel = next((i for i, a in enumerate(kept) if a in CHANNEL_AXES), None)
        window = window[None] if channel is None else np.moveaxis(window, channel, 0)  # (C, y, x)
        if window.dtype.kind == "f" and not (good := np.abs(window) <= LIMIT).all():
            bad = int((~good).sum())
            raise ValueError(
                f"{self.name} has {bad} values that are NaN or infinite in plane {plane}, or beyond 3e38; replace them "
                "(for instance by the background's value) and try again"
            )
        return window

    def whole(self) -> np.ndarray:
        """Return all values as stored, on all axes.

        Raises
        ------
        BtunetError
            If they do not fit into memory, or are on a disk and cannot be read.
        """
        check_room(self.name, self.data.shape, self.data.dtype)
        try:
            return np.asarray(self.data[...])
        except (OSError, RuntimeError, ValueError) as error:
            raise BtunetError(f"{self.name} cannot be read: {error}; its file may be broken") from error

    def describe(self) -> str:
        """Say how the image is understood, in one line."""
        counted = [f"{n} planes {a.lower()}" for a, n in zip(self.spatial_axes[:-2], self.stack_shape, strict=True)]
        channels = f"{self.channels} channel{'s' * (self.channels > 1)}"
        size = " × ".join(str(n) for n in self.plane_shape)
        pitch = [" × ".join(f"{s:.3g}" for s in self.scale) + f" {self.unit}"] if self.scale and self.unit else []
        return ", ".join([" × ".join(counted) or "1 plane", channels, f"{size} pixels", *pitch, str(self.data.dtype)])


def index_of(axes: str, stack_shape: tuple[int, ...], plane: int, y: slice, x: slice) -> tuple[int | slice, ...]:
    """Return what selects a window of one plane, with all channels, from an array with these axes."""
    rest = iter(np.unravel_index(plane, stack_shape) if stack_shape else ())
    windows = {"Y": y, "X": x, **dict.fromkeys(CHANNEL_AXES, slice(None))}
    return tuple(windows[a] if a in windows else int(next(rest)) for a in axes)


def as_stack(image: Any, axes: str | None = None, name: str = "image") -> Stack:
    """Return ``image`` as a `Stack`.

    Parameters
    ----------
    image
        A `Stack` (returned as it is) or an array whose last two spatial axes are Y and X.
    axes
        One letter per axis; by default every axis in front of Y and X counts planes.
    name
        What messages call it.
    """
    if isinstance(image, Stack):
        return image
    array = image if hasattr(image, "shape") and hasattr(image, "dtype") else np.asarray(image)
    return Stack(array, plain_axes(len(array.shape)) if axes is None else axes, name)


def plain_axes(ndim: int) -> str:
    """Return axes for an array of which nothing is known: leading axes count planes, the last two are Y and X."""
    leading = max(0, ndim - 2)
    return ("Q" * leading + LEADING_AXES)[-leading:] * bool(leading) + "YX"[-min(ndim, 2) :] * bool(ndim)


def bands(stack: Stack, plane: int) -> Iterator[np.ndarray]:
    """Yield a plane from top to bottom in bands (C, y, X) of bounded size."""
    height, width = stack.plane_shape
    rows = max(1, BAND // (width * stack.channels))
    for top in range(0, height, rows):
        yield stack.read(plane, slice(top, min(height, top + rows)))


def glimpses(stack: Stack, plane: int) -> Iterator[np.ndarray]:
    """Yield small windows (C, y, x) that are spread evenly over a plane, without reading the rest."""
    tops, lefts = ([int(at * max(0, side - GLIMPSE)) for at in GLIMPSES] for side in stack.plane_shape)
    for top in tops:
        for left in lefts:
            yield stack.read(plane, slice(top, top + GLIMPSE), slice(left, left + GLIMPSE))


def check_contrast(stacks: Sequence[Stack]) -> None:
    """Look every image through once and refuse those nothing can be learned from.

    Of planes above `LARGE` a sample is looked at; NaN elsewhere in them is refused where it is read.

    Raises
    ------
    ValueError
        If there is no image, one holds NaN or infinity, one is the same value everywhere, or they differ in channels.
    """
    if not stacks:
        raise ValueError("no image was given; open or name at least one")
    for stack in stacks:
        if stack.channels != stacks[0].channels:
            raise ValueError(
                f"{stack.name} has {stack.channels} channels but {stacks[0].name} has {stacks[0].channels}; "
                "train on images with the same channels"
            )
        if not _varies(stack):
            raise ValueError(f"{stack.name} has the same value everywhere; choose an image that shows something")


def _varies(stack: Stack) -> bool:
    """Whether two pixels of one channel differ; float images are read to the end to find NaN, unless they are large."""
    first = stack.read(0, slice(1), slice(1))
    large = stack.plane_shape[0] * stack.plane_shape[1] > LARGE
    must_read_all, varies = np.dtype(stack.data.dtype).kind == "f", False
    for parts in (glimpses, bands) if large else (bands,):
        for plane in range(stack.planes):
            for part in parts(stack, plane) if must_read_all or not varies else ():
                varies = varies or bool((part != first).any())
        if varies:
            break
    return varies


def spread(planes: int, count: int) -> Iterable[int]:
    """Return at most ``count`` plane numbers, evenly spread over all."""
    return sorted({int(i) for i in np.linspace(0, planes - 1, min(count, planes)).round()})
