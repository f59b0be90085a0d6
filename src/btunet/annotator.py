"""A simulated annotator: strokes as a person would paint them, from a mask that a person took hours for."""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from scipy.ndimage import distance_transform_edt
from skimage.draw import disk

from .labels import IGNORE

LENGTH = (15, 60)  # pixels, of a stroke
BRUSH = 2.0  # pixels, radius
WOBBLE = 0.25  # radians, how much the hand turns from one pixel to the next


def paint(mask: np.ndarray, per_class: int, rng: Generator) -> np.ndarray:
    """Return strokes inside every class of one plane: wobbly lines that start well inside and never cross a border.

    Parameters
    ----------
    mask
        (Y, X) integers: 0 = background, 1..K = classes, 255 = ignore.
    per_class
        Strokes to paint in each class that is there.
    rng
        Source of all randomness.

    Returns
    -------
    ndarray
        (Y, X) uint8: 0 = not annotated, 1 = background, 2..K+1 = classes.
    """
    strokes = np.zeros(mask.shape, np.uint8)
    for k in (int(v) for v in np.unique(mask) if v != IGNORE):
        inside = distance_transform_edt(np.pad(mask == k, 1))[1:-1, 1:-1]  # pixels to the border, (Y, X)
        likely = np.minimum(inside, 2 * BRUSH).ravel()
        for start in rng.choice(likely.size, per_class, p=likely / likely.sum()):
            for y, x in _line(inside, divmod(int(start), mask.shape[1]), rng):
                radius = min(BRUSH, float(inside[y, x]) - 0.5)
                rows, columns = disk((y, x), max(radius, 0.75), shape=mask.shape)
                strokes[rows, columns] = np.where(mask[rows, columns] == k, k + 1, strokes[rows, columns])
    return strokes


def _line(inside: np.ndarray, start: tuple[int, int], rng: Generator) -> list[tuple[int, int]]:
    """Return the pixels of a line that keeps away from the border, as far as its length lasts."""
    y, x, angle = float(start[0]), float(start[1]), rng.uniform(0, 2 * math.pi)
    line = [start]
    for _ in range(int(rng.uniform(*LENGTH))):
        angle += rng.normal(0, WOBBLE)
        turns = [angle + turn for turn in (0.0, 0.5, -0.5, 1.0, -1.0)]
        ahead = [(y + math.sin(a), x + math.cos(a)) for a in turns]
        clear = [_depth(inside, *place) - 0.3 * abs(a - angle) for place, a in zip(ahead, turns, strict=True)]
        best = int(np.argmax(np.minimum(clear, 2 * BRUSH)))
        if _depth(inside, *ahead[best]) < 1:
            break
        (y, x), angle = ahead[best], turns[best]
        line.append((round(y), round(x)))
    return line


def _depth(inside: np.ndarray, y: float, x: float) -> float:
    """Return the distance to the border at a place, 0 outside the plane."""
    row, column = round(y), round(x)
    if not (0 <= row < inside.shape[0] and 0 <= column < inside.shape[1]):
        return 0.0
    return float(inside[row, column])
