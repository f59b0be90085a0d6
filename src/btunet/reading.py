"""Read images and labels from TIFF, PNG, JPEG, NIfTI and zarr; find files and pair them by name."""

from __future__ import annotations

import math
import re
import struct
import warnings
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from .claims import check_density, check_file, check_room
from .errors import BtunetError
from .images import Stack
from .nifti import read_nifti
from .omezarr import read_zarr, zarr_root

TIFF = (".tif", ".tiff")
SUFFIXES = (*TIFF, ".png", ".jpg", ".jpeg", ".nii", ".nii.gz", ".zarr")
BROKEN = (  # what the libraries raise over a file that is none
    *(OSError, EOFError, SyntaxError, LookupError, TypeError, AttributeError, AssertionError, ArithmeticError),
    *(RuntimeError, MemoryError, struct.error, zlib.error, Image.DecompressionBombError),
)
PICTURES = ("PNG", "JPEG", "MPO")  # the last is how some cameras call their JPEG
UNITS = {"micron": "µm", "um": "µm", "μm": "µm"}  # ways to write a micrometre, the last with a Greek letter


def suffix(path: Path) -> str:
    """Return the ending that says what kind of file it is, in small letters; what lies in a .zarr folder has its."""
    ending = ".nii.gz" if path.name.lower().endswith(".nii.gz") else path.suffix.lower()
    return ".zarr" if ending not in SUFFIXES and zarr_root(path) else ending


def stem(path: Path) -> str:
    """Return the name without that ending: what images and labels pair by."""
    ending = suffix(path)
    name = (zarr_root(path) or path).name if ending == ".zarr" else path.name
    return name[: -len(ending) or None]


def find(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that files, folders and .zarr folders stand for, in order of their names.

    Raises
    ------
    ValueError
        If a path does not exist, or a folder holds nothing readable.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise ValueError(f"{path} does not exist; check the spelling")
        if path.is_dir() and suffix(path) != ".zarr":
            inside = sorted(p for p in path.iterdir() if suffix(p) in SUFFIXES and not p.name.startswith("."))
            if not inside:
                raise ValueError(f"the folder {path} holds no image; expected files ending in {', '.join(SUFFIXES)}")
            found += inside
        else:
            found.append(path)
    return found


def read(path: str | Path, level: int = 0) -> Stack:
    """Read one file as a `Stack`; zarr and uncompressed TIFF and NIfTI stay on disk until planes are asked for.

    Parameters
    ----------
    path
        A TIFF (multi-page, ImageJ, OME), PNG, JPEG, NIfTI or zarr. A file's unnamed leading axes count planes.
        ``image.zarr/2`` names an array or an image inside a zarr folder, such as a level.
    level
        Which level of an OME-Zarr image, 0 = the full one.

    Raises
    ------
    ValueError
        If the file's kind is not known, or its content is not an image this package can use.
    BtunetError
        If the file cannot be read: broken, cut off, no permission.

    Examples
    --------
    >>> stack = read("embryo.tif")  # doctest: +SKIP
    >>> stack.describe()  # doctest: +SKIP
    '30 planes z, 1 channel, 512 × 512 pixels, uint8'
    """
    path = Path(path)
    kind = suffix(path)
    if kind not in SUFFIXES:
        raise ValueError(f"{path.name} is not a known kind of image; expected a name ending in {', '.join(SUFFIXES)}")
    if level and kind != ".zarr":
        raise ValueError(f"{path.name} has no levels; level {level} was asked for")
    check_file(path)
    readers = {".nii": read_nifti, ".nii.gz": read_nifti, **dict.fromkeys(TIFF, _read_tiff)}
    try:
        return read_zarr(path, level) if kind == ".zarr" else readers.get(kind, _read_picture)(path)
    except BROKEN as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BtunetError(f"{path} cannot be read: {reason}; it may be cut off or not an image") from error


def _read_tiff(path: Path) -> Stack:
    try:
        with tifffile.TiffFile(path) as tiff:
            _check_notes(tiff, path)
            series = tiff.series[0]
            _check_pages(tiff)
            axes = _tiff_axes(series)
            data: Any
            if series.dataoffset is not None and series.dtype is not None:
                data = np.memmap(path, series.dtype.newbyteorder(tiff.byteorder), "r", series.dataoffset, series.shape)
            else:
                for shape in (series.shape, series.keyframe.chunks):
                    check_density(path, shape, series.dtype)
                    check_room(path.name, shape, series.dtype)
                data = series.asarray()
            scale, unit = _tiff_scale(tiff, axes)
    except (tifffile.TiffFileError, ValueError) as error:  # ValueError: a cut-off file cannot be mapped or decoded
        raise BtunetError(f"{path} cannot be read: {error}; it may be cut off or not a TIFF") from error
    return Stack(data, axes, path.name, scale, unit, path)


def _check_notes(tiff: Any, path: Path) -> None:
    """Refuse planes that ImageJ's or OME's own notes claim; tifffile would list them all, or believe in fewer."""
    if tiff.is_ome:
        pixels = _ome_pixels(tiff)
        check_density(path, [int(pixels[f"Size{axis}"]) for axis in "TCZYX"], np.uint8)
    if tiff.is_imagej:
        series = tiff.series[0]
        found = math.prod(n for n, axis in zip(series.shape, series.axes, strict=True) if axis not in "YXS")
        if (images := int((tiff.imagej_metadata or {}).get("images", 1))) > found:
            raise ValueError(f"there should be {images} planes instead of {found}")


def _ome_pixels(tiff: Any) -> dict[str, Any]:
    """Return what OME says of the first image."""
    images = tifffile.xml2dict(tiff.ome_metadata)["OME"]["Image"]
    found: dict[str, Any] = (images[0] if isinstance(images, list) else images)["Pixels"]
    return found


def _check_pages(tiff: Any) -> None:
    """Raise ValueError if the chain of pages ends in nothing; tifffile only logs the pages it misses."""
    pages = len(tiff.pages)
    tiff.filehandle.seek(tiff.pages.next_page_offset)
    if any(tiff.filehandle.read(tiff.tiff.offsetsize)):
        raise ValueError(f"there should be more pages than the {pages} found")


def _tiff_axes(series: Any) -> str:
    """Return the axes of a TIFF series; axes that TIFF leaves unnamed (I, Q) become plain stack axes."""
    axes = str(series.axes)
    if "C" in axes and "S" in axes:
        raise ValueError("it has a channel axis and RGB samples; save one of the two")
    unnamed = [a for a in axes if a in "IQ"]
    free = [a for a in "ZTPQ" if a not in axes]
    for letter, new in zip(reversed(unnamed), free, strict=False):
        i = axes.rindex(letter)
        axes = axes[:i] + new + axes[i + 1 :]
    return axes


def _tiff_scale(tiff: Any, axes: str) -> tuple[tuple[float, ...], str]:
    """Return the pixel size along the spatial axes and its unit, from ImageJ's or OME's own notes."""
    spatial = [a for a in axes if a not in "CS"]
    if tiff.is_imagej:
        notes = tiff.imagej_metadata or {}
        tags = tiff.pages[0].tags
        sizes = {"Z": float(notes.get("spacing", 1) or 1)}
        for axis, tag in (("Y", "YResolution"), ("X", "XResolution")):
            count, length = tags[tag].value if tag in tags else (1, 1)
            sizes[axis] = length / count if count else 1.0
        unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), str(notes.get("unit") or ""))
        return tuple(sizes.get(a, 1.0) for a in spatial), UNITS.get(unit, unit)
    if tiff.is_ome:
        pixels = _ome_pixels(tiff)
        if "PhysicalSizeX" in pixels:
            sizes = {a: float(pixels.get(f"PhysicalSize{a}", 1)) for a in "ZYX"}
            return tuple(sizes.get(a, 1.0) for a in spatial), str(pixels.get("PhysicalSizeXUnit", "µm"))
    return (), ""


def _read_picture(path: Path) -> Stack:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large is not bad
            picture = _pixels(path)
    except ValueError as error:
        raise BtunetError(f"{path} cannot be read: {error}; it may be broken") from error
    if picture.ndim == 3 and picture.shape[-1] in (2, 4):
        picture = picture[..., :-1]  # transparency is not a channel of the sample
    if picture.ndim == 3 and picture.shape[-1] == 1:
        picture = picture[..., 0]
    return Stack(picture, "YXS" if picture.ndim == 3 else "YX", path.name, path=path)


def _pixels(path: Path) -> np.ndarray:
    """Return (Y, X) or (Y, X, samples) of a PNG or JPEG."""
    with Image.open(path, formats=PICTURES) as file:
        if getattr(file, "is_animated", False) and file.format == "PNG":
            raise ValueError("it is an animation; save one picture, or a TIFF of them")
        shape = (*file.size[::-1], len(file.getbands()))
        check_density(path, shape, np.uint8)
        check_room(path.name, shape, np.uint8)
        colours = file.palette.mode if file.palette else {"CMYK": "RGB"}.get(file.mode, file.mode)
        return np.array(file.convert(colours))


def pair(images: Sequence[Path], labels: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair images and labels by file stem; one image and one label always belong together.

    Returns
    -------
    list of (image, label)
        Images without a label are left out: they are allowed, only not used.

    Raises
    ------
    ValueError
        If a label has no image, or two files compete for one stem.
    """
    if len(images) == len(labels) == 1:
        return [(images[0], labels[0])]
    by_stem: dict[str, Path] = {}
    for image in images:
        twin = by_stem.setdefault(stem(image), image)
        if twin is not image:
            raise ValueError(f"{twin.name} and {image.name} share one name; labels pair by it, rename one")
    lonely = [label.name for label in labels if stem(label) not in by_stem]
    if lonely:
        raise ValueError(
            f"{len(lonely)} of {len(labels)} label files have no image of the same name (first: {lonely[0]}); "
            "name each label like its image"
        )
    if len({stem(label) for label in labels}) < len(labels):
        raise ValueError("two label files have the same name; keep one label per image")
    return [(by_stem[stem(label)], label) for label in labels]
