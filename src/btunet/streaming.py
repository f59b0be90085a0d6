"""Masks and probabilities of images of any size, from file to file: tiles are read, predicted and written by window."""

from __future__ import annotations

import math
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from .errors import BtunetError
from .images import Stack, as_stack
from .model import Model, check_channels
from .patches import Source
from .pyramid import CHUNK
from .replace import explaining, into_place
from .settings import PredictSettings
from .targets import Target, Written, check_target, open_target
from .task import Progress, Task
from .tiles import Predictor, most_likely
from .unfinished import Unfinished, checksum, fingerprint_of_image, fingerprint_of_model


def predict_to(
    model: Model,
    image: Stack | np.ndarray,
    path: str | Path,
    settings: PredictSettings | None = None,
    *,
    probabilities: bool = False,
    share: tuple[int, int] = (0, 1),
) -> Task[list[Path]]:
    """Predict an image into a file, within a memory that depends neither on the planes' number nor on their size.

    What is unfinished is kept in a hidden folder beside the file. An interrupted prediction, even one that was killed,
    goes on from there when it is called again, and gives the same bits; if the model, the image or the tile size
    has changed since, it begins anew. The file appears when it is whole and was read again and found right.

    Parameters
    ----------
    model
        With classes.
    image
        A stack or an array with the model's channels, any size.
    path
        Of the mask; ends in .tif, .png or .zarr, as in `write`.
    settings
        Tile size and memory.
    probabilities
        Also write ``name_probabilities``, float32: .zarr for .zarr, else .tif.
    share
        (k, n): do the k-th of n shares and leave the rest to others who are called at the same time; the call that
        finishes has share (0, 1). With k = n nothing is done but to prepare the files, which must come first.

    Yields
    ------
    Progress
        With each tile. The reply ``True`` stops; what is done is kept for the next call.

    Returns
    -------
    list of Path
        The files written; none if it was stopped, or has done but a share.

    Raises
    ------
    ValueError
        If the model has no classes, the image has other channels than the model, or the path is the image itself.
    BtunetError
        If the image cannot be read or the file cannot be written.

    Examples
    --------
    >>> from btunet import Model, predict_to, read, run
    >>> run(predict_to(Model.load("cells.safetensors"), read("embryo.zarr"), "masks.zarr"))  # doctest: +SKIP
    """
    stack, path, settings = as_stack(image), Path(path), settings or PredictSettings()
    check_target(path, stack)
    predictor = Predictor(model, settings)
    check_channels(model, [stack])
    _check_disk(path, stack, 4 * len(model.classes) * probabilities + 1)
    source = Source(stack, model.normalisation)
    about = {
        "model": fingerprint_of_model(model),
        "image": fingerprint_of_image(stack),
        "tile": settings.tile,
        "probabilities": probabilities,
    }
    unfinished = Unfinished(path, about, stack, CHUNK)
    files = _Files(path, stack, len(model.classes) if probabilities else 0, unfinished.folder)
    with explaining(path):
        if unfinished.is_new or not files.are_there():
            unfinished.discard()
            unfinished.folder.mkdir(parents=True)
            files.open()
            unfinished = Unfinished(path, about, stack, CHUNK)
            unfinished.begin()
        else:
            files.open()
    try:
        done = yield from _fill(predictor, source, files, unfinished, share)
    except (ValueError, BtunetError):
        if share == (0, 1) and unfinished.is_empty:
            unfinished.discard()  # the image is no good, so there is nothing to go on from
            with suppress(OSError):
                path.parent.rmdir()  # where there is anything else, it stays
        raise
    if not done or share != (0, 1):
        return []
    with explaining(path):
        return files.finish(unfinished)


def _check_disk(path: Path, like: Stack, each: int) -> None:
    """Raise BtunetError if so many bytes per pixel do not fit on the disk; zarr is compressed, so nobody knows."""
    folder = next(folder for folder in path.absolute().parents if folder.exists())
    wanted, free = math.prod(like.spatial_shape) * each, shutil.disk_usage(folder).free
    if wanted > free and path.suffix.lower() != ".zarr":
        raise BtunetError(
            f"{path} would take {wanted / 2**30:,.1f} GB but {free / 2**30:,.1f} GB of the disk are free; free some "
            "space, choose another folder, or write zarr"
        )


class _Files:
    """The files of one result: the mask, and if they are wanted the probabilities."""

    def __init__(self, path: Path, like: Stack, classes: int, folder: Path) -> None:
        self.path, self._like, self._folder = path, like, folder
        self._kinds: list[tuple[str, Any, int]] = [(path.name, np.uint8, 0)]  # name, type, channels
        if classes:
            suffix = ".zarr" if path.suffix.lower() == ".zarr" else ".tif"
            self._kinds.append((f"{path.stem}_probabilities{suffix}", np.float32, classes))
        self._targets: list[Target] = []

    def are_there(self) -> bool:
        """Whether all are still in the folder; one may have been moved out of it when it was interrupted."""
        paths = [self._folder / name for name, *_ in self._kinds]
        return all(path.exists() or path.with_suffix(".raw").exists() for path in paths)

    def open(self) -> None:
        """Create the files, or open those there are."""
        self._targets = [open_target(self._folder / name, self._like, *kind) for name, *kind in self._kinds]

    def put(self, plane: int, y: slice, x: slice, found: np.ndarray) -> list[np.ndarray]:
        """Write probabilities (K, y, x) of a window; return what was written to each file."""
        written = [most_likely(found), found][: len(self._kinds)]
        for target, values in zip(self._targets, written, strict=True):
            target.put(plane, y, x, values)
        return written

    def finish(self, unfinished: Unfinished) -> list[Path]:
        """Complete the files, compare them with the journal, and move them to where they belong; the mask last."""
        made = [self._checked(number, unfinished) for number in reversed(range(len(self._kinds)))]
        done = [(file, self.path.with_name(file.name)) for files in made for file in files]
        for file, final in done:
            into_place(file, final)
        unfinished.discard()
        return sorted(final for _, final in done)

    def _checked(self, number: int, unfinished: Unfinished) -> list[Path]:
        """Complete one file, or several, and compare it with the journal."""
        files = self._targets[number].finish()
        back = Written(files, self._like, *self._kinds[number][1:])
        try:
            for plane, y, x, sums in unfinished.entries():
                back.check(plane, y, x, lambda window, expected=sums[number]: checksum(window) == expected)
        except BtunetError:
            unfinished.discard()  # nothing to go on from
            raise
        return files


def _fill(
    predictor: Predictor, source: Source, files: _Files, unfinished: Unfinished, share: tuple[int, int]
) -> Task[bool]:
    """Predict what is missing of a share; return whether nothing is missing any more."""
    shape, planes = source.stack.plane_shape, source.stack.planes
    panels = predictor.panels(source, CHUNK, at_least=-(-share[1] // planes))
    parts = [(plane, panel) for plane in range(planes) for panel in panels]
    parts = [part for number, part in enumerate(parts) if number % share[1] == share[0]]
    tiles = [predictor.tiling.windows(shape, panel, unfinished.first(plane, panel)) for plane, panel in parts]
    total = sum(predictor.tiling.windows(shape, panel) for _, panel in parts)
    step = total - sum(tiles)
    for plane, panel in parts:
        first = unfinished.first(plane, panel)
        if first >= shape[0]:
            continue
        for rows in predictor.rows(source, plane, panel, first, CHUNK):
            if rows:
                with explaining(files.path):
                    unfinished.note(plane, rows[0], panel, files.put(plane, rows[0], panel, rows[1]))
            step += 1
            if (yield Progress("predicting", step, total)) is True and step < total:
                return False
    return True
