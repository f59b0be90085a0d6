"""NIfTI, the format of medical volumes: (X, Y, Z, T, channels) on disk, the same bytes as (C, T, Z, Y, X) here."""

from __future__ import annotations

import gzip
from math import isfinite, prod
from pathlib import Path
from typing import Any

import numpy as np

from .claims import check_density, check_room
from .errors import BtunetError
from .images import Stack

UNITS = {"meter": "m", "mm": "mm", "micron": "µm"}
AXES = "XYZTC"  # in the order of the file
MOST_BEHIND = 2**20  # bytes after the voxels, which nobody needs


class Scaled:
    """An array times a slope plus an intercept, worked out for the windows that are asked for."""

    def __init__(self, raw: np.ndarray, slope: float, intercept: float) -> None:
        self.raw, self.slope, self.intercept = raw, slope, intercept
        self.shape, self.ndim = raw.shape, raw.ndim
        self.dtype = np.result_type(raw.dtype, np.float32).newbyteorder("=")

    def __getitem__(self, index: Any) -> np.ndarray:
        slope, intercept = self.dtype.type(self.slope), self.dtype.type(self.intercept)
        with np.errstate(over="ignore", invalid="ignore"):  # whoever reads refuses what is infinite
            window: np.ndarray = np.asarray(self.raw[index], self.dtype) * slope + intercept
        return window


def read_nifti(path: Path) -> Stack:
    """Read a .nii or .nii.gz; voxels stay in the order of the file, whatever its orientation.

    An uncompressed file stays on disk until its planes are asked for. Integers stay integers unless the header
    scales them.

    Raises
    ------
    BtunetError
        If nibabel is missing, the file is broken or cut off, or it has more than five axes.
    """
    try:
        import nibabel
        from nibabel.filebasedimages import ImageFileError
        from nibabel.spatialimages import HeaderDataError
    except ImportError:
        raise BtunetError(
            f"{path.name} is NIfTI and needs nibabel to be read; pip install napari-btunet[nifti]"
        ) from None
    try:
        file: Any = nibabel.load(path)
        stored = file.dataobj
        kept = [i for i, n in enumerate(stored.shape) if i < 3 or n > 1]
        if kept and kept[-1] >= len(AXES):
            raise BtunetError(f"{path} cannot be read: its shape is {stored.shape}; expected {', '.join(AXES)} at most")
        data = _map(path, stored, tuple(stored.shape[i] for i in reversed(kept)))
    except (ImageFileError, HeaderDataError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BtunetError(f"{path} cannot be read: {reason}; it may be cut off or not NIfTI") from error
    axes = "".join(AXES[i] for i in reversed(kept)) + "S" * (data.ndim > len(kept))
    if (stored.slope, stored.inter) != (1, 0):
        data = Scaled(data, stored.slope, stored.inter)
    return Stack(data, axes, path.name, *_scale(file.header, axes), path)


def _map(path: Path, stored: Any, shape: tuple[int, ...]) -> Any:
    """Return the values with the axes reversed: what is first in the file runs fastest, so nothing is copied."""
    dtype, colours = stored.dtype, len(stored.dtype.names or ())
    if colours:
        dtype, shape = dtype[0], (*shape, colours)
    if path.suffix.lower() == ".gz":
        check_density(path, shape, dtype)
        check_room(path.name, shape, dtype)
        with gzip.open(path) as file:
            file.seek(stored.offset)
            data = np.frombuffer(file.read(prod(shape) * dtype.itemsize), dtype, prod(shape)).reshape(shape)
            if len(file.read(MOST_BEHIND)) == MOST_BEHIND:  # reads to the end, where the checksum is
                raise ValueError("much more is in it than its voxels")
    else:
        data = np.memmap(path, dtype, "r", stored.offset, shape)
    return data[..., :3] if colours else data  # transparency is not a channel


def _scale(header: Any, axes: str) -> tuple[tuple[float, ...], str]:
    """Return the size of a voxel along the spatial axes and its unit; a step in time is no length, so it is 1."""
    sizes = dict(zip("XYZ", (float(size) for size in header.get_zooms()), strict=False))
    unit = UNITS.get(header.get_xyzt_units()[0], "")
    if not all(size > 0 and isfinite(size) for size in sizes.values()):
        return (), ""
    return tuple(sizes.get(a, 1.0) for a in axes if a not in "CS"), unit
