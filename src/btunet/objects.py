"""Masks of classes become objects with numbers: holes filled, the smallest left out, touching ones split."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import relabel_sequential, watershed

from .images import Stack, as_stack
from .labels import MOST_CLASSES
from .settings import ObjectSettings
from .task import Progress, Task

Keep = Callable[[int, np.ndarray], None]  # plane, (Y, X) numbers of objects


def make_objects(mask: Stack | np.ndarray, settings: ObjectSettings | None = None) -> Task[np.ndarray]:
    """Give every object of a mask a number of its own, 1 and up through all planes.

    Planes along an axis Z are one volume, whose objects reach through them, unless ``settings.plane_by_plane``; any
    other axis (T, or that of separate pictures) connects nothing. Memory: 30 bytes for each pixel of a plane, or of a
    volume, which is worked on as a whole; splitting takes 100 more for each pixel of the box around the largest object.

    Parameters
    ----------
    mask
        0 = background, 1..K = classes; with its pixel size, if the planes of its volumes lie further apart than pixels.
    settings
        What is an object.

    Yields
    ------
    Progress
        With each plane or volume. The reply ``True`` stops; planes not reached stay 0.

    Returns
    -------
    ndarray
        The shape of the mask, the smallest unsigned integers that hold the numbers, 0 = no object.

    Raises
    ------
    ValueError
        If the mask has channels, or holds fractions, negative numbers or more values than there can be classes.

    Examples
    --------
    >>> from btunet import ObjectSettings, make_objects, run
    >>> run(make_objects(np.array([[1, 1, 0, 1], [0, 0, 0, 1]]), ObjectSettings(smallest=2)))
    array([[1, 1, 0, 2],
           [0, 0, 0, 2]], dtype=uint8)
    """
    stack = as_stack(mask, name="mask")
    found = np.zeros((stack.planes, *stack.plane_shape), np.uint32)

    def keep(plane: int, numbers: np.ndarray) -> None:
        found[plane] = numbers

    count = yield from number_objects(stack, settings or ObjectSettings(), keep)
    return found.astype(np.min_scalar_type(count)).reshape(stack.spatial_shape)


def number_objects(mask: Stack, settings: ObjectSettings, keep: Keep) -> Task[int]:
    """Do as `make_objects`, hand every plane to ``keep`` when it is done, and return how many objects there are."""
    groups = list(volumes(mask, settings))
    count = 0
    for done, planes in enumerate(groups, 1):
        numbers = instances(read_mask(mask, planes), settings, spacing_of(mask, len(planes)))
        for plane, part in zip(planes, numbers.reshape(len(planes), *mask.plane_shape), strict=True):
            keep(plane, np.where(part, part.astype(np.uint32) + np.uint32(count), np.uint32(0)))
        count += int(numbers.max())
        if (yield Progress("making objects", done, len(groups))) is True:
            break
    return count


def volumes(stack: Stack, settings: ObjectSettings) -> Iterator[list[int]]:
    """Yield the numbers of the planes that are connected: those along Z, else every plane alone."""
    planes, axes = np.arange(stack.planes).reshape(stack.stack_shape), stack.spatial_axes[:-2]
    together = "Z" in axes and not settings.plane_by_plane
    along_z = np.moveaxis(planes, axes.index("Z"), -1) if together else planes[..., None]
    yield from along_z.reshape(-1, along_z.shape[-1]).tolist()


def spacing_of(stack: Stack, planes: int) -> tuple[float, ...]:
    """Return the pixel size along (Z,) Y and X of so many connected planes; ones if it is unknown."""
    sizes = dict(zip(stack.spatial_axes, np.abs(stack.scale).tolist(), strict=False))
    return tuple(sizes.get(axis) or 1.0 for axis in "ZYX"[planes == 1 :])


def read_mask(mask: Stack, planes: list[int]) -> np.ndarray:
    """Return the classes of one plane (Y, X) or of several (Z, Y, X), checked."""
    if mask.channels != 1:
        raise ValueError(f"{mask.name} has {mask.channels} channels; a mask is a gray image whose values are classes")
    values = np.stack([mask.read(plane)[0] for plane in planes])  # (Z, Y, X)
    if values.dtype.kind not in "bui" or values.min() < 0:
        raise ValueError(f"{mask.name} holds {values.dtype} values from {values.min()}; expected whole numbers from 0")
    return (values.astype(np.uint8) if values.dtype.kind == "b" else values).reshape(values.shape[len(planes) == 1 :])


def instances(mask: np.ndarray, settings: ObjectSettings, spacing: tuple[float, ...] = ()) -> np.ndarray:
    """Return the objects of one plane or volume, numbered from 1.

    Parameters
    ----------
    mask
        (Y, X) or (Z, Y, X) integers, 0 = background, 1..K = classes. Pixels of one class that touch, also at a corner,
        are one object; those of two classes never are.
    settings
        What is an object.
    spacing
        Pixel size along every axis; by default they are alike. Splitting measures in pixels along X.

    Returns
    -------
    ndarray
        The smallest unsigned integers that hold the numbers.

    Raises
    ------
    ValueError
        If there are more values than there can be classes.
    """
    if len(values := np.unique(mask)) > MOST_CLASSES:
        raise ValueError(f"the mask holds {len(values)} values, so it seems to number objects already")
    found = label(_filled(mask) if settings.fill_holes else mask, background=0)  # int64
    large = np.bincount(found.ravel()) >= settings.smallest
    large[0] = False
    found = (np.cumsum(large) * large)[found]
    if settings.split:
        _split(found, settings, np.divide(spacing or (1.0,) * mask.ndim, spacing[-1] if spacing else 1.0))
    numbers: np.ndarray = found.astype(np.min_scalar_type(int(found.max())))
    return numbers


def _filled(mask: np.ndarray) -> np.ndarray:
    """Return a mask whose holes have the class that surrounds them: only one, and not the border of the image."""
    holes, count = ndimage.label(mask == 0)
    if not count:
        return mask
    cross, numbers = ndimage.generate_binary_structure(mask.ndim, 1), np.arange(1, count + 1)
    most = ndimage.maximum(ndimage.maximum_filter(mask, footprint=cross), holes, numbers).astype(mask.dtype)
    others = np.where(mask == 0, np.iinfo(mask.dtype).max, mask)
    least = ndimage.minimum(ndimage.minimum_filter(others, footprint=cross), holes, numbers).astype(mask.dtype)
    classes = np.concatenate([[0], np.where(most == least, most, 0)]).astype(mask.dtype)
    for axis in range(mask.ndim):
        classes[np.take(holes, [0, -1], axis)] = 0
    filled: np.ndarray = np.where(mask == 0, classes[holes], mask)
    return filled


def _split(found: np.ndarray, settings: ObjectSettings, spacing: np.ndarray) -> None:
    """Give the further parts of objects that are several new numbers, in place."""
    count = int(found.max())
    for number, box in enumerate(ndimage.find_objects(found), 1):
        around = tuple(slice(max(0, side.start - 1), side.stop + 1) for side in box)  # what lies outside must be seen
        window = found[around]
        parts = _parts(window == number, settings, spacing)
        window[parts > 1] = parts[parts > 1] + (count - 1)
        count += max(0, int(parts.max()) - 1)


def _parts(inside: np.ndarray, settings: ObjectSettings, spacing: np.ndarray) -> np.ndarray:
    """Return the parts of one object, numbered from 1, none smaller than the smallest; all 0 if it is one.

    Middles are what is still a peak of the distance to the border when everything was lowered by the neck
    (reconstruction, Vincent 1993; scikit-image's h_maxima gives several on one plateau).
    """
    if inside.all():  # no border, no distance to it
        return np.zeros(inside.shape, int)
    distance = ndimage.distance_transform_edt(inside, spacing)
    lowered = reconstruction(distance - settings.neck, distance)
    middles = label(local_maxima(lowered.round(6)) & inside)  # rounded: what differs by less is a plateau
    while middles.max() > 1:
        parts: np.ndarray = watershed(-distance, middles, mask=inside, connectivity=inside.ndim)
        sizes = np.bincount(parts.ravel())[1:]
        if sizes.min() >= settings.smallest:
            return parts
        middles[middles == sizes.argmin() + 1] = 0
        middles = relabel_sequential(middles)[0]
    return np.zeros(inside.shape, int)
