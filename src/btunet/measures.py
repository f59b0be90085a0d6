"""How large, where, how bright: one row for every object, and the table of all as a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from skimage.measure import regionprops_table

from .images import Stack
from .objects import read_mask, spacing_of, volumes
from .replace import replacing
from .settings import ObjectSettings
from .task import Progress, Task

Row = Mapping[str, Any]
FIRST = ("image", "label", "class", "class_name")  # columns that every table has
NO_UNITS = ("", "pixel", "pixels", "px")
FLAT = ("eccentricity", "solidity")  # scikit-image has them for planes only


def measure_objects(
    objects: Stack,
    mask: Stack,
    image: Stack | None = None,
    settings: ObjectSettings | None = None,
    classes: Sequence[str] = (),
) -> Task[list[Row]]:
    """Measure every object, plane by plane or volume by volume as `make_objects` made them.

    Parameters
    ----------
    objects
        Numbers of objects, 0 = none; its pixel size is used if its unit is known.
    mask
        0 = background, 1..K = classes; an object has the one that most of its pixels have.
    image
        What is measured in them: the mean of every channel.
    settings
        Those the objects were made with.
    classes
        Names, background first; by default "class 1" and so on.

    Yields
    ------
    Progress
        With each plane or volume. The reply ``True`` stops.

    Returns
    -------
    list of rows
        Column → value. Positions count from 0; ``docs/interaction.md`` lists the columns.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    for other in (mask, image or mask):
        if other.spatial_shape != objects.spatial_shape:
            raise ValueError(
                f"the objects are {objects.spatial_shape} but {other.name} is {other.spatial_shape}; they belong to "
                "another image"
            )
    rows: list[Row] = []
    groups = list(volumes(objects, settings or ObjectSettings()))
    for done, planes in enumerate(groups, 1):
        numbers = read_mask(objects, planes)
        if numbers.any():
            table = measure(
                numbers, read_mask(mask, planes), _channels(image, planes) if image else None, *_pixel(objects, planes)
            )
            rows += _rows(table, (image or mask).name, classes, _place(objects, planes))
        if (yield Progress("measuring", done, len(groups))) is True:
            break
    return rows


def measure(
    objects: np.ndarray,
    mask: np.ndarray,
    channels: np.ndarray | None = None,
    spacing: Sequence[float] = (),
    unit: str = "pixels",
) -> dict[str, list[Any]]:
    """Return column → one value for each object of a plane or a volume, in the order of their numbers.

    Parameters
    ----------
    objects, mask
        (Y, X) or (Z, Y, X) integers.
    channels
        (C, Y, X) or (C, Z, Y, X), what is measured in them.
    spacing, unit
        Size of a pixel along each axis, and of what.
    """
    known, local = np.unique(np.append(objects.dtype.type(0), objects), return_inverse=True)  # no gaps
    local = local[1:].reshape(objects.shape)
    sizes = tuple(spacing) or (1.0,) * objects.ndim
    wanted = ["num_pixels", "area", "centroid", "equivalent_diameter_area"]
    wanted += FLAT if objects.ndim == 2 else ["bbox"]
    wanted += ["intensity_mean"] if channels is not None else []
    bright = np.moveaxis(channels, 0, -1) if channels is not None else None
    found = regionprops_table(local, bright, wanted, spacing=sizes)
    table = {"label": known[1:], "class": _classes(local, mask)}
    if objects.ndim == 3:
        table |= {"z_first": found["bbox-0"], "z_last": found["bbox-3"] - 1}
    size, power = ("area", "2") if objects.ndim == 2 else ("volume", "3")
    table[f"{size}_pixels"] = found["num_pixels"]
    if unit != "pixels":
        table[f"{size}_{unit}{power}"] = found["area"]
    for i, axis in enumerate("zyx"[-objects.ndim :]):
        table[f"centroid_{axis}_pixels"] = found[f"centroid-{i}"] / sizes[i]
    table[f"equivalent_diameter_{unit}"] = found["equivalent_diameter_area"]
    table |= {name: found[name] for name in FLAT if name in found}
    for i in range(len(channels) if channels is not None else 0):
        table[f"mean_intensity_{i + 1}"] = found[f"intensity_mean-{i}"]
    return {name: values.tolist() for name, values in table.items()}


def write_table(path: str | Path, rows: Sequence[Row]) -> Path:
    """Write rows as CSV (UTF-8, a comma between columns); what a row does not have stays empty.

    Raises
    ------
    ValueError
        If the path does not end in .csv.
    BtunetError
        If it cannot be written; an old file is then as it was.
    """
    path = Path(path)
    if path.suffix.lower() != ".csv":
        raise ValueError(f"{path.name} should end in .csv")
    columns = dict.fromkeys((*FIRST, *(name for row in rows for name in row)))
    with replacing(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, list(columns), restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def _classes(local: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the class that most pixels of each object have, 0 only where all are background."""
    width = int(mask.max()) + 1
    pairs = local.ravel() * width + mask.ravel().astype(np.int64)
    votes = np.bincount(pairs, minlength=(int(local.max()) + 1) * width)
    votes = votes.reshape(-1, width)[1:]  # (N, K + 1)
    votes[:, 0] = 0  # holes that were filled
    most: np.ndarray = votes.argmax(1)
    return most


def _rows(table: Mapping[str, list[Any]], name: str, classes: Sequence[str], place: Row) -> Iterator[Row]:
    """Yield one row for each object, with what all have in common."""
    for values in zip(*table.values(), strict=True):
        row = dict(zip(table, values, strict=True))
        kind = row["class"]
        named = classes[kind] if kind < len(classes) else f"class {kind}" if kind else "background"
        start = {"image": name, "label": row["label"], "class": kind, "class_name": named}
        yield {**start, **place, **{column: value for column, value in row.items() if column not in start}}


def _channels(image: Stack, planes: Sequence[int]) -> np.ndarray:
    """Return one plane (C, Y, X) or several (C, Z, Y, X)."""
    values = np.stack([image.read(plane) for plane in planes], 1)
    return values[:, 0] if len(planes) == 1 else values


def _pixel(stack: Stack, planes: Sequence[int]) -> tuple[tuple[float, ...], str]:
    """Return the size of a pixel along (Z,) Y and X and its unit, in letters every program reads."""
    unit = stack.unit.replace("µ", "u")
    if not stack.scale or unit.lower() in NO_UNITS:
        return (), "pixels"
    return spacing_of(stack, len(planes)), unit


def _place(stack: Stack, planes: Sequence[int]) -> Row:
    """Return where planes lie along the axes that count them; objects of a volume lie somewhere along z."""
    position = np.unravel_index(planes[0], stack.stack_shape) if stack.stack_shape else ()
    place = dict(zip(stack.spatial_axes[:-2].lower(), map(int, position), strict=True))
    return place if len(planes) == 1 else {axis: at for axis, at in place.items() if axis != "z"}
