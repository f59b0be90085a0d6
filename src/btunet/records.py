"""What a project knows of an image: where it lies, what it looked like when it was painted."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from .images import CHANNEL_AXES, Stack, index_of, spread

LOOKED_AT = 8, 512  # planes, and pixels along each side, that a digest looks at


@dataclass(frozen=True)
class ImageRecord:
    """What a project knows of an image.

    Parameters
    ----------
    path
        Its file, as it is written in the project: from the project's folder if it lies beside it, with "/" between
        names; empty if it has none.
    name
        What the window called it.
    axes, shape, dtype
        Of its values, as in `Stack`.
    digest
        Of a sample of its values (`digest`); empty if that was not looked at.
    is_aside
        Whether its strokes are not used: the file has other values now, and other strokes.
    """

    path: str
    name: str
    axes: str
    shape: tuple[int, ...]
    dtype: str
    digest: str = ""
    is_aside: bool = False

    @classmethod
    def of(cls, stack: Stack, folder: Path) -> ImageRecord:
        """Return what a project in a folder is to know of an image."""
        path, shape = written(stack.path, folder) if stack.path else "", tuple(int(n) for n in stack.data.shape)
        return cls(path, stack.name, stack.axes, shape, str(np.dtype(stack.data.dtype)), digest(stack))

    @classmethod
    def checked(cls, entry: Any) -> ImageRecord:
        """Return an entry of a project's list; KeyError, TypeError, ValueError or OverflowError if it cannot be one."""
        axes, shape = str(entry["axes"]), tuple(int(n) for n in entry["shape"])
        if "\0" in str(entry["path"]):
            raise ValueError("an image's path holds a zero")
        if len(axes) != len(shape) or not axes.replace("C", "").replace("S", "").endswith("YX") or min(shape) < 1:
            raise ValueError(f"an image has shape {shape} and axes {axes}")
        return cls(
            str(entry["path"]),
            str(entry["name"]),
            axes,
            shape,
            str(entry["dtype"]),
            str(entry.get("digest", "")),
            entry.get("is_aside") is True,
        )

    def fits(self, stack: Stack) -> bool:
        """Return whether strokes on the one can lie on the other."""
        return (
            tuple(n for a, n in zip(self.axes, self.shape, strict=True) if a not in CHANNEL_AXES) == stack.spatial_shape
        )


def absolute(path: Path) -> Path:
    """Return a path from the root, without ".." in it."""
    return Path(os.path.abspath(path))  # noqa: PTH100 (resolve would follow links)


def digest(stack: Stack) -> str:
    """Return a checksum of an image's axes, shape and type, and of a sample of its values.

    Arrays in memory or mapped from a file: up to 512 × 512 values of each of 8 planes, spread evenly. Others are read
    by chunks, which takes time, so they have none: "".
    """
    if not isinstance(stack.data, np.ndarray):
        return ""
    planes, side = LOOKED_AT
    about = hashlib.sha256(f"{stack.axes} {stack.data.shape} {stack.data.dtype.str}".encode())
    y, x = (slice(None, None, max(1, n // side)) for n in stack.plane_shape)
    for plane in spread(stack.planes, planes):
        about.update(np.ascontiguousarray(stack.data[index_of(stack.axes, stack.stack_shape, plane, y, x)]).tobytes())
    return about.hexdigest()


def written(path: Path, folder: Path) -> str:
    """Return a path as it is written in a project: relative if it stays valid when both are moved together."""
    path = absolute(path)
    if path.is_relative_to(folder):
        return path.relative_to(folder).as_posix()
    if path.is_relative_to(folder.parent):
        return str(PurePosixPath("..") / path.relative_to(folder.parent).as_posix())
    return str(path)
