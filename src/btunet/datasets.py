"""Image sets as they are shipped: which files are an image, which its mask, and which class a value stands for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .images import Stack
from .labels import IGNORE
from .layouts import Files, Found, beside, files_in, in_two_places, is_nested, nested
from .reading import read
from .values import meaning, semantic, translate, whole_numbers

PATIENT = re.compile(r"patient\d+|BraTS-[A-Z]+-\d+", re.IGNORECASE)  # how names begin in ACDC, and BraTS since 2023


@dataclass(frozen=True)
class Sample:
    """One image and its mask, as files; nothing is read before it is asked for.

    Parameters
    ----------
    name
        What the image is called, unique in its set.
    images
        The file of the image, or one per channel.
    masks
        The file of the mask, or several that are laid over each other; none if there is no mask.
    classes
        Value in the files → class; None: every value above 0 is class 1.
    """

    name: str
    images: Files
    masks: Files = ()
    classes: Mapping[int, int] | None = None

    @property
    def group(self) -> str:
        """What must be on one side of a split: the patient where several images are of one, else the name."""
        patient = PATIENT.match(self.name)
        return patient[0] if patient else self.name

    def read_image(self) -> Stack:
        """Read the image; several files become the first axis, C."""
        stacks = [read(path) for path in self.images]
        if len(stacks) == 1:
            return stacks[0]
        shapes = {(s.axes, s.spatial_shape) for s in stacks}
        if len(shapes) > 1 or stacks[0].channels > 1:
            raise ValueError(f"the channels of {self.name} differ: {sorted(shapes)}; expected gray images of one shape")
        first = stacks[0]
        return Stack(
            Channels([s.data for s in stacks]), f"C{first.axes}", self.name, first.scale, first.unit, self.images[0]
        )

    def read_mask(self) -> Stack:
        """Read the mask: uint8 on the image's spatial axes, 0 = background, 1..K = classes, 255 = ignore."""
        stack, values = self.read_values()
        mask = semantic(values) if self.classes is None else translate(values, self.classes, stack.name)
        return Stack(mask, stack.spatial_axes, stack.name, stack.scale, stack.unit, stack.path)

    def read_values(self) -> tuple[Stack, np.ndarray]:
        """Return the first file of the mask, and the whole numbers that all of them hold."""
        if not self.masks:
            raise ValueError(f"{self.name} has no mask")
        stacks = [read(path) for path in self.masks]
        values = whole_numbers(stacks[0])
        for stack in stacks[1:]:
            if stack.spatial_shape != stacks[0].spatial_shape:
                raise ValueError(f"{stacks[0].name} and {stack.name} are masks of one image but differ in size")
            values = np.maximum(values, whole_numbers(stack))
        return stacks[0], values


@dataclass(frozen=True)
class Dataset:
    """What `find_pairs` found: samples with a mask, samples without, and what the values of the masks mean."""

    samples: tuple[Sample, ...]
    unlabelled: tuple[Sample, ...]
    layout: str
    classes: Mapping[int, int] | None

    def describe(self) -> str:
        """Say what was found, in one line."""
        without = f" and {len(self.unlabelled)} without" if self.unlabelled else ""
        named = {k: "ignored" if c == IGNORE else f"class {c}" for k, c in (self.classes or {}).items()}
        meant = ", ".join(f"{k} is {c}" for k, c in named.items()) or "every value above 0 is class 1"
        return f"{len(self.samples)} images with a mask{without} ({self.layout}); in the masks {meant}"


class Channels:
    """Arrays of one shape as one array with an axis in front; nothing is read before it is asked for."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        self.shape = (len(self.parts), *parts[0].shape)
        self.ndim = len(self.shape)
        self.dtype = np.result_type(*(part.dtype for part in parts))

    def __getitem__(self, index: Any) -> np.ndarray:
        index = index if isinstance(index, tuple) else (index,)
        which, window = (slice(None), index) if not index or index[0] is ... else (index[0], index[1:])
        if isinstance(which, slice):
            return np.stack([np.asarray(part[window], self.dtype) for part in self.parts[which]])
        return np.asarray(self.parts[which][window], self.dtype)


def find_pairs(images: str | Path, masks: str | Path | None = None, *, instances: bool = False) -> Dataset:
    """Find images and masks, in folders as the sets are shipped, and read every mask once to see its values.

    Parameters
    ----------
    images
        Folder (with what is in its folders) or file. With masks in it, one of: ``images/`` and ``masks/`` with the
        same names; ``a.png`` beside ``a_mask.png`` (``_mask_1`` …, ``_gt``, ``_seg``, ``_segmentation``), where
        ``a_flair``, ``a_t1``, ``a_t1ce``, ``a_t2`` are channels of ``a``; ``a/images/a.png`` with one file per
        object in ``a/masks/``.
    masks
        Folder or file of the masks if they are elsewhere: named like the images, or with one of those endings.
    instances
        Masks number objects: every value above 0 is class 1.

    Returns
    -------
    Dataset
        If all masks hold 0 and 255 only, 255 is class 1. Beside other values 255 is 'ignore', and these are the classes
        in their order: 0, 1, 2, 4 become 0, 1, 2, 3.

    Raises
    ------
    ValueError
        If there is no pair, a mask has no image, names are not unique, or the values cannot be classes.
    BtunetError
        If a mask cannot be read.

    Examples
    --------
    >>> found = find_pairs("Dataset_BUSI_with_GT")  # doctest: +SKIP
    >>> found.samples[0].read_image(), found.samples[0].read_mask()  # doctest: +SKIP
    """
    place = Path(images)
    other = place if masks is None else Path(masks)
    if place == other and (place / "images").is_dir() and (place / "masks").is_dir():
        place, other = place / "images", place / "masks"
    files = files_in(place)
    found: Found
    if place != other:
        layout, found = "images and masks in two places", in_two_places(files, files_in(other))
    elif place.is_dir() and all(is_nested(file, place) for file in files):
        layout, found, instances = "one folder per image, one file per object", nested(files), True
    else:
        layout, found = "masks beside the images", beside(files)
    twins = [name for name, count in Counter(name for name, _, _ in found).items() if count > 1]
    if twins:
        raise ValueError(f"several images in {place} are called {twins[0]}; pairs are found by name, rename one")
    if not any(drawn for _, _, drawn in found):
        raise ValueError(
            f"{place} holds {len(found)} images but no mask; expected a.png beside a_mask.png (or _gt, _seg, "
            "_segmentation), folders images and masks in it, or the folder of the masks as the second one"
        )
    drawn = (Sample(*files).read_values()[1] for files in found if files[-1])
    classes = None if instances else meaning(drawn)
    samples = [Sample(*files, classes) for files in found]
    return Dataset(tuple(s for s in samples if s.masks), tuple(s for s in samples if not s.masks), layout, classes)
