"""What a model had learned before it is trained further: strokes that cannot judge what comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .folds import Folds, Stroke, surroundings
from .labels import Targets
from .model import CLASSIFY, Model

LEARNED = ("finetune", CLASSIFY)
MARKS = 5  # pixels of each stroke by which it is found again


def marks(targets: Targets, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return by what the strokes of targets are found again in a later training, as JSON-ready records.

    Parameters
    ----------
    targets
        What is known of all planes.
    names
        Of the images.
    """
    return [{"image": names[s.image], "plane": s.plane, "pixels": _some(s.pixels)} for s in _dealt(targets).strokes]


class Ancestry:
    """The strokes that a model and those it was made from had learned.

    Parameters
    ----------
    model
        To train further; None, or an encoder, had learned none.
    names
        Of the images of the new training.
    """

    def __init__(self, model: Model | None, names: Sequence[str]) -> None:
        records = [record for record in (model.history if model else ()) if record.get("verb") in LEARNED]
        self.is_told = all("learned" in record for record in records)  # one from masks, or an old file, does not tell
        self._names = names
        self._learned: dict[tuple[str, int], set[int]] = {}
        for mark in (mark for record in records for mark in record.get("learned", ())):
            self._learned.setdefault((mark["image"], mark["plane"]), set()).update(mark["pixels"])

    def knows(self, stroke: Stroke, shape: tuple[int, ...]) -> bool:
        """Return whether a stroke on a plane of this shape, or something within the gap of it, was learned."""
        learned = self._learned.get((self._names[stroke.image], stroke.plane))
        if not self.is_told or not learned:
            return not self.is_told
        (rows, columns), near = surroundings(stroke.pixels, shape)
        y, x = np.unravel_index(np.array([p for p in learned if p < np.prod(shape)], int), shape)
        inside = (y >= rows.start) & (y < rows.stop) & (x >= columns.start) & (x < columns.stop)
        y, x = y[inside] - rows.start, x[inside] - columns.start
        inside = (y < near.shape[0]) & (x < near.shape[1])
        return bool(near[y[inside], x[inside]].any())

    def leaves(self, targets: Targets, fold: int) -> bool:
        """Return whether a fold of the strokes of targets has some that were not learned."""
        return any(not self.knows(s, targets[s.image, s.plane].shape) for s in _dealt(targets).of(fold))


def _dealt(targets: Targets) -> Folds:
    folds = Folds()
    for (image, plane), target in targets.items():
        folds.deal(image, plane, target)
    return folds


def _some(pixels: np.ndarray) -> list[int]:
    """Return a few of many, the first and the last among them."""
    chosen: list[int] = pixels[np.unique(np.linspace(0, len(pixels) - 1, MARKS).astype(int))].tolist()
    return chosen
