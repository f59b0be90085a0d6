"""Read images in zarr: plain arrays, and OME-Zarr 0.4 and 0.5 at any level."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .claims import check_room
from .errors import BtunetError
from .images import CHANNEL_AXES, LEADING_AXES, Stack, plain_axes

UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "centimeter": "cm", "meter": "m", "angstrom": "Å"}
TYPES = {"T": "time", "C": "channel", "Z": "space", "Y": "space", "X": "space"}
MOST_EMPTY = 2**40  # values an array may have without storing any: zarr keeps nothing of what is 0 everywhere
LETTERS = {"time": "T", "channel": "C"}


def zarr_root(path: Path) -> Path | None:
    """Return the .zarr folder that a path names or lies in, if there is one."""
    return next((folder for folder in (path, *path.parents) if folder.suffix.lower() == ".zarr"), None)


def read_zarr(path: Path, level: int = 0) -> Stack:
    """Read an array, or one level of an image, as a `Stack`; nothing but metadata is read before it is asked for."""
    import zarr

    try:
        node: Any = zarr.open(path, mode="r")
        image: Mapping[str, Any] | None
        array: Any
        if isinstance(node, zarr.Array):
            image, dataset = _above(path)
            array, levels, where = node, 1, path
        else:
            group, image = _inside(path, node)
            datasets = [{"path": "0"}] if image is None else image["datasets"]  # a group that says nothing of itself
            dataset, levels = datasets[level] if 0 <= level < len(datasets) else None, len(datasets)
            array = group.get(str(dataset["path"])) if dataset else None  # zarr lets no name lead out of the group
            where = path if level == 0 or not dataset else path / group.path / dataset["path"]
        if not 0 <= level < levels:
            raise BtunetError(f"{path} has {levels} level{'s' * (levels > 1)}, from 0; there is no level {level}")
        if not isinstance(array, zarr.Array):
            raise BtunetError(f"{path} cannot be read: it is a zarr group without an image; name the folder of one")
        if math.prod(array.shape) > MOST_EMPTY and not _stores_pixels(path):
            raise BtunetError(f"{path} claims to hold {' × '.join(map(str, array.shape))} values but stores none")
        if 0 in array.chunks:
            raise ValueError(f"chunks of {array.chunks}")
        check_room(path.name, array.chunks, array.dtype)  # a whole one is unpacked for every window
        if image is not None and dataset:
            axes, (scale, unit) = _axes(image["axes"], array.ndim), _scale(image, dataset, array.ndim)
        else:
            names = getattr(array.metadata, "dimension_names", None) or ()
            axes, scale, unit = "".join((n or "q")[0].upper() for n in names) or plain_axes(array.ndim), (), ""
    except (ValueError, AttributeError, KeyError, TypeError) as error:  # what zarr and we make of what is none
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:150]
        raise BtunetError(f"{path} cannot be read: its metadata are broken ({reason})") from error
    return Stack(array, axes, where.name if where == path else f"{path.name}, level {level}", scale, unit, where)


def _stores_pixels(path: Path) -> bool:
    """Whether there is any file that is not metadata."""
    return any(f.is_file() and f.name != "zarr.json" and not f.name.startswith(".z") for f in path.rglob("*"))


def _inside(path: Path, group: Any) -> tuple[Any, Mapping[str, Any] | None]:
    """Return the group of an image and its description; one image in a folder, as bioformats2raw wraps it, is meant."""
    image = _description(group)
    if image is not None:
        return group, image
    images = {name: found for name, inner in sorted(group.groups()) if (found := _description(inner)) is not None}
    if len(images) > 1:
        raise BtunetError(f"{path} holds {len(images)} images; name one of them, such as {path / next(iter(images))}")
    return next(((group[name], image) for name, image in images.items()), (group, None))


def _above(path: Path) -> tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]:
    """Return the description of the image that an array is a level of, and of the level, if there is one."""
    import zarr

    root = zarr_root(path) or path
    for folder in path.parents:
        if not folder.is_relative_to(root):
            break
        image = _description(zarr.open(folder, mode="r")) if _is_zarr(folder) else None
        for dataset in image["datasets"] if image else ():
            if folder / dataset["path"] == path:
                return image, dataset
    return None, None


def _is_zarr(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zarray"))


def _description(group: Any) -> Mapping[str, Any] | None:
    """Return what a group says of the image in it: under "ome" in version 0.5, bare in 0.4."""
    attributes = group.attrs.asdict()
    found = attributes.get("ome", attributes).get("multiscales")
    return found[0] if found else None


def _axes(described: list[Any], ndim: int) -> str:
    """Return one letter per axis; what is neither time, channel nor space gets one that is free."""
    if len(described) != ndim:
        raise ValueError(f"{len(described)} axes are described but the array has {ndim}")
    axes = [LETTERS.get(str(axis.get("type")), str(axis["name"])[:1].upper()) for axis in described]
    for i, axis in enumerate(described):
        if axis.get("type") not in TYPES.values() and str(axis["name"]).upper() not in TYPES:
            axes[i] = "P" if "P" not in axes[:i] else LEADING_AXES[0]
    return "".join(axes)


def _scale(image: Mapping[str, Any], dataset: Mapping[str, Any], ndim: int) -> tuple[tuple[float, ...], str]:
    """Return the size of a pixel along the spatial axes and its unit; () if nothing is known of it."""
    scale = np.ones(ndim)
    for transform in (*dataset.get("coordinateTransformations", ()), *image.get("coordinateTransformations", ())):
        if transform["type"] == "scale" and "scale" in transform:
            factors = np.asarray(transform["scale"], float)
            if factors.shape != (ndim,) or not np.isfinite(factors).all():
                raise ValueError(f"a scale is {transform['scale']}; expected {ndim} numbers")
            scale = scale * factors
    unit = str(image["axes"][-1].get("unit") or "")
    letters = _axes(image["axes"], ndim)
    spatial = tuple(float(s) for s, a in zip(scale, letters, strict=True) if a not in CHANNEL_AXES)
    return (spatial if unit or (scale != 1).any() else ()), UNITS.get(unit, unit)
