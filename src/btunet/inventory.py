"""The objects of mask files: numbered, written beside a table of their sizes, from file to file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np

from .images import Stack
from .measures import Row, measure_objects, write_table
from .objects import number_objects
from .reading import pair, read, stem
from .replace import explaining
from .settings import ObjectSettings
from .task import Task, titled
from .writing import FORMATS, write

TABLE = "objects.csv"


def objects_of_files(
    masks: Sequence[str | Path],
    out: str | Path,
    settings: ObjectSettings | None = None,
    *,
    images: Sequence[str | Path] = (),
    classes: Sequence[str] = (),
    format: str = "tiff",
) -> Task[list[Path]]:
    """Write the objects of every mask as ``name_objects`` into a folder, and measure all of them in one table there.

    A plane, or a volume along Z, is held in memory at a time.

    Parameters
    ----------
    masks
        Mask files: 0 = background, 1..K = classes.
    out
        The folder.
    settings
        What is an object.
    images
        Their images, of the same names: brightness is measured in them, and axes and pixel size are theirs.
    classes
        Names, background first.
    format
        tiff or zarr.

    Yields
    ------
    Progress
        With each plane or volume. The reply ``True`` stops; the table holds the files that are done.

    Returns
    -------
    list of Path
        The files written, the table last.

    Raises
    ------
    ValueError
        If masks and images do not belong together, or a file holds no mask.
    """
    folder, settings = Path(out), settings or ObjectSettings()
    found = [Path(mask) for mask in masks]
    pairs = pair([Path(image) for image in images], found) if images else [(None, mask) for mask in found]
    names = [stem(mask) for _, mask in pairs]
    if twins := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"several masks are called {twins[0]}; write their objects into different folders")
    made, rows = list[Path](), list[Row]()
    for number, (source, file) in enumerate(pairs, 1):
        title = f" {number}/{len(pairs)}" if len(pairs) > 1 else ""
        image = read(source) if source else None
        (files, measured), stopped = yield from titled(
            _one(_like(read(file), image), image, folder / f"{stem(file)}_objects{FORMATS[format]}", settings, classes),
            title,
        )
        made += files
        rows += measured
        if stopped:
            break
    return [*made, write_table(folder / TABLE, rows)]


def _like(mask: Stack, image: Stack | None) -> Stack:
    """Return a mask with the axes and the pixel size of its image."""
    if image is None:
        return mask
    if mask.channels != 1 or mask.spatial_shape != image.spatial_shape:
        raise ValueError(
            f"{mask.name} is {mask.data.shape} but {image.name} is {image.spatial_shape}; expected one shape"
        )
    return replace(mask, axes=image.spatial_axes, scale=image.scale, unit=image.unit)


def _one(
    mask: Stack, image: Stack | None, path: Path, settings: ObjectSettings, classes: Sequence[str]
) -> Task[tuple[list[Path], list[Row]]]:
    """Make, write and measure the objects of one mask; nothing is written if it is stopped before they are made."""
    with explaining(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryFile(dir=path.parent) as scratch:

        def keep(plane: int, numbers: np.ndarray) -> None:
            with explaining(path):
                scratch.seek(plane * numbers.nbytes)
                scratch.write(np.ascontiguousarray(numbers).data)

        _, stopped = yield from titled(number_objects(mask, settings, keep), "")
        if stopped:
            return [], []
        scratch.flush()
        numbers = np.memmap(scratch, np.uint32, "r", 0, mask.spatial_shape)
        files = write(path, numbers, mask)
        measuring = measure_objects(replace(mask, data=numbers), mask, image, settings, classes)
        rows, stopped = yield from titled(measuring, "")
    return files, [] if stopped else rows
