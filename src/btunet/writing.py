"""Write masks and probabilities, then read them back and compare before calling them done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import tifffile

from .errors import BtunetError
from .images import Stack
from .reading import read
from .replace import replacing

FORMATS = ("tiff", "png", "zarr")


def write(path: str | Path, mask: np.ndarray, like: Stack) -> list[Path]:
    """Write a mask with the axes and the calibration of its image, and check what was written.

    Parameters
    ----------
    path
        Ends in .tif, .png or .zarr. PNG holds one plane, so a stack becomes ``name_000.png`` and so on.
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
    path = Path(path)
    if tuple(mask.shape) != like.spatial_shape:
        raise ValueError(
            f"the mask is {mask.shape} but {like.name} is {like.spatial_shape}; write it with its own image"
        )
    if mask.dtype.kind not in "bui" or mask.min() < 0:
        raise ValueError(f"the mask holds {mask.dtype} values from {mask.min()}; expected whole numbers from 0")
    mask = np.asarray(mask).astype(np.min_scalar_type(int(mask.max())), copy=False)
    if path.suffix.lower() == ".png" and mask.ndim > 2:
        planes = mask.reshape(-1, *mask.shape[-2:])  # (planes, Y, X)
        targets = [path.with_name(f"{path.stem}_{i:03d}.png") for i in range(len(planes))]
    else:
        planes, targets = mask[None], [path]
    for target, plane in zip(targets, planes, strict=True):
        _write_checked(target, plane, like, like.spatial_axes[-plane.ndim :])
    return targets


def write_probabilities(path: str | Path, probabilities: np.ndarray, like: Stack) -> Path:
    """Write class probabilities, float32 with axes (planes, C, Y, X), and check what was written.

    Raises as `write` does.
    """
    axes = like.spatial_axes[:-2] + "CYX"
    _write_checked(Path(path), probabilities.astype(np.float32, copy=False), like, axes)
    return Path(path)


def _write_checked(path: Path, array: np.ndarray, like: Stack, axes: str) -> None:
    """Write beside the target, compare, then move into place: a failure never harms what was there."""
    writers: dict[str, Callable[[Path, np.ndarray, Stack, str], None]]
    writers = {".tif": _write_tiff, ".tiff": _write_tiff, ".png": _write_png, ".zarr": _write_zarr}
    if path.suffix.lower() not in writers:
        raise ValueError(f"{path.name} should end in one of: {', '.join(writers)}")
    if like.path is not None and path.resolve() == like.path.resolve():
        raise ValueError(f"{path} is the image itself; choose another folder or name")
    with replacing(path) as part:
        writers[path.suffix.lower()](part, array, like, axes)
        _compare(part, array, like, axes)


def _compare(path: Path, array: np.ndarray, like: Stack, axes: str) -> None:
    """Raise unless the file holds the same pixels, type, shape and calibration."""
    back = read(path)
    same = back.data.shape == array.shape and back.data.dtype == array.dtype and np.array_equal(back.data[...], array)
    if not same:
        raise BtunetError(f"{path.name} did not come back as it was written; the disk may be full or faulty")
    scale = _scale_of(like, axes)[-2:]
    if back.scale and scale and not np.allclose(back.scale[-2:], scale, rtol=1e-4):
        raise BtunetError(f"{path.name} came back with a pixel size of {back.scale}, not {scale}")


def _scale_of(like: Stack, axes: str) -> tuple[float, ...]:
    """Return the pixel size along the last spatial axes that are written; () if there is none."""
    spatial = len(axes) - ("C" in axes)
    scale = tuple(abs(size) for size in like.scale[-spatial:])  # a viewer may mirror an axis, a file cannot
    return scale if all(scale) else ()


def _write_tiff(path: Path, array: np.ndarray, like: Stack, axes: str) -> None:
    leading = axes.index("C" if "C" in axes else "Y")
    if leading > 2 or array.dtype not in (np.uint8, np.uint16, np.float32):  # more than ImageJ's TIFF can say
        tifffile.imwrite(path, array, metadata={"axes": axes}, photometric="minisblack", compression="zlib")
        return
    axes = (axes[:leading] if axes[:leading] == "T" else "TZ"[2 - leading :]) + axes[leading:]
    scale = dict(zip([a for a in axes if a != "C"], _scale_of(like, axes), strict=False))
    metadata: dict[str, object] = {"axes": axes}
    if like.unit:
        unit = "micron" if like.unit == "µm" else like.unit
        metadata["unit"] = "".join(c if c.isascii() else f"\\u{ord(c):04X}" for c in unit)  # as ImageJ does
    if "Z" in scale:
        metadata["spacing"] = scale["Z"]
    resolution = (1 / scale["X"], 1 / scale["Y"]) if scale else None
    tifffile.imwrite(path, array, imagej=True, resolution=resolution, metadata=metadata, photometric="minisblack")


def _write_png(path: Path, array: np.ndarray, *_: object) -> None:
    imageio.imwrite(path, array)


def _write_zarr(path: Path, array: np.ndarray, _: Stack, axes: str) -> None:
    import zarr

    chunks = (1,) * (array.ndim - 2) + tuple(min(n, 512) for n in array.shape[-2:])
    target = zarr.create_array(
        path, shape=array.shape, dtype=array.dtype, chunks=chunks, dimension_names=[a.lower() for a in axes]
    )
    target[...] = array
