"""The image sets: planes with masks to learn from and to test on, at native resolution."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from btunet.datasets import Dataset, Sample, find_pairs
from btunet.images import Stack
from btunet.labels import IGNORE, targets_of_masks
from btunet.reading import read
from btunet.studies.plan import Plane
from btunet.studies.sets import split_set

SETS = ("kdsb18_fluo", "kdsb18_he", "busi", "isic2018", "isbi2012_em", "acdc", "wbc_d1")

Masks = Mapping[Plane, np.ndarray]
"""(image, plane) → (Y, X) uint8: 0 = background, 1..K = classes, 255 = ignore."""


@dataclass(frozen=True)
class ImageSet:
    """Images to learn from and to test on. ``classes`` counts the background."""

    name: str
    stacks: Sequence[Stack]
    masks: Masks
    test_stacks: Sequence[Stack]
    test_masks: Masks
    classes: int
    unlabelled: Sequence[Stack] = ()

    def test_planes(self, limit: int = 0) -> list[Plane]:
        """Return the planes to test on: all, or as many as the limit, spread evenly."""
        planes = sorted(self.test_masks)
        count = min(limit, len(planes)) if limit else len(planes)
        return [planes[i * len(planes) // count] for i in range(count)]


def load(data: str | Path, name: str) -> ImageSet:
    """Read one set: a folder with ``images``, ``masks`` (or ``stack.tif``, ``labels.tif``) and ``split.json``.

    What lies in ``unlabeled`` (or ``stack_unlabeled.tif``) is read too, for arms that learn without labels.
    """
    folder = Path(data) / name
    if (folder / "stack.tif").exists():
        stack = Sample("stack", (folder / "stack.tif",), (folder / "labels.tif",), {0: 0, 1: 1})
        found = Dataset((stack,), (), "a stack and its mask", {0: 0, 1: 1})
    else:
        found = find_pairs(folder / "images", folder / "masks")
    train, test, _ = split_set(found, folder / "split.json")
    further = sorted([*(folder / "unlabeled").glob("*.*"), *folder.glob("stack_unlabeled.tif")])
    return gather(name, train, test, [read(path) for path in further])


def gather(
    name: str,
    train: Sequence[tuple[Stack, np.ndarray]],
    test: Sequence[tuple[Stack, np.ndarray]],
    unlabelled: Sequence[Stack] = (),
) -> ImageSet:
    """Make a set of stacks and their masks."""
    top = max(int(np.max(mask, where=mask != IGNORE, initial=0)) for _, mask in (*train, *test))
    names = [str(k) for k in range(top + 1)]
    stacks, test_stacks = ([stack for stack, _ in side] for side in (train, test))
    masks, truths = (
        targets_of_masks(some, [mask for _, mask in side], names)
        for some, side in ((stacks, train), (test_stacks, test))
    )
    return ImageSet(name, stacks, masks, test_stacks, truths, top + 1, unlabelled)


def names_in(data: str | Path) -> list[str]:
    """Return the sets that are there: those of `SETS` first, then any other folder with a ``split.json``."""
    there = sorted(file.parent.name for file in Path(data).glob("*/split.json"))
    return [*(name for name in SETS if name in there), *(name for name in there if name not in SETS)]


def class_names(data: str | Path, name: str) -> dict[str, str]:
    """Return what the split file calls the classes, if it does."""
    found = json.loads((Path(data) / name / "split.json").read_text()).get("classes", {})
    return {str(k): str(v) for k, v in found.items()}
