"""Dice of every class and image of a set's test planes, and whether a method collapsed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from btunet.images import Stack
from btunet.metrics import Counts, count

from .sets import ImageSet

Predictor = Callable[[Stack, int], np.ndarray]
"""Gives class probabilities (K, Y, X) float32 of a plane of a stack."""

COLLAPSED = 0.05  # recall below which a run counts as collapsed, as in btunet.studies


@dataclass(frozen=True)
class Scores:
    """How good the masks are; ``table[image][class - 1]`` is Dice, None where a class is neither true nor predicted."""

    table: list[list[float | None]]
    recall: float  # pooled over all pixels, mean over the classes but the background
    collapsed: bool
    seconds: float

    @property
    def dice(self) -> float:
        """Mean over the images of the mean over their classes."""
        images = [[d for d in image if d is not None] for image in self.table]
        return fmean([fmean(image) for image in images if image] or [0.0])


def score(predictor: Predictor, images: ImageSet, *, limit: int = 0) -> Scores:
    """Predict the set's test planes, or ``limit`` of them, and compare with the truth."""
    table: list[list[float | None]] = []
    totals, seen, began = [Counts()] * images.classes, set[int](), time.perf_counter()
    for image, plane in images.test_planes(limit):
        found = mask_of(predictor, images.test_stacks[image], plane)
        counts = count(found, images.test_masks[image, plane], images.classes)
        table.append([c.scores["dice"] for c in counts[1:]])
        totals = [a + b for a, b in zip(totals, counts, strict=True)]
        seen |= set(np.unique(found).tolist())
    recalls = [r for r in (c.scores["recall"] for c in totals[1:]) if r is not None]
    recall = fmean(recalls or [0.0])
    return Scores(table, recall, len(seen) == 1 or recall < COLLAPSED, time.perf_counter() - began)


def mask_of(predictor: Predictor, stack: Stack, plane: int) -> np.ndarray:
    """Return the most likely class of every pixel, (Y, X) uint8."""
    return predictor(stack, plane).argmax(0).astype(np.uint8)
