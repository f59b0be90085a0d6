"""Write masks and probabilities, then read them back and compare before calling them done."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from .images import Stack
from .replace import explaining, into_place, remove
from .targets import Written, check_target, open_target

FORMATS = {"tiff": ".tif", "png": ".png", "zarr": ".zarr"}


def write(path: str | Path, mask: np.ndarray, like: Stack) -> list[Path]:
    """Write a mask with the axes and the calibration of its image, and check what was written.

    Parameters
    ----------
    path
        Ends in .tif, .png or .zarr. PNG holds one plane, so a stack becomes ``name_000.png`` and so on; zarr becomes an
        OME-Zarr 0.5 image with a pyramid.
    mask
        Integers on the image's spatial axes; saved in the smallest unsigned type that holds them.
    like
        The image the mask belongs to.

    Returns
    -------
    list of Path
        The files written, each read again and found equal.

    Raises
    ------
    ValueError
        If the shapes differ, the kind of file is unknown, or the path is the image itself.
    BtunetError
        If the file cannot be written (disk full, read-only folder) or does not come back as it went.
    """
    if tuple(mask.shape) != like.spatial_shape:
        raise ValueError(
            f"the mask is {mask.shape} but {like.name} is {like.spatial_shape}; write it with its own image"
        )
    if mask.dtype.kind not in "bui" or mask.min() < 0:
        raise ValueError(f"the mask holds {mask.dtype} values from {mask.min()}; expected whole numbers from 0")
    dtype = np.min_scalar_type(int(mask.max()))
    return _write_checked(Path(path), np.asarray(mask).reshape(-1, 1, *mask.shape[-2:]), dtype, like)


def write_probabilities(path: str | Path, probabilities: np.ndarray, like: Stack) -> Path:
    """Write class probabilities, float32 (planes..., C, Y, X), and check what was written.

    In zarr the channel axis comes before Z, where OME-Zarr wants it. Raises as `write` does.
    """
    found = probabilities.astype(np.float32, copy=False)
    return _write_checked(Path(path), found.reshape(-1, *found.shape[-3:]), found.dtype, like, found.shape[-3])[0]


def _write_checked(path: Path, planes: np.ndarray, dtype: np.dtype, like: Stack, channels: int = 0) -> list[Path]:
    """Write (planes, C, Y, X) beside the target, compare, then move into place: a failure harms nothing there.

    The type is changed plane by plane, so that an array on a disk stays there.
    """
    check_target(path, like)
    y, x = (slice(0, n) for n in like.plane_shape)
    place = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with explaining(path):
            place.mkdir(parents=True)
            target = open_target(place / path.name, like, dtype, channels)
            for i, plane in enumerate(planes):
                target.put(i, y, x, plane if channels else plane[0])
            files = target.finish()
            back = Written(files, like, dtype, channels)
            for i, plane in enumerate(planes):
                back.check(i, y, x, lambda window, plane=plane: np.array_equal(window, plane))
            done = [path.with_name(file.name) for file in files]
            for file, final in zip(files, done, strict=True):
                into_place(file, final)
            return done
    finally:
        remove(place)
