"""Whole strokes, dealt into folds: what must not be learned when a score is to be honest.

The pixels of a stroke are near copies of each other, so held-out pixels would only tell how well a stroke predicts
itself. Held out are whole strokes, and nothing within a gap of them is learned from either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt, find_objects, label

from .labels import IGNORE, Targets

FOLDS = 5
GAP = 8  # pixels around a held-out stroke that are not learned from


@dataclass(frozen=True)
class Stroke:
    """Annotated pixels of one class that touch each other.

    ``pixels`` are flat positions in the plane, rising.
    """

    image: int
    plane: int
    kind: int  # class, 0..K-1
    fold: int
    pixels: np.ndarray


class Folds:
    """Strokes dealt into folds as they are painted; one that grows or shrinks keeps its fold.

    Every class is dealt for itself, and every plane as evenly as that allows.

    Parameters
    ----------
    count
        How many folds.
    """

    def __init__(self, count: int = FOLDS) -> None:
        self.count = count
        self.strokes: list[Stroke] = []
        self._shapes: dict[tuple[int, int], tuple[int, ...]] = {}

    def deal(self, image: int, plane: int, target: np.ndarray) -> None:
        """Take in what is known about a plane, replacing what was: (Y, X) uint8, 255 where nothing is."""
        before = np.full(target.size, IGNORE, np.uint8)
        for stroke in self._on(image, plane):
            before[stroke.pixels] = stroke.fold
        self.strokes = [s for s in self.strokes if (s.image, s.plane) != (image, plane)]
        self._shapes[image, plane] = target.shape
        new = []
        for kind, pixels in _connected(target):
            known = before[pixels][before[pixels] != IGNORE]
            if len(known):
                self.strokes.append(Stroke(image, plane, kind, int(np.bincount(known).argmax()), pixels))
            else:
                new.append((kind, pixels))
        for kind, pixels in new:
            self.strokes.append(Stroke(image, plane, kind, self._emptiest(image, plane, kind), pixels))

    def without(self, fold: int, targets: Targets) -> Targets:
        """Return targets in which a fold, and what lies within the gap of it, is unknown; empty planes are left out."""
        rest = {key: target.copy() for key, target in targets.items()}
        for stroke in self.strokes:
            key = stroke.image, stroke.plane
            if stroke.fold == fold and key in rest:
                window, near = surroundings(stroke.pixels, self._shapes[key])
                rest[key][window][near] = IGNORE
        return {key: target for key, target in rest.items() if (target != IGNORE).any()}

    def of(self, fold: int) -> list[Stroke]:
        """Return the strokes of a fold."""
        return [stroke for stroke in self.strokes if stroke.fold == fold]

    def _on(self, image: int, plane: int) -> list[Stroke]:
        return [stroke for stroke in self.strokes if (stroke.image, stroke.plane) == (image, plane)]

    def _emptiest(self, image: int, plane: int, kind: int) -> int:
        """Return the fold that has the fewest strokes of a class on a plane, then of the class, then of all."""
        here = _sizes([s for s in self._on(image, plane) if s.kind == kind], self.count)
        everywhere = _sizes([s for s in self.strokes if s.kind == kind], self.count)
        of_all = _sizes(self.strokes, self.count)
        return min(range(self.count), key=lambda fold: (here[fold], everywhere[fold], of_all[fold]))


def dealt(targets: Targets, count: int, fewest: int, names: Sequence[str]) -> Folds:
    """Return strokes in folds, each of which can be held out and leaves something of every class to learn.

    Parameters
    ----------
    targets
        What is known of all planes.
    count
        How many folds.
    fewest
        Strokes that there must be of every class, or as many as folds.
    names
        Of the classes.

    Raises
    ------
    ValueError
        If a class has too few strokes, or they lie so close to each other that none is left to learn from.
    """
    folds = Folds(count)
    for (image, plane), target in targets.items():
        folds.deal(image, plane, target)
    counts, fewest = Counter(stroke.kind for stroke in folds.strokes), max(count, fewest)
    for kind, painted in sorted(counts.items()):
        if painted < fewest:
            raise ValueError(
                f"{names[kind]!r} has {painted} stroke{'s' * (painted != 1)} (what touches counts as one); paint at "
                f"least {fewest} of each class, so that some can be held out"
            )
    for fold in range(count):
        left = {int(k) for target in folds.without(fold, targets).values() for k in np.unique(target)}
        if missing := sorted(counts.keys() - left):
            raise ValueError(
                f"the strokes of {names[missing[0]]!r} lie so close to held-out ones that none is left to learn from; "
                "paint some further apart, or on other planes"
            )
    return folds


def _sizes(strokes: Sequence[Stroke], count: int) -> list[int]:
    """Return how many strokes each fold has."""
    return [sum(stroke.fold == fold for stroke in strokes) for fold in range(count)]


def _connected(target: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield class and flat positions of every connected part of a (Y, X) target, diagonal neighbours included."""
    for kind in (int(k) for k in np.unique(target) if k != IGNORE):
        parts, _ = label(target == kind, np.ones((3, 3)))
        for number, window in enumerate(find_objects(parts), 1):
            y, x = np.nonzero(parts[window] == number)
            yield kind, np.ravel_multi_index((y + window[0].start, x + window[1].start), target.shape)


def surroundings(pixels: np.ndarray, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """Return a window around flat positions of a plane, and where in it something lies within the gap."""
    y, x = np.unravel_index(pixels, shape)
    (top, left), (bottom, right) = (
        np.maximum(0, [y.min() - GAP, x.min() - GAP]),
        (y.max() + GAP + 1, x.max() + GAP + 1),
    )
    away = np.ones((min(bottom, shape[0]) - top, min(right, shape[1]) - left), bool)
    away[y - top, x - left] = False
    return (slice(top, bottom), slice(left, right)), distance_transform_edt(away) <= GAP
